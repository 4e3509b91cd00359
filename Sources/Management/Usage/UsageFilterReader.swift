import Contracts
import Vocabulary

/// Reads the filters of usage from a query.
enum UsageFilterReader {
    /// The parameters that ``read(_:)`` knows.
    static let names = [
        "request_id", "tenant", "team", "agent", "user", "key", "key_id", "model", "provider", "endpoint", "outcome", "status", "stream", "from",
        "since", "to", "until",
    ]

    static func read(_ query: QueryParameters) throws -> UsageFilter {
        var filter = UsageFilter()
        filter.requestID = try query.first("request_id")?.value
        filter.tenant = try query.first("tenant")?.value
        filter.team = try query.first("team")?.value
        filter.agent = try query.first("agent")?.value
        filter.user = try query.first("user")?.value
        filter.keyID = try query.first("key", "key_id")?.value
        filter.model = try query.first("model")?.value
        filter.provider = try query.first("provider")?.value
        filter.endpoint = try query.first("endpoint").map { name, value in
            guard let endpoint = Endpoint(name: value) else {
                throw APIError.invalid(name, "endpoints are \(Endpoint.allCases.map(\.name).joined(separator: ", "))")
            }
            return endpoint
        }
        filter.outcome = try query.first("outcome").map { name, value in
            guard let outcome = Outcome(name: value) else {
                throw APIError.invalid(name, "outcomes are \(Outcome.allCases.map(\.name).joined(separator: ", "))")
            }
            return outcome
        }
        filter.status = try query.first("status").map { name, value in
            guard let status = Int64(value), status == 0 || (100...599).contains(status) else {
                throw APIError.invalid(name, "an HTTP status, or 0 for none, is expected")
            }
            return status
        }
        filter.isStream = try query.first("stream").map { name, value in
            switch value {
            case "true", "1": return true
            case "false", "0": return false
            default: throw APIError.invalid(name, "true or false is expected")
            }
        }
        filter.from = try query.first("from", "since").map(time)
        filter.until = try query.first("to", "until").map(time)
        return filter
    }

    /// Rows per page.
    static func limit(_ query: QueryParameters) throws -> Int {
        guard let (name, value) = try query.first("limit") else { return 100 }
        guard let limit = Int(value), (1...1000).contains(limit) else { throw APIError.invalid(name, "a whole number from 1 to 1000 is expected") }
        return limit
    }

    /// The row number that a cursor stands for.
    static func cursor(_ query: QueryParameters) throws -> Int64? {
        guard let (name, value) = try query.first("cursor") else { return nil }
        guard value.hasPrefix("u"), let number = Int64(value.dropFirst(), radix: 36), number > 0 else {
            throw APIError.invalid(name, "take it from next_cursor of the page before")
        }
        return number
    }

    /// The cursor behind a row. Opaque to clients: what it counts may change.
    static func cursor(after row: UsageRow) -> String {
        "u" + String(row.number, radix: 36)
    }

    private static func time(_ name: String, _ value: String) throws -> WallTime {
        guard let time = WallTime(value) else {
            throw APIError.invalid(name, "a date, a time of RFC 3339 (with + as %2B) or Unix seconds are expected")
        }
        return time
    }
}
