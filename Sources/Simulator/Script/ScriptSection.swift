/// One mapping of a script, read strictly: every key must be known, every value of its kind. Mistakes are collected, not thrown.
struct ScriptSection {
    /// Where all sections of one reading put their mistakes.
    final class Report {
        var mistakes: [ScriptError.Mistake] = []
    }

    let path: String
    let line: Int
    let report: Report
    let entries: [(key: String, line: Int, value: ScriptNode)]

    /// - Parameter keys: the known ones; empty takes any.
    init(_ node: ScriptNode, path: String, keys: [String], report: Report) {
        self.path = path
        self.report = report
        line = node.line
        switch node.content {
        case .mapping(let entries):
            self.entries = entries
            for entry in entries where !keys.isEmpty && !keys.contains(entry.key) {
                let known = keys.joined(separator: ", ")
                report.mistakes.append(.init(line: entry.line, path: Self.join(path, entry.key), reason: "is no known key; here are: \(known)"))
            }
        case .null:
            entries = []
        case .scalar, .list:
            entries = []
            report.mistakes.append(.init(line: node.line, path: path, reason: "must be a mapping, not \(node.kind)"))
        }
    }

    static func join(_ path: String, _ key: String) -> String { path.isEmpty ? key : "\(path).\(key)" }

    func node(_ key: String) -> ScriptNode? {
        guard let entry = entries.first(where: { $0.key == key }) else { return nil }
        if case .null = entry.value.content { return nil }
        return entry.value
    }

    func fail(_ key: String, _ reason: String) {
        let line = entries.first { $0.key == key }?.value.line ?? line
        report.mistakes.append(.init(line: line, path: Self.join(path, key), reason: reason))
    }

    func text(_ key: String) -> String? {
        guard let node = node(key) else { return nil }
        guard case .scalar(let text, _) = node.content else {
            fail(key, "must be a single value, not \(node.kind)")
            return nil
        }
        return text
    }

    func integer(_ key: String, in bounds: ClosedRange<Int>) -> Int? {
        guard let text = text(key) else { return nil }
        guard let number = Int(text), bounds.contains(number) else {
            fail(key, "must be a whole number from \(bounds.lowerBound) to \(bounds.upperBound), not '\(text)'")
            return nil
        }
        return number
    }

    func share(_ key: String) -> Double? {
        guard let text = text(key) else { return nil }
        guard let number = Double(text), (0...1).contains(number) else {
            fail(key, "must be a number from 0 to 1, not '\(text)'")
            return nil
        }
        return number
    }

    func boolean(_ key: String) -> Bool? {
        guard let text = text(key) else { return nil }
        guard text == "true" || text == "false" else {
            fail(key, "must be true or false, not '\(text)'")
            return nil
        }
        return text == "true"
    }

    /// Nanoseconds of `500ms`, `10s`, `2m`, or of a number of seconds.
    func duration(_ key: String) -> Int64? {
        guard let text = text(key) else { return nil }
        let units: [(String, Double)] = [("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3600e9), ("", 1e9)]
        for (unit, nanoseconds) in units where text.hasSuffix(unit) {
            guard let number = Double(text.dropLast(unit.count)), (0...1e6).contains(number) else { continue }
            return Int64(number * nanoseconds)
        }
        fail(key, "must be a duration like 500ms, 10s or 2m, not '\(text)'")
        return nil
    }

    /// A single value, or a list of them.
    func texts(_ key: String) -> [String]? {
        guard let node = node(key) else { return nil }
        guard case .list(let items) = node.content else { return text(key).map { [$0] } }
        var texts: [String] = []
        for item in items {
            guard case .scalar(let text, _) = item.content else {
                report.mistakes.append(.init(line: item.line, path: Self.join(path, key), reason: "must hold single values, not \(item.kind)"))
                continue
            }
            texts.append(text)
        }
        return texts
    }

    /// A mapping of single values.
    func pairs(_ key: String) -> [(name: String, value: String)]? {
        guard let node = node(key) else { return nil }
        let section = ScriptSection(node, path: Self.join(path, key), keys: [], report: report)
        return section.entries.compactMap { entry in
            guard let value = section.text(entry.key) else { return nil }
            // What ends a line would begin another header, or the body (RFC 9110 §5.5).
            guard !entry.key.isEmpty, entry.key.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: ":") }) else {
                section.fail(entry.key, "is no name that a header can have")
                return nil
            }
            guard value.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7f || $0 == 0x09 }) else {
                section.fail(entry.key, "has a line break or another control character in it, which no header can have")
                return nil
            }
            return (entry.key, value)
        }
    }
}
