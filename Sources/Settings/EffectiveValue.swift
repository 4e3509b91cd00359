import Vocabulary

/// The settings in force as a tree to be shown: secrets masked, quantities with units, each value with its origin.
package indirect enum EffectiveValue: Sendable, Equatable {
    /// A text; the origin is `nil` in lists of plain names.
    case text(String, Origin?)
    /// A number or `true` or `false`, in its exact digits.
    case literal(String, Origin?)
    case list([EffectiveValue])
    case mapping([Entry])

    /// One key and what stands behind it.
    package struct Entry: Sendable, Equatable {
        package var key: String
        package var value: EffectiveValue

        package init(_ key: String, _ value: EffectiveValue) {
            self.key = key
            self.value = value
        }
    }
}

extension EffectiveValue {
    /// The tree as YAML, with the origin of each value that is no default in a comment behind it.
    package var yaml: String {
        var text = ""
        write(to: &text, indentation: 0)
        return text
    }

    private func write(to text: inout String, indentation: Int) {
        let margin = String(repeating: " ", count: indentation)
        switch self {
        case .text, .literal:
            text += margin + inlineYAML + "\n"
        case .list(let items):
            for item in items {
                var block = ""
                item.write(to: &block, indentation: indentation + 2)
                // The dash takes the place of the first line's last two blanks.
                text += margin + "- " + block.dropFirst(indentation + 2)
            }
        case .mapping(let entries):
            for entry in entries {
                text += margin + EffectiveValue.scalarYAML(entry.key) + ":"
                switch entry.value {
                case .text, .literal: text += " " + entry.value.inlineYAML + "\n"
                case .list(let items) where items.isEmpty: text += " []\n"
                case .mapping(let entries) where entries.isEmpty: text += " {}\n"
                case .list, .mapping:
                    text += "\n"
                    entry.value.write(to: &text, indentation: indentation + 2)
                }
            }
        }
    }

    private var inlineYAML: String {
        switch self {
        case .text(let value, let origin): EffectiveValue.scalarYAML(value) + EffectiveValue.comment(origin)
        case .literal(let value, let origin): value + EffectiveValue.comment(origin)
        case .list, .mapping: ""
        }
    }

    private static func comment(_ origin: Origin?) -> String {
        guard let origin, origin.source != .embedded else { return "" }
        return "  # " + origin.description.filter { !$0.isNewline }
    }

    /// Plain where nobody could read it as something else, in double quotes otherwise.
    private static func scalarYAML(_ text: String) -> String {
        let words: Set<String> = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"]
        let isPlain =
            text.utf8.first.map { (0x61...0x7a).contains($0 | 0x20) || $0 == UInt8(ascii: "/") } ?? false
            && text.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x7a).contains($0 | 0x20) || "/._-".utf8.contains($0) }
            && !words.contains(text.lowercased())
        return isPlain ? text : jsonString(text)
    }

    /// The tree as one line of JSON.
    package var json: String {
        switch self {
        case .text(let value, _): EffectiveValue.jsonString(value)
        case .literal(let value, _): value
        case .list(let items): "[" + items.map(\.json).joined(separator: ",") + "]"
        case .mapping(let entries):
            "{" + entries.map { EffectiveValue.jsonString($0.key) + ":" + $0.value.json }.joined(separator: ",") + "}"
        }
    }

    private static func jsonString(_ text: String) -> String {
        var bytes: [UInt8] = []
        appendJSONString(text, to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }
}
