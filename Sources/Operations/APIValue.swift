import Foundation

/// An answer of the management API, as far as tables need it: numbers keep their exact digits.
package indirect enum APIValue: Sendable, Hashable {
    case null
    case boolean(Bool)
    /// In its digits, without an exponent.
    case number(String)
    case string(String)
    case array([APIValue])
    case object([String: APIValue])

    /// - Returns: `nil` when the bytes are no JSON.
    package init?(json bytes: [UInt8]) {
        guard let value = try? JSONDecoder().decode(APIValue.self, from: Data(bytes)) else { return nil }
        self = value
    }

    /// The value of a key; `nil` for other things than objects.
    package subscript(key: String) -> APIValue? {
        guard case .object(let fields) = self else { return nil }
        return fields[key]
    }

    /// The items of a list; empty for anything else.
    package var items: [APIValue] {
        guard case .array(let items) = self else { return [] }
        return items
    }

    /// A text, a number or a truth value in words; lists of them with commas between; `nil` for null and for objects.
    package var text: String? {
        switch self {
        case .null, .object: nil
        case .boolean(let value): value ? "yes" : "no"
        case .number(let value), .string(let value): value
        case .array(let items): items.compactMap { $0.text ?? $0.label }.joined(separator: ", ")
        }
    }

    /// What a person calls an object: its name, its id, or its provider and model.
    private var label: String? {
        if let provider = self["provider"]?.text, let model = self["model"]?.text { return "\(provider)/\(model)" }
        return self["name"]?.text ?? self["id"]?.text
    }
}

extension APIValue: Decodable {
    package init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
        } else if let value = try? container.decode(Bool.self) {
            self = .boolean(value)
        } else if let value = try? container.decode(String.self) {
            self = .string(value)
        } else if let value = try? container.decode(Decimal.self) {
            self = .number("\(value)")
        } else if let value = try? container.decode([APIValue].self) {
            self = .array(value)
        } else {
            self = .object(try container.decode([String: APIValue].self))
        }
    }
}
