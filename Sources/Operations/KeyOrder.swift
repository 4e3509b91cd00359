import Vocabulary

/// The body of `POST /api/v1/keys`, as the command line fills it.
package struct KeyOrder: Sendable {
    private let fields: [(name: String, value: String)]

    /// - Parameters:
    ///   - rights: names, each of which may be several with commas between; the same for `models`.
    ///   - expiresAt: RFC 3339.
    package init(
        name: String?, tenant: String?, team: String?, agent: String?, user: String?, rights: [String], models: [String], expiresAt: String?,
        expiresInSeconds: Int64?
    ) {
        var fields: [(name: String, value: String)] = []
        for (name, value) in [
            ("name", name), ("tenant", tenant), ("team", team), ("agent", agent), ("user", user), ("expires_at", expiresAt),
        ] {
            if let value { fields.append((name, KeyOrder.string(value))) }
        }
        for (name, values) in [("rights", KeyOrder.split(rights)), ("models", KeyOrder.split(models))] where !values.isEmpty {
            fields.append((name, "[" + values.map(KeyOrder.string).joined(separator: ",") + "]"))
        }
        if let expiresInSeconds { fields.append(("expires_in", String(expiresInSeconds))) }
        self.fields = fields
    }

    /// The body.
    package var json: [UInt8] {
        Array(("{" + fields.map { "\"\($0.name)\":\($0.value)" }.joined(separator: ",") + "}").utf8)
    }

    /// `["a,b", "c"]` as `["a", "b", "c"]`.
    package static func split(_ values: [String]) -> [String] {
        values.flatMap { $0.split(separator: ",") }.map { $0.filter { !$0.isWhitespace } }.filter { !$0.isEmpty }
    }

    /// Reads `30d`, `12h`, `90m`, `45s` or plain seconds.
    ///
    /// - Returns: `nil` when the text is none of these, is nothing, or is longer than a century.
    package static func seconds(_ text: String) -> Int64? {
        let units: [Character: Int64] = ["s": 1, "m": 60, "h": 3600, "d": 86_400]
        let factor = text.last.flatMap { units[$0] }
        guard let number = Int64(factor == nil ? text : String(text.dropLast())), number > 0 else { return nil }
        let (seconds, isTooLarge) = number.multipliedReportingOverflow(by: factor ?? 1)
        return isTooLarge || seconds > 3_155_760_000 ? nil : seconds
    }

    /// The body of `POST /api/v1/keys/{id}/rotate`.
    package static func rotation(graceSeconds: Int64?) -> [UInt8] {
        Array("{\(graceSeconds.map { "\"grace\":\($0)" } ?? "")}".utf8)
    }

    private static func string(_ text: String) -> String {
        var bytes: [UInt8] = []
        appendJSONString(text, to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }
}
