/// Makes a seeded value that satisfies a JSON Schema: the subset OpenAI takes for structured outputs and tools, and some more.
///
/// Known: `type` (also a list), `properties`, `required`, `additionalProperties`, `items`, `prefixItems`, `minItems`, `maxItems`, `enum`,
/// `const`, `anyOf`, `oneOf`, `allOf`, `$ref` into the same document, bounds of numbers, `multipleOf`, lengths, `format`, `pattern`.
package struct SchemaMaker {
    /// Beyond this depth only what is required is made, so that recursive schemas end.
    private static let comfortableDepth = 6
    /// Beyond this depth every value is null: the schema has no finite value.
    private static let maximumDepth = 64

    private let root: JSONValue
    private var random: SeededRandom

    /// - Parameter root: the schema, with the definitions that its references name.
    package init(root: JSONValue, seed: UInt64) {
        self.root = root
        random = SeededRandom(seed: seed)
    }

    /// The value as compact JSON.
    package func text() -> String {
        var maker = self
        // Arguments and structured answers are objects when the schema does not say anything else.
        let schema: JSONValue = root.members?.isEmpty ?? true ? .object([JSONMember("type", .string("object"))]) : root
        return maker.value(schema, depth: 0).text
    }

    private mutating func value(_ schema: JSONValue, depth: Int) -> JSONValue {
        guard depth < Self.maximumDepth else { return .null }
        let schema = resolved(schema)
        if let constant = schema["const"] { return constant }
        if let cases = schema["enum"]?.arrayValue, !cases.isEmpty { return cases[random.below(cases.count)] }
        for name in ["anyOf", "oneOf"] {
            if let options = schema[name]?.arrayValue, !options.isEmpty {
                return value(merged(schema, chosen(options, depth: depth), dropping: name), depth: depth + 1)
            }
        }
        switch type(of: schema, depth: depth) {
        case "object": return object(schema, depth: depth)
        case "array": return array(schema, depth: depth)
        case "string": return .string(StringMaker.string(schema, &random))
        case "integer": return .number(NumberMaker.integer(schema, &random))
        case "number": return .number(NumberMaker.number(schema, &random))
        case "boolean": return .bool(random.next() & 1 == 0)
        default: return .null
        }
    }

    private mutating func object(_ schema: JSONValue, depth: Int) -> JSONValue {
        let required = Set((schema["required"]?.arrayValue ?? []).compactMap(\.stringValue))
        var members: [JSONMember] = []
        for property in schema["properties"]?.members ?? [] {
            guard depth < Self.comfortableDepth || required.contains(property.name) else { continue }
            members.append(JSONMember(property.name, value(property.value, depth: depth + 1)))
        }
        let free = schema["additionalProperties"] ?? .bool(true)
        for name in required.sorted() where !members.contains(where: { $0.name == name }) {
            members.append(JSONMember(name, value(free, depth: depth + 1)))
        }
        let minimum = schema["minProperties"]?.integerValue ?? 0
        while members.count < minimum, free != .bool(false) {
            members.append(JSONMember("\(WordSequence.word(&random))_\(members.count)", value(free, depth: depth + 1)))
        }
        return .object(members)
    }

    private mutating func array(_ schema: JSONValue, depth: Int) -> JSONValue {
        let minimum = schema["minItems"]?.integerValue ?? 0
        let maximum = schema["maxItems"]?.integerValue ?? max(minimum, 3)
        let usual = depth < Self.comfortableDepth ? 1 + random.below(3) : 0
        let count = max(minimum, min(usual, maximum))
        let leading = schema["prefixItems"]?.arrayValue ?? []
        let items = schema["items"] ?? .object([JSONMember("type", .string("string"))])
        // `items: false` forbids what goes beyond the leading elements.
        let wanted = items == .bool(false) ? leading.count : max(count, leading.count)
        let isUnique = schema["uniqueItems"]?.boolValue ?? false
        var elements: [JSONValue] = []
        // A unique array may need more draws than elements; one whose items have too few values stays short.
        var draws = 0
        while elements.count < wanted, draws < 64 * wanted {
            draws += 1
            let element = value(elements.count < leading.count ? leading[elements.count] : items, depth: depth + 1)
            if isUnique, elements.contains(element) { continue }
            elements.append(element)
        }
        return .array(elements)
    }

    /// The type to make: the named one, the first but null of several, or what the other keywords hint at.
    private func type(of schema: JSONValue, depth: Int) -> String {
        switch schema["type"] {
        case .string(let name): return name
        case .array(let names):
            let names = names.compactMap(\.stringValue)
            if depth >= Self.comfortableDepth, names.contains("null") { return "null" }
            return names.first { $0 != "null" } ?? "null"
        default:
            if schema["properties"] != nil || schema["required"] != nil { return "object" }
            if schema["items"] != nil || schema["prefixItems"] != nil { return "array" }
            if ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"].contains(where: { schema[$0] != nil }) {
                return "number"
            }
            return "string"
        }
    }

    /// One of several alternatives: any of them near the top, the one without references deep down, so that recursion ends.
    private mutating func chosen(_ options: [JSONValue], depth: Int) -> JSONValue {
        guard depth >= Self.comfortableDepth else { return options[random.below(options.count)] }
        return options.first { $0["type"] == .string("null") } ?? options.first { $0["$ref"] == nil } ?? options[0]
    }

    /// Follows references and joins `allOf`.
    private func resolved(_ schema: JSONValue) -> JSONValue {
        var schema = schema
        var hops = 0
        while let reference = schema["$ref"]?.stringValue, hops < 32 {
            schema = merged(schema, target(reference) ?? .object([]), dropping: "$ref")
            hops += 1
        }
        guard let parts = schema["allOf"]?.arrayValue else { return schema }
        var whole = merged(schema, .object([]), dropping: "allOf")
        for part in parts { whole = merged(whole, resolved(part), dropping: "") }
        return whole
    }

    private func target(_ reference: String) -> JSONValue? {
        guard reference.hasPrefix("#") else { return nil }
        var found = root
        for step in reference.dropFirst().split(separator: "/") {
            let name = step.split(separator: "~1", omittingEmptySubsequences: false).joined(separator: "/")
                .split(separator: "~0", omittingEmptySubsequences: false).joined(separator: "~")
            if let index = Int(name), let elements = found.arrayValue, elements.indices.contains(index) {
                found = elements[index]
            } else if let next = found[name] {
                found = next
            } else {
                return nil
            }
        }
        return found
    }

    /// Both schemas' keywords; properties and required names are united, else the addition wins.
    private func merged(_ base: JSONValue, _ addition: JSONValue, dropping dropped: String) -> JSONValue {
        var members = (base.members ?? []).filter { $0.name != dropped }
        for member in addition.members ?? [] {
            guard let place = members.firstIndex(where: { $0.name == member.name }) else {
                members.append(member)
                continue
            }
            switch (member.name, members[place].value, member.value) {
            case ("properties", .object(let old), .object(let new)):
                members[place].value = .object(old.filter { known in !new.contains { $0.name == known.name } } + new)
            case ("required", .array(let old), .array(let new)):
                members[place].value = .array(old + new.filter { !old.contains($0) })
            default:
                members[place].value = member.value
            }
        }
        return .object(members)
    }
}
