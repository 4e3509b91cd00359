/// Reads the keys of one mapping, each with its default, and reports every key that nobody asked for.
///
/// A mistake is reported and the default returned, so that one pass finds all mistakes.
struct SectionReader {
    /// The path of the mapping, empty for the root.
    let path: String
    /// Where the mapping stands, for problems about what it lacks.
    let origin: Origin
    let report: ReadingReport
    private let address: [ConfigNode.Step]
    private let entries: [ConfigNode.Entry]

    /// - Parameter keys: every key that may stand here; those that begin with `x-` may stand at the root, for anchors.
    init(_ node: ConfigNode?, path: String, address: [ConfigNode.Step], keys: [String], parentOrigin: Origin, report: ReadingReport) {
        self.path = path
        self.address = address
        self.report = report
        origin = node?.origin ?? parentOrigin
        report.learn(section: address, keys: keys)
        guard let node else {
            entries = []
            return
        }
        switch node.content {
        case .mapping(let found):
            entries = found
        case .null:
            entries = []
        case .scalar, .sequence:
            entries = []
            report.report("must be a mapping with the keys \(keys.joined(separator: ", ")), not \(node.kindName)", at: path, node.origin)
        }
        for entry in entries where !keys.contains(entry.key) && !(path.isEmpty && entry.key.hasPrefix("x-")) {
            let advice =
                suggestion(for: entry.key, among: keys).map { "did you mean '\($0)'?" } ?? "known here: \(keys.joined(separator: ", "))"
            report.report("unknown key; \(advice)", at: subpath(entry.key), entry.keyOrigin)
        }
    }

    /// The path of a key of this mapping.
    func subpath(_ key: String) -> String { path.isEmpty ? key : "\(path).\(key)" }

    /// The node of a key; `nil` when it does not stand here.
    func node(_ key: String) -> ConfigNode? { entries.first { $0.key == key }?.value }

    /// The names of the keys that stand here, with their nodes.
    var contents: [ConfigNode.Entry] { entries }

    /// Where a key stands, or else the mapping that lacks it.
    func origin(of key: String) -> Origin { node(key)?.origin ?? origin }

    func fail(_ key: String, _ reason: String) {
        report.report(reason, at: subpath(key), origin(of: key))
    }

    /// The reference that stands behind a key, if one does.
    func reference(at key: String) -> String? {
        guard case .scalar(let text)? = node(key)?.content else { return nil }
        return Reference(text)?.text
    }

    /// The value of a key as a message about it says it.
    ///
    /// A reference is named instead of what it led to: with a slip in it, that is a secret which was meant for something else.
    func shown(_ key: String, _ text: String) -> String {
        reference(at: key).map { "what \($0) holds" } ?? "'\(shortened(text))'"
    }

    /// The file that a key names, as a message says it; ``shown(_:_:)`` tells why not always by its path.
    func shownFile(_ key: String, _ path: String) -> String {
        reference(at: key).map { "the file that \($0) names" } ?? "the file \(path)"
    }

    // MARK: What can stand behind a key

    /// A mapping below this one.
    func section(_ key: String, keys: [String]) -> SectionReader {
        SectionReader(node(key), path: subpath(key), address: address + [.key(key)], keys: keys, parentOrigin: origin, report: report)
    }

    /// Tells that the keys below this one are the user's, each with a single value.
    func learnOpenMapping(_ key: String) { report.learn(openMapping: address + [.key(key)]) }

    /// The items of a list; empty when there is none.
    func list(_ key: String) -> [ConfigNode] {
        report.learn(list: address + [.key(key)])
        guard let node = node(key) else { return [] }
        switch node.content {
        case .sequence(let items):
            return items
        case .null:
            return []
        case .scalar, .mapping:
            fail(key, "must be a list, not \(node.kindName)")
            return []
        }
    }

    /// The texts of a list of single values; it may also be one text with commas, as a variable of the environment has to say it.
    func items(_ key: String) -> [(text: String, origin: Origin)] {
        guard let node = node(key), case .sequence(let nodes) = node.content else {
            let text = text(key, as: .items) ?? ""
            return text.split(separator: ",").map { (String($0.filter { $0 != " " }), origin(of: key)) }
        }
        report.learn(path: subpath(key), address: address + [.key(key)], kind: .items)
        report.record(node.origin, at: subpath(key))
        return nodes.compactMap { item in
            if case .scalar(let text) = item.content { return (text, item.origin) }
            report.report("must be a list of single values; one is \(item.kindName)", at: subpath(key), item.origin)
            return nil
        }
    }

    /// The address of an item of a list, for the section that reads it.
    func address(of key: String, index: Int) -> [ConfigNode.Step] { address + [.key(key), .index(index)] }

    /// The text of a single value, references resolved; `nil` when the key does not stand here or a problem was reported.
    func text(_ key: String, as kind: ReadingReport.ValueKind = .text) -> String? {
        report.learn(path: subpath(key), address: address + [.key(key)], kind: kind)
        guard let node = node(key) else { return nil }
        switch node.content {
        case .scalar(let text):
            let reference = Reference(text)
            var origin = node.origin
            origin.reference = reference?.text
            report.record(origin, at: subpath(key))
            guard let reference else { return text }
            switch reference.resolve(environment: report.environment) {
            case .success(let value): return value
            case .failure(let mistake):
                fail(key, mistake.reason)
                return nil
            }
        case .null:
            fail(key, "has no value; give it one or remove the key")
        case .sequence, .mapping:
            fail(key, "must be a single value, not \(node.kindName)")
        }
        return nil
    }

    /// A text that is not empty and has no control characters.
    func name(_ key: String, _ standard: String) -> String { name(key) ?? standard }

    func name(_ key: String) -> String? {
        guard let text = text(key) else { return nil }
        guard !text.isEmpty else {
            fail(key, "must not be empty")
            return nil
        }
        guard !text.unicodeScalars.contains(where: { $0.properties.generalCategory == .control }) else {
            fail(key, "must not hold control characters")
            return nil
        }
        return text
    }

    func integer(_ key: String, _ standard: Int, in range: ClosedRange<Int>) -> Int { integer(key, in: range) ?? standard }

    func integer(_ key: String, in range: ClosedRange<Int>) -> Int? {
        guard let text = text(key, as: .integer(range)) else { return nil }
        guard let value = Int(text), range.contains(value) else {
            fail(key, "must be a whole number from \(range.lowerBound) to \(range.upperBound), not \(shown(key, text))")
            return nil
        }
        return value
    }

    func boolean(_ key: String, _ standard: Bool) -> Bool {
        guard let text = text(key, as: .boolean) else { return standard }
        switch text.lowercased() {
        case "true", "yes", "on": return true
        case "false", "no", "off": return false
        default:
            fail(key, "must be true or false, not \(shown(key, text))")
            return standard
        }
    }

    func duration(_ key: String, _ standard: Duration, in range: ClosedRange<Duration>) -> Duration {
        guard let text = text(key, as: .duration(range)) else { return standard }
        guard let value = Quantity.duration(text) else {
            fail(key, "must be a duration such as 500ms, 30s, 5m or 1h, not \(shown(key, text))")
            return standard
        }
        guard range.contains(value) else {
            fail(key, "must be from \(Quantity.text(of: range.lowerBound)) to \(Quantity.text(of: range.upperBound)), not \(shown(key, text))")
            return standard
        }
        return value
    }

    func size(_ key: String, _ standard: Int, in range: ClosedRange<Int>) -> Int {
        guard let text = text(key, as: .size(range)) else { return standard }
        guard let value = Quantity.size(text) else {
            fail(key, "must be a size such as 512KiB, 10MiB or 10MB, or a number of bytes, not \(shown(key, text))")
            return standard
        }
        guard range.contains(value) else {
            let (low, high) = (Quantity.text(ofBytes: range.lowerBound), Quantity.text(ofBytes: range.upperBound))
            fail(key, "must be from \(low) to \(high), not \(shown(key, text))")
            return standard
        }
        return value
    }

    /// One of the words of an enumeration.
    func choice<Choice: CaseIterable & RawRepresentable<String>>(_ key: String, _ standard: Choice) -> Choice {
        guard let text = text(key, as: .choice(Choice.allCases.map(\.rawValue))) else { return standard }
        if let choice = Choice(rawValue: text) { return choice }
        let words = Choice.allCases.map(\.rawValue)
        let advice = reference(at: key) == nil ? suggestion(for: text, among: words).map { "; did you mean '\($0)'?" } ?? "" : ""
        let wanted = words.count == 1 ? words.joined() : "one of \(words.joined(separator: ", "))"
        fail(key, "must be \(wanted), not \(shown(key, text))\(advice)")
        return standard
    }

    /// A secret that can stand in a header.
    func secret(_ key: String) -> Secret? {
        guard let text = text(key) else { return nil }
        guard !text.isEmpty else {
            fail(key, "must not be empty; remove the key if there is none")
            return nil
        }
        guard text.utf8.allSatisfy({ $0 >= 0x20 && $0 < 0x7f }), text.first != " ", text.last != " " else {
            fail(key, "holds characters that cannot be sent in a header: line breaks, spaces at an end, or others than ASCII")
            return nil
        }
        return Secret(text)
    }
}

/// A value as a message shows it: one line, not too long.
func shortened(_ text: String) -> String {
    let line = text.prefix(60).map { $0.isNewline ? " " : String($0) }.joined()
    return text.count > 60 ? line + "…" : line
}
