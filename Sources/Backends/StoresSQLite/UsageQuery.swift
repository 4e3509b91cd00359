import Contracts
import Vocabulary

/// A filter as conditions on `usage_dimensions d` and on `usage u`, and the statements that find its rows.
///
/// Each statement names its index: SQLite, which knows nothing of our data, would choose among them by chance.
struct UsageQuery {
    enum Value {
        case text(String)
        case integer(Int64)
    }

    struct Condition {
        var sql: String
        var values: [Value]
    }

    /// A part of a SELECT from FROM on. SQLite takes the tables of a CROSS JOIN in the order in which they stand.
    struct Source {
        var from: String
        var conditions: [Condition]

        var sql: String { "FROM \(from)" + (conditions.isEmpty ? "" : " WHERE " + conditions.map(\.sql).joined(separator: " AND ")) }
        var values: [Value] { conditions.flatMap(\.values) }
    }

    private let requestID: String?
    private let model: String?
    /// What the dimension must be, but for its model.
    private let dimension: [Condition]
    /// When the call must have started.
    private let time: [Condition]

    init(_ filter: UsageFilter) {
        requestID = filter.requestID
        model = filter.model
        var dimension: [Condition] = []
        func equal(_ column: String, _ value: Value?) {
            if let value { dimension.append(Condition(sql: "d.\(column) = ?", values: [value])) }
        }
        equal("tenant", filter.tenant.map(Value.text))
        equal("team", filter.team.map(Value.text))
        equal("agent", filter.agent.map(Value.text))
        equal("user", filter.user.map(Value.text))
        equal("key_id", filter.keyID.map(Value.text))
        equal("provider", filter.provider.map(Value.text))
        equal("endpoint", filter.endpoint.map { .integer(Int64($0.rawValue)) })
        equal("outcome", filter.outcome.map { .integer(Int64($0.rawValue)) })
        equal("status", filter.status.map(Value.integer))
        equal("is_stream", filter.isStream.map { .integer($0 ? 1 : 0) })
        self.dimension = dimension
        var time: [Condition] = []
        if let from = filter.from { time.append(Condition(sql: "u.started_at >= ?", values: [.integer(from.microseconds)])) }
        if let until = filter.until { time.append(Condition(sql: "u.started_at < ?", values: [.integer(until.microseconds)])) }
        self.time = time
    }

    /// Whether rows are found by their request id, of which there are few.
    var hasRequestID: Bool { requestID != nil }
    /// Whether only some dimensions match.
    var hasDimension: Bool { !dimension.isEmpty || model != nil }

    /// All rows, in the order of their numbers.
    func walk(_ numbers: ClosedRange<Int64>) -> Source {
        Source(from: "usage u NOT INDEXED CROSS JOIN usage_dimensions d ON d.id = u.dimension", conditions: rest(numbers))
    }

    /// The rows with the request id.
    func ofRequest(_ numbers: ClosedRange<Int64>) -> Source {
        Source(
            from: "usage u INDEXED BY usage_request_id CROSS JOIN usage_dimensions d ON d.id = u.dimension",
            conditions: [Condition(sql: "u.request_id = ?", values: [.text(requestID ?? "")])] + rest(numbers))
    }

    /// Spans in which dimensions that match have rows; one may come several times.
    func spansOfDimensions(_ spans: ClosedRange<Int64>) -> Source {
        var conditions = dimension
        if let model { conditions.append(Condition(sql: "(d.requested_model = ? OR d.served_model = ?)", values: [.text(model), .text(model)])) }
        conditions.append(Condition(sql: "s.span BETWEEN ? AND ?", values: [.integer(spans.lowerBound), .integer(spans.upperBound)]))
        return Source(from: "usage_dimensions d NOT INDEXED CROSS JOIN usage_spans s ON s.dimension = d.id", conditions: conditions)
    }

    /// The rows that asked for the model and did not get it, which are in no dimension of that model; `nil` when no model is wanted.
    func unserved(_ numbers: ClosedRange<Int64>) -> Source? {
        guard let model else { return nil }
        return Source(
            from: "usage u INDEXED BY usage_unserved_model",
            conditions: [Condition(sql: "u.unserved_model = ?", values: [.text(model)]), among(numbers)])
    }

    private func rest(_ numbers: ClosedRange<Int64>) -> [Condition] {
        var conditions = dimension + time + [among(numbers)]
        if let model {
            conditions.append(
                Condition(
                    sql: "(d.requested_model = ? OR d.served_model = ? OR u.unserved_model = ?)",
                    values: [.text(model), .text(model), .text(model)]))
        }
        return conditions
    }

    private func among(_ numbers: ClosedRange<Int64>) -> Condition {
        Condition(sql: "u.number BETWEEN ? AND ?", values: [.integer(numbers.lowerBound), .integer(numbers.upperBound)])
    }
}

extension RawStatement {
    /// Binds values from the first place on.
    ///
    /// - Returns: the next free place.
    @discardableResult
    func bind(_ values: [UsageQuery.Value]) throws -> Int32 {
        var index: Int32 = 1
        for value in values {
            switch value {
            case .text(let text): try bind(text, at: index)
            case .integer(let integer): try bind(integer, at: index)
            }
            index += 1
        }
        return index
    }
}
