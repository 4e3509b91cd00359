internal import Files
import Vocabulary
import Yams

/// Reads a YAML file into a ``ConfigNode`` in which every value knows its line.
struct YAMLSource {
    /// The largest file that is read, in bytes.
    static let fileMaxBytes = 4 << 20
    /// The most values that a file may hold once its aliases are expanded; a few lines of aliases can stand for billions.
    static let nodeMax = 100_000

    /// The name that problems and origins show.
    let file: String
    private var problems: [SettingsError.Problem] = []
    private var nodeCount = 0
    private let lineCount: Int

    /// - Returns: the tree, null for an empty file. Duplicate keys and unknown tags are problems with the tree still being usable.
    /// - Throws: what keeps the file from being read at all.
    static func read(file: String) throws(SettingsError) -> (root: ConfigNode, problems: [SettingsError.Problem]) {
        let bytes: [UInt8]
        do throws(FileReadError) {
            bytes = try PlainFile.read(file, upTo: fileMaxBytes + 1)
        } catch {
            throw SettingsError(problems: [.init(file: file, path: "", reason: words(for: error))])
        }
        return try read(bytes: bytes, file: file)
    }

    /// The same for bytes in hand.
    static func read(bytes: [UInt8], file: String) throws(SettingsError) -> (root: ConfigNode, problems: [SettingsError.Problem]) {
        func failure(line: Int?, column: Int?, _ reason: String) -> SettingsError {
            SettingsError(problems: [.init(file: file, line: line, column: column, path: "", reason: reason)])
        }
        guard bytes.count <= fileMaxBytes else {
            throw failure(line: nil, column: nil, "is larger than \(Quantity.text(ofBytes: fileMaxBytes)), which no configuration is")
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            let line = 1 + bytes.prefix(validPrefixLength(of: bytes)).count { $0 == 0x0a }
            throw failure(line: line, column: nil, "is no valid UTF-8")
        }
        do {
            guard let node = try Yams.compose(yaml: text) else { return (ConfigNode(.null, origin: Origin(.file(file, line: 1, column: 1))), []) }
            var source = YAMLSource(file: file, lineCount: lineCount(of: text))
            let root = source.convert(node, fallback: nil, path: "")
            return (root, source.problems)
        } catch {
            throw describe(error, text: text, failure: failure)
        }
    }

    private init(file: String, lineCount: Int) {
        self.file = file
        self.lineCount = lineCount
    }

    /// YAML ends lines at more than LF.
    private static func lineCount(of text: String) -> Int {
        text.unicodeScalars.count { ["\n", "\r", "\u{85}", "\u{2028}", "\u{2029}"].contains($0) } + 1
    }

    private func origin(_ mark: Mark?) -> Origin {
        // An empty document that ends without a line end is said to stand on the line behind the last one.
        Origin(.file(file, line: min(mark?.line ?? 1, lineCount), column: mark?.column ?? 1))
    }

    private mutating func report(_ mark: Mark?, _ path: String, _ reason: String) {
        problems.append(SettingsError.Problem(origin: origin(mark), path: path, reason: reason))
    }

    /// - Returns: whether there may be one more.
    private mutating func countNode(_ mark: Mark?, _ path: String) -> Bool {
        nodeCount += 1
        if nodeCount == YAMLSource.nodeMax + 1 { report(mark, path, "more than \(YAMLSource.nodeMax) values, aliases counted where they are used") }
        return nodeCount <= YAMLSource.nodeMax
    }

    private mutating func convert(_ node: Node, fallback: Mark?, path: String) -> ConfigNode {
        let mark = node.mark ?? fallback
        guard countNode(mark, path) else { return ConfigNode(.null, origin: origin(mark)) }
        switch node {
        case .scalar(let scalar):
            checkTag(scalar.tag, mark, path)
            let isPlain = scalar.style == .plain || scalar.style == .any
            if isPlain, ["", "~", "null", "Null", "NULL"].contains(scalar.string) { return ConfigNode(.null, origin: origin(mark)) }
            return ConfigNode(.scalar(scalar.string), origin: origin(mark))
        case .sequence(let sequence):
            checkTag(sequence.tag, mark, path)
            var items: [ConfigNode] = []
            for (index, item) in sequence.enumerated() where nodeCount <= YAMLSource.nodeMax {
                items.append(convert(item, fallback: mark, path: "\(path)[\(index)]"))
            }
            return ConfigNode(.sequence(items), origin: origin(mark))
        case .mapping(let mapping):
            checkTag(mapping.tag, mark, path)
            return ConfigNode(.mapping(entries(of: mapping, mark: mark, path: path)), origin: origin(mark))
        case .alias:
            // Composing puts the anchored node in the place of every alias; one that is left names nothing.
            report(mark, path, "is an alias of nothing")
            return ConfigNode(.null, origin: origin(mark))
        }
    }

    /// The keys of a mapping; those that come by `<<` stand behind its own and give way to them.
    private mutating func entries(of mapping: Node.Mapping, mark: Mark?, path: String) -> [ConfigNode.Entry] {
        var entries: [ConfigNode.Entry] = []
        var seen: Set<String> = []
        var merged: [Node] = []
        for (keyNode, value) in mapping where nodeCount <= YAMLSource.nodeMax {
            let keyMark = keyNode.mark ?? mark
            guard case .scalar(let key) = keyNode else {
                report(keyMark, path, "has a key that is a list or a mapping; keys are plain words")
                continue
            }
            if key.string == "<<", key.style == .plain {
                merged.append(value)
                continue
            }
            let keyPath = path.isEmpty ? key.string : "\(path).\(key.string)"
            guard seen.insert(key.string).inserted else {
                report(keyMark, keyPath, "is given more than once")
                continue
            }
            entries.append(
                ConfigNode.Entry(key: key.string, keyOrigin: origin(keyMark), value: convert(value, fallback: keyMark, path: keyPath)))
        }
        for node in merged {
            let sources: [Node] = if case .sequence(let sequence) = node { Array(sequence) } else { [node] }
            for source in sources where countNode(source.mark ?? mark, path) {
                guard case .mapping(let base) = source else {
                    report(node.mark ?? mark, path, "'<<' takes a mapping or a list of mappings")
                    continue
                }
                for entry in self.entries(of: base, mark: source.mark ?? mark, path: path) where seen.insert(entry.key).inserted {
                    entries.append(entry)
                }
            }
        }
        return entries
    }

    /// Tags that mean something elsewhere (`!env`, `!secret`) would be lost silently here, so they are refused.
    private mutating func checkTag(_ tag: Tag, _ mark: Mark?, _ path: String) {
        let name = tag.description
        guard !name.isEmpty, name != "!", !name.hasPrefix("tag:yaml.org,2002:") else { return }
        report(mark, path, "the tag \(name) has no meaning here; refer to secrets as env://NAME or file:///PATH")
    }
}

/// Says where and why Yams gave up.
private func describe(_ error: any Error, text: String, failure: (Int?, Int?, String) -> SettingsError) -> SettingsError {
    guard let error = error as? YamlError else { return failure(nil, nil, "is no valid YAML: \(error)") }
    switch error {
    case .scanner(let context, let problem, let mark, _), .parser(let context, let problem, let mark, _),
        .composer(let context, let problem, let mark, _):
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        let line = lines.dropFirst(mark.line - 1).first
        if line?.unicodeScalars.dropFirst(mark.column - 1).first == "\t" {
            return failure(mark.line, mark.column, "is indented by a tab; YAML takes only spaces")
        }
        var reason = "is no valid YAML: \(problem)"
        if let context { reason += " (\(context.text), from line \(context.mark.line))" }
        // What is missing at the end is missed one line after the last.
        return mark.line > lines.count ? failure(lines.count, nil, reason) : failure(mark.line, mark.column, reason)
    case .reader(let problem, let offset, _, _):
        let line = offset.map { offset in 1 + text.prefix(offset).count { $0.isNewline } }
        return failure(line, nil, "is no valid YAML: \(problem)")
    case .duplicatedKeysInMapping(let keys, let context):
        let names = keys.map { "'\($0)'" }.joined(separator: ", ")
        return failure(context.mark.line, context.mark.column, "the key \(names) is given more than once in this mapping; here is its first place")
    case .no, .memory, .writer, .emitter, .representer, .dataCouldNotBeDecoded:
        return failure(nil, nil, "cannot be read as YAML: \(error)")
    }
}

/// Why a file could not be read, in words for a person.
private func words(for error: FileReadError) -> String {
    if error.isMissing { return "there is no such file" }
    return error.isForbidden ? "cannot be read; check its permissions" : "\(error)"
}

/// How many bytes at the start of a text are whole, valid UTF-8.
private func validPrefixLength(of bytes: [UInt8]) -> Int {
    var decoder = UTF8()
    var iterator = bytes.makeIterator()
    var length = 0
    while case .scalarValue(let scalar) = decoder.decode(&iterator) {
        length += UTF8.width(scalar)
    }
    return length
}
