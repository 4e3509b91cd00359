import NIOCore

/// Reads the body of a request for a new secret of a key.
struct KeyRotationReader {
    private static let known = ["grace", "grace_period"]
    /// Longer than that, two secrets are not a rotation any more. In seconds.
    private static let graceMax: Double = 365 * 86_400

    /// How long the secret in force may still be used; nothing where nobody asked for a grace.
    func grace(_ body: ByteBuffer) throws -> Duration {
        let members = try JSONValue.members(of: body)
        if let unknown = members.keys.sorted().first(where: { !KeyRotationReader.known.contains($0) }) {
            throw APIError.unknown(unknown, known: KeyRotationReader.known)
        }
        let given = KeyRotationReader.known.filter { members[$0] != nil }
        guard given.count < 2 else { throw APIError.invalid(given[1], "give it once") }
        guard let field = given.first, let value = members[field] else { return .zero }
        let seconds: Double
        switch value {
        case .number(let number): seconds = number
        case .string(let text):
            guard let read = secondsOfPeriod(text) else {
                throw APIError.invalid(field, "seconds or a period such as 90s, 30m, 24h or 7d are expected, and 0 for none")
            }
            seconds = read
        case .null, .bool, .array, .object: throw APIError.invalid(field, "a string or a number is expected")
        }
        guard seconds.isFinite, (0...KeyRotationReader.graceMax).contains(seconds) else {
            throw APIError.invalid(field, "it must be from 0 to 365 days")
        }
        return .milliseconds(Int64((seconds * 1000).rounded(.up)))
    }
}
