import Yams

/// Everything that is wrong with a script, each mistake with its place.
package struct ScriptError: Error, CustomStringConvertible {
    /// One mistake.
    struct Mistake {
        var line: Int
        var path: String
        var reason: String
    }

    var file: String
    var mistakes: [Mistake]

    /// One line a mistake: `file:line: path: reason`.
    package var description: String {
        mistakes.map { "\(file):\($0.line): \($0.path.isEmpty ? "" : "\($0.path): ")\($0.reason)" }.joined(separator: "\n")
    }
}

/// A value of a script with the line that it stands in. YAML, and so JSON too.
struct ScriptNode {
    indirect enum Content {
        case null
        case scalar(String, isQuoted: Bool)
        case list([ScriptNode])
        case mapping([(key: String, line: Int, value: ScriptNode)])
    }

    /// Larger scripts are refused.
    static let maximumBytes = 4 << 20
    /// The most values, aliases counted where they are used: a few lines of them can stand for billions.
    private static let maximumNodes = 100_000

    var content: Content
    var line: Int

    /// Reads a text.
    static func read(_ text: String, file: String) throws(ScriptError) -> ScriptNode {
        func failure(_ line: Int, _ reason: String) -> ScriptError {
            ScriptError(file: file, mistakes: [.init(line: line, path: "", reason: reason)])
        }
        guard text.utf8.count <= maximumBytes else { throw failure(1, "is larger than \(maximumBytes) bytes") }
        let root: Node?
        do { root = try Yams.compose(yaml: text) } catch let error as YamlError {
            throw failure(Self.line(of: error), "is no valid YAML: \(Self.reason(of: error))")
        } catch {
            throw failure(1, "is no valid YAML: \(error)")
        }
        guard let root else { return ScriptNode(content: .null, line: 1) }
        var budget = maximumNodes
        do { return try convert(root, line: 1, &budget) } catch let mistake as ScriptError.Mistake {
            throw ScriptError(file: file, mistakes: [mistake])
        } catch {
            throw failure(1, "\(error)")
        }
    }

    private static func convert(_ node: Node, line: Int, _ budget: inout Int) throws -> ScriptNode {
        let line = node.mark?.line ?? line
        budget -= 1
        guard budget > 0 else { throw ScriptError.Mistake(line: line, path: "", reason: "has more than \(maximumNodes) values") }
        switch node {
        case .scalar(let scalar):
            let isQuoted = scalar.style != .plain && scalar.style != .any
            if !isQuoted, ["", "~", "null"].contains(scalar.string) { return ScriptNode(content: .null, line: line) }
            return ScriptNode(content: .scalar(scalar.string, isQuoted: isQuoted), line: line)
        case .sequence(let sequence):
            var items: [ScriptNode] = []
            for item in sequence { items.append(try convert(item, line: line, &budget)) }
            return ScriptNode(content: .list(items), line: line)
        case .mapping(let mapping):
            var entries: [(key: String, line: Int, value: ScriptNode)] = []
            for (key, value) in mapping {
                let keyLine = key.mark?.line ?? line
                guard case .scalar(let name) = key else { throw ScriptError.Mistake(line: keyLine, path: "", reason: "has a key that is no word") }
                guard !entries.contains(where: { $0.key == name.string }) else {
                    throw ScriptError.Mistake(line: keyLine, path: name.string, reason: "is given more than once")
                }
                entries.append((name.string, keyLine, try convert(value, line: keyLine, &budget)))
            }
            return ScriptNode(content: .mapping(entries), line: line)
        case .alias:
            throw ScriptError.Mistake(line: line, path: "", reason: "has an alias of nothing")
        }
    }

    private static func line(of error: YamlError) -> Int {
        switch error {
        case .scanner(_, _, let mark, _), .parser(_, _, let mark, _), .composer(_, _, let mark, _): mark.line
        case .duplicatedKeysInMapping(_, let context): context.mark.line
        default: 1
        }
    }

    private static func reason(of error: YamlError) -> String {
        switch error {
        case .scanner(_, let problem, _, _), .parser(_, let problem, _, _), .composer(_, let problem, _, _): problem
        case .duplicatedKeysInMapping(let keys, _): "the key \(keys.map { "'\($0)'" }.joined(separator: ", ")) is given more than once"
        default: "\(error)"
        }
    }

    /// What the node is, in words for a person.
    var kind: String {
        switch content {
        case .null: "nothing"
        case .scalar: "a single value"
        case .list: "a list"
        case .mapping: "a mapping"
        }
    }

    /// The value as JSON, for tool arguments and bodies. A word without quotes is what JSON would read it as, else a string.
    var json: JSONValue {
        switch content {
        case .null: return .null
        case .scalar(let text, let isQuoted):
            guard !isQuoted, let value = JSONValue(parsing: text) else { return .string(text) }
            return value
        case .list(let items): return .array(items.map(\.json))
        case .mapping(let entries): return .object(entries.map { JSONMember($0.key, $0.value.json) })
        }
    }
}

extension ScriptError.Mistake: Error {}
