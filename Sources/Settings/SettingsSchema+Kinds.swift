extension SettingsSchema {
    /// What may stand behind a key of a kind. YAML writes most of them in more than one way, and each may be a reference.
    static func schema(of kind: ReadingReport.ValueKind) -> EffectiveValue {
        switch kind {
        case .text: scalar(["string", "number", "boolean"])
        case .integer(let range):
            scalar(["integer", "string"], pattern: "[0-9]+", minimum: "\(range.lowerBound)", maximum: "\(range.upperBound)")
        case .boolean: scalar(["boolean", "string"], pattern: "true|True|TRUE|false|False|FALSE|yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF")
        case .duration(let range):
            scalar(
                ["string", "number"], pattern: "[0-9]+(\\.[0-9]+)? *(ms|s|m|h|d)?", minimum: seconds(range.lowerBound),
                maximum: seconds(range.upperBound))
        case .size(let range):
            scalar(
                ["string", "integer"], pattern: "[0-9]+(\\.[0-9]+)? *([KkMmGgTt]?[Ii]?[Bb])?", minimum: "\(range.lowerBound)",
                maximum: "\(range.upperBound)")
        case .choice(let words):
            .mapping([
                .init(
                    "anyOf",
                    .list([
                        // A version such as 1.2 is a number to YAML.
                        .mapping([.init("enum", .list(words.flatMap { Double($0) == nil ? [.text($0, nil)] : [.text($0, nil), .literal($0, nil)] }))]
                        ),
                        .mapping([.init("type", .text("string", nil)), .init("pattern", .text("^\(reference)$", nil))]),
                    ]))
            ])
        case .amount: scalar(["number", "string"], pattern: "[0-9]*\\.?[0-9]+", minimum: "0", maximum: nil)
        case .items:
            .mapping([
                .init(
                    "anyOf",
                    .list([
                        .mapping([.init("type", .list([.text("array", nil), .text("null", nil)])), .init("items", schema(of: .text))]),
                        schema(of: .text),
                    ]))
            ])
        }
    }

    private static let reference = "(env://[^/=]+|file:///.*)"

    private static func scalar(
        _ types: [String], pattern: String? = nil, minimum: String? = nil, maximum: String? = nil
    ) -> EffectiveValue {
        var entries: [EffectiveValue.Entry] = [.init("type", .list(types.map { .text($0, nil) }))]
        if let pattern { entries.append(.init("pattern", .text("^(\(pattern)|\(reference))$", nil))) }
        if let minimum { entries.append(.init("minimum", .literal(minimum, nil))) }
        if let maximum { entries.append(.init("maximum", .literal(maximum, nil))) }
        return .mapping(entries)
    }

    /// As a plain number in a file.
    private static func seconds(_ duration: Duration) -> String {
        let milliseconds = duration.components.seconds * 1000 + duration.components.attoseconds / 1_000_000_000_000_000
        return milliseconds % 1000 == 0 ? "\(milliseconds / 1000)" : "\(Double(milliseconds) / 1000)"
    }
}

extension EffectiveValue {
    /// The tree as JSON over many lines; what fits stands on one.
    func prettyJSON(indentation: Int = 0) -> String {
        let short = json
        if short.utf8.count + indentation <= 120 { return short }
        let margin = String(repeating: " ", count: indentation + 2)
        let end = "\n" + String(repeating: " ", count: indentation)
        switch self {
        case .text, .literal: return short
        case .list(let items):
            return "[\n" + items.map { margin + $0.prettyJSON(indentation: indentation + 2) }.joined(separator: ",\n") + end + "]"
        case .mapping(let entries):
            return "{\n"
                + entries.map { margin + EffectiveValue.text($0.key, nil).json + ": " + $0.value.prettyJSON(indentation: indentation + 2) }
                .joined(separator: ",\n") + end + "}"
        }
    }
}
