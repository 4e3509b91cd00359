import Contracts
import NIOCore
import Vocabulary

/// Reads the body of a request for a new key.
struct KeyRequestReader {
    /// When the request came; a key that has expired by then is a mistake.
    let now: WallTime
    /// For a key that names no tenant.
    var standardTenant = "default"

    private static let known = [
        "name", "tenant", "team", "agent", "user", "rights", "scopes", "models", "allowed_models", "expires_at", "expires_in",
        "expires_in_seconds", "ttl",
    ]
    private static let nameLengthMax = 64
    private static let modelsMax = 256
    /// 9999-12-31T23:59:59Z, the last moment that RFC 3339 can write, in seconds.
    private static let lastSecond: Double = 253_402_300_799

    func read(_ body: ByteBuffer) throws -> KeyRequest {
        let members = try JSONValue.members(of: body)
        if let unknown = members.keys.sorted().first(where: { !KeyRequestReader.known.contains($0) }) {
            throw APIError.unknown(unknown, known: KeyRequestReader.known)
        }
        var request = KeyRequest()
        request.name = try label("name", members) ?? request.name
        request.tenant = try label("tenant", members) ?? standardTenant
        guard !request.tenant.isEmpty else { throw APIError.invalid("tenant", "it must not be empty") }
        request.team = try label("team", members) ?? request.team
        request.agent = try label("agent", members) ?? request.agent
        request.user = try label("user", members) ?? request.user
        if let (field, value) = try one(of: ["rights", "scopes"], in: members) {
            guard let rights = Rights(names: try strings(field, value)) else {
                let names = Rights.named.map(\.name) + ["admin"]
                throw APIError.invalid(field, "rights are \(names.joined(separator: ", "))")
            }
            request.rights = rights
        }
        if let (field, value) = try one(of: ["models", "allowed_models"], in: members) {
            request.models = try strings(field, value)
            guard request.models.count <= KeyRequestReader.modelsMax else {
                throw APIError.invalid(field, "at most \(KeyRequestReader.modelsMax) patterns")
            }
            for model in request.models {
                try check(field, model)
                guard !model.isEmpty else { throw APIError.invalid(field, "a pattern must not be empty") }
            }
        }
        request.expiresAt = try expiry(members)
        return request
    }

    private func label(_ field: String, _ members: [String: JSONValue]) throws -> String? {
        guard let value = members[field] else { return nil }
        guard case .string(let text) = value else { throw GatewayError.wrongType(field: field, expected: "a string") }
        try check(field, text)
        return text
    }

    /// Names end up in metrics, logs and tables; none of them should be able to break one.
    private func check(_ field: String, _ text: String) throws {
        guard text.unicodeScalars.count <= KeyRequestReader.nameLengthMax else {
            throw APIError.invalid(field, "at most \(KeyRequestReader.nameLengthMax) characters")
        }
        guard !text.unicodeScalars.contains(where: { $0.properties.generalCategory == .control }) else {
            throw APIError.invalid(field, "control characters are not allowed")
        }
    }

    private func one(of names: [String], in members: [String: JSONValue]) throws -> (field: String, value: JSONValue)? {
        let given = names.filter { members[$0] != nil }
        guard given.count < 2 else { throw GatewayError.duplicateField(given[1]) }
        guard let field = given.first, let value = members[field] else { return nil }
        return (field, value)
    }

    /// A list of strings, or one string that stands for a list of one.
    private func strings(_ field: String, _ value: JSONValue) throws -> [String] {
        switch value {
        case .string(let text):
            return [text]
        case .array(let elements):
            return try elements.map { element in
                guard case .string(let text) = element else { throw GatewayError.wrongType(field: field, expected: "a list of strings") }
                return text
            }
        default:
            throw GatewayError.wrongType(field: field, expected: "a string or a list of strings")
        }
    }

    private func expiry(_ members: [String: JSONValue]) throws -> WallTime? {
        guard let (field, value) = try one(of: ["expires_at", "expires_in", "expires_in_seconds", "ttl"], in: members) else { return nil }
        let time = field == "expires_at" ? try moment(field, value) : try period(field, value)
        guard time > now else { throw APIError.invalid(field, "the key would have expired already") }
        return time
    }

    private func moment(_ field: String, _ value: JSONValue) throws -> WallTime {
        switch value {
        case .string(let text):
            guard let time = WallTime(text) else { throw APIError.invalid(field, "a date, a time of RFC 3339 or Unix seconds are expected") }
            return time
        case .number(let seconds):
            return try time(field, seconds)
        default:
            throw GatewayError.wrongType(field: field, expected: "a string or a number")
        }
    }

    private func period(_ field: String, _ value: JSONValue) throws -> WallTime {
        let seconds: Double
        switch value {
        case .number(let number):
            seconds = number
        case .string(let text):
            guard let read = secondsOfPeriod(text) else {
                throw APIError.invalid(field, "seconds or a period such as 90s, 30m, 24h or 7d are expected")
            }
            seconds = read
        default:
            throw GatewayError.wrongType(field: field, expected: "a string or a number")
        }
        guard seconds > 0 else { throw APIError.invalid(field, "it must be more than nothing") }
        return try time(field, seconds + Double(now.microseconds) / 1_000_000)
    }

    private func time(_ field: String, _ seconds: Double) throws -> WallTime {
        guard seconds.isFinite, abs(seconds) <= KeyRequestReader.lastSecond else { throw APIError.invalid(field, "it is too far away") }
        return WallTime(microseconds: Int64((seconds * 1_000_000).rounded()))
    }
}

/// Reads `90`, `90s`, `500ms`, `30m`, `24h` or `7d` as seconds.
func secondsOfPeriod(_ text: String) -> Double? {
    let units: [(suffix: String, seconds: Double)] = [("ms", 0.001), ("s", 1), ("m", 60), ("h", 3600), ("d", 86_400), ("", 1)]
    for (suffix, seconds) in units where text.hasSuffix(suffix) {
        let number = text.dropLast(suffix.count)
        guard !number.isEmpty, number.utf8.allSatisfy({ (0x30...0x39).contains($0) || $0 == UInt8(ascii: ".") }), let value = Double(number)
        else { return nil }
        return value * seconds
    }
    return nil
}
