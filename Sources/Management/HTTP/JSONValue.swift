import Foundation
import NIOCore
import Vocabulary

/// A JSON value from a client, before we know what it should be.
enum JSONValue: Decodable, Sendable {
    case null
    case bool(Bool)
    case number(Double)
    case string(String)
    case array([JSONValue])
    case object([String: JSONValue])

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
        } else if let value = try? container.decode(Bool.self) {
            self = .bool(value)
        } else if let value = try? container.decode(Double.self) {
            self = .number(value)
        } else if let value = try? container.decode(String.self) {
            self = .string(value)
        } else if let value = try? container.decode([JSONValue].self) {
            self = .array(value)
        } else {
            self = .object(try container.decode([String: JSONValue].self))
        }
    }

    /// The members of a body that must be an object; an empty body is an empty object, and members that are null count as absent.
    static func members(of body: ByteBuffer) throws -> [String: JSONValue] {
        let data = Data(body.readableBytesView)
        guard data.contains(where: { ![0x20, 0x09, 0x0a, 0x0d].contains($0) }) else { return [:] }
        let value: JSONValue
        do {
            value = try JSONDecoder().decode(JSONValue.self, from: data)
        } catch {
            // The decoder's own words name Swift types.
            throw GatewayError.malformedJSON("it is not valid JSON")
        }
        guard case .object(let members) = value else { throw GatewayError.malformedJSON("it must be an object") }
        return members.filter { member in
            if case .null = member.value { return false }
            return true
        }
    }
}
