import Vocabulary

/// The JSON Schema of the configuration file (draft 2020-12), for editors.
///
/// It is made of what the readers ask for: they are run over an empty configuration and tell every mapping, every key, and what may stand behind
/// it. So a key that a reader knows is in the schema, and one that it does not know is not. Only the words come from a table.
package struct SettingsSchema {
    private let report: ReadingReport
    private let defaults: [String: EffectiveValue]
    /// Keys that a reader lets stand in its section, but asks for in no way that is known here; empty unless a reader hides something.
    package let unexplored: [String]

    package init() {
        // Lists have an item each, so that the reader of the item is run. What is asked for only where it stands is found by putting it there.
        var root: ConfigNode = ["providers": [[:]], "models": [["deployments": [[:]]]]]
        var report = SettingsSchema.read(root)
        for placeholder in [[:], [[:]]] as [ConfigNode] {
            for (pattern, key) in SettingsSchema.unknown(report) { root.put(placeholder, at: pattern, key) }
            report = SettingsSchema.read(root)
        }
        self.report = report
        unexplored = SettingsSchema.unknown(report).map { $0.pattern.isEmpty ? $0.key : "\($0.pattern).\($0.key)" }.sorted()
        defaults = SettingsSchema.standards()
    }

    /// The pattern of every single value that may stand in a file: `providers[].timeouts.connect`.
    package var valuePatterns: [String] { report.kinds.keys.filter { !isOpen($0) }.sorted() }

    /// The pattern of everything that may stand in a file.
    package var patterns: [String] {
        report.sections.filter { !isOpen($0.key) }.flatMap { pattern, keys in keys.map { SettingsSchema.join(pattern, $0) } }.sorted()
    }

    /// The schema, ready to be kept in a file.
    package var json: String {
        var entries: [EffectiveValue.Entry] = [
            .init("$schema", .text("https://json-schema.org/draft/2020-12/schema", nil)),
            .init("title", .text("Martlet configuration", nil)),
            .init("description", .text("Made by `martlet config schema`. Every value may be a reference: env://NAME or file:///PATH.", nil)),
        ]
        guard case .mapping(let root) = section("") else { return "" }
        entries += root
        // Keys for anchors that other places refer to.
        entries.append(.init("patternProperties", .mapping([.init("^x-", .literal("true", nil))])))
        return EffectiveValue.mapping(entries).prettyJSON() + "\n"
    }

    private static func read(_ root: ConfigNode) -> ReadingReport {
        let report = ReadingReport(environment: [:])
        _ = SettingsReader(report: report).read(root)
        return report
    }

    /// Keys of sections that no reader has asked for.
    private static func unknown(_ report: ReadingReport) -> [(pattern: String, key: String)] {
        report.sections.flatMap { pattern, keys in keys.map { (pattern: pattern, key: $0) } }.filter {
            let pattern = join($0.pattern, $0.key)
            return report.kinds[pattern] == nil && report.sections[pattern] == nil && !report.lists.contains(pattern)
                && !report.openMappings.contains(pattern)
        }
    }

    /// What holds where nothing is said, by pattern, in the form of the file.
    private static func standards() -> [String: EffectiveValue] {
        var settings = Settings()
        settings.providers = [Settings.Provider(id: "", baseURL: BaseURL(isTLS: true, host: "", port: 443, path: ""))]
        var values: [String: EffectiveValue] = [:]
        func collect(_ value: EffectiveValue, _ pattern: String) {
            switch value {
            case .text, .literal: values[pattern] = value
            case .mapping(let entries): for entry in entries { collect(entry.value, join(pattern, entry.key)) }
            case .list(let items):
                let isPlain = items.allSatisfy { if case .text = $0 { true } else { false } }
                if isPlain { values[pattern] = value } else if let first = items.first { collect(first, pattern + "[]") }
            }
        }
        collect(settings.effective, "")
        // A provider without a proxy of its own goes by that of `network`.
        values["providers[].proxy"] = nil
        return values
    }

    private static func join(_ pattern: String, _ key: String) -> String { pattern.isEmpty ? key : "\(pattern).\(key)" }

    /// Whether a pattern is below a mapping whose keys are the user's.
    private func isOpen(_ pattern: String) -> Bool { report.openMappings.contains { pattern == $0 || pattern.hasPrefix($0 + ".") } }

    // MARK: Nodes

    private func section(_ pattern: String) -> EffectiveValue {
        let keys = report.sections[pattern] ?? []
        let required = SettingsSchema.required[pattern] ?? []
        // A mapping without anything in it is written as nothing, too.
        let type: EffectiveValue = required.isEmpty ? .list([.text("object", nil), .text("null", nil)]) : .text("object", nil)
        var entries: [EffectiveValue.Entry] = [
            .init("type", type),
            .init("properties", .mapping(keys.map { .init($0, described(SettingsSchema.join(pattern, $0))) })),
            .init("additionalProperties", .literal("false", nil)),
        ]
        if !required.isEmpty { entries.append(.init("required", .list(required.map { .text($0, nil) }))) }
        return .mapping(entries)
    }

    private func described(_ pattern: String) -> EffectiveValue {
        guard case .mapping(let node) = node(pattern) else { return .mapping([]) }
        var entries: [EffectiveValue.Entry] = []
        if let words = SettingsSchema.words[pattern] { entries.append(.init("description", .text(words, nil))) }
        entries += node
        let parent = pattern.lastIndex(of: ".").map { String(pattern[..<$0]) } ?? ""
        let key = String(pattern.dropFirst(parent.isEmpty ? 0 : parent.count + 1))
        if let standard = defaults[pattern], SettingsSchema.required[parent]?.contains(key) != true {
            entries.append(.init("default", standard))
        }
        return .mapping(entries)
    }

    private func node(_ pattern: String) -> EffectiveValue {
        if report.openMappings.contains(pattern) {
            return .mapping([
                .init("type", .list([.text("object", nil), .text("null", nil)])), .init("additionalProperties", SettingsSchema.schema(of: .text)),
            ])
        }
        if report.lists.contains(pattern) {
            let isRequired = SettingsSchema.required[pattern.droppingLastKey]?.contains(pattern.lastKey) == true
            var entries: [EffectiveValue.Entry] = [
                .init("type", isRequired ? .text("array", nil) : .list([.text("array", nil), .text("null", nil)])),
                .init("items", section(pattern + "[]")),
            ]
            if isRequired { entries.append(.init("minItems", .literal("1", nil))) }
            return .mapping(entries)
        }
        if report.sections[pattern] != nil { return section(pattern) }
        return SettingsSchema.schema(of: report.kinds[pattern] ?? .text)
    }
}

extension String {
    fileprivate var droppingLastKey: String { lastIndex(of: ".").map { String(self[..<$0]) } ?? "" }
    fileprivate var lastKey: String { lastIndex(of: ".").map { String(self[index(after: $0)...]) } ?? self }
}

extension ConfigNode {
    /// Puts a node at a pattern's first place: `providers[]` is the first provider.
    fileprivate mutating func put(_ node: ConfigNode, at pattern: String, _ key: String) {
        let steps = pattern.isEmpty ? [] : pattern.split(separator: ".").map(String.init)
        put(node, at: steps[...], key)
    }

    private mutating func put(_ node: ConfigNode, at steps: ArraySlice<String>, _ key: String) {
        guard case .mapping(var entries) = content else { return }
        defer { content = .mapping(entries) }
        guard let step = steps.first else {
            entries.removeAll { $0.key == key }
            entries.append(Entry(key: key, keyOrigin: origin, value: node))
            return
        }
        let isList = step.hasSuffix("[]")
        let name = isList ? String(step.dropLast(2)) : step
        if !entries.contains(where: { $0.key == name }) { entries.append(Entry(key: name, keyOrigin: origin, value: isList ? [[:]] : [:])) }
        guard let index = entries.firstIndex(where: { $0.key == name }) else { return }
        if isList, case .sequence(var items) = entries[index].value.content, !items.isEmpty {
            items[0].put(node, at: steps.dropFirst(), key)
            entries[index].value.content = .sequence(items)
        } else {
            entries[index].value.put(node, at: steps.dropFirst(), key)
        }
    }
}
