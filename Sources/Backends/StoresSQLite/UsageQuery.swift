import Contracts
import Vocabulary

/// The statements that find the rows of a filter.
///
/// Each names its index: SQLite, which knows nothing of our data, would choose among them by chance. A statement reads a range of one index
/// in the order of the answer, so a page costs what it returns, as long as the other conditions of the filter do not exclude most of
/// that range.
struct UsageQuery {
    enum Value {
        case text(String)
        case integer(Int64)
    }

    struct Condition {
        var sql: String
        var values: [Value]
    }

    /// Several, when one index cannot serve the filter; no row is in two of them.
    struct Branch {
        var index: String?
        var conditions: [Condition]

        var from: String { "usage " + (index.map { "INDEXED BY \($0)" } ?? "NOT INDEXED") }
        var whereClause: String { conditions.isEmpty ? "" : "WHERE " + conditions.map(\.sql).joined(separator: " AND ") }
        var values: [Value] { conditions.flatMap(\.values) }
    }

    private(set) var branches: [Branch]

    /// - Parameter numbers: the rows to look among, from ``UsageFilter/from`` and ``UsageFilter/until`` or a cursor.
    init(_ filter: UsageFilter, numbers: ClosedRange<Int64>?) {
        // Ordered by how few rows one value usually has.
        var indexed: [(index: String, condition: Condition)] = []
        func equal(_ column: String, _ value: Value?) {
            if let value { indexed.append(("usage_" + column, Condition(sql: "\(column) = ?", values: [value]))) }
        }
        equal("request_id", filter.requestID.map(Value.text))
        equal("key_id", filter.keyID.map(Value.text))
        var others: [Condition] = []
        for (column, value) in [("user", filter.user), ("agent", filter.agent), ("team", filter.team)] {
            guard let value else { continue }
            if value.isEmpty {
                others.append(Condition(sql: "\(column) = ''", values: []))
            } else {
                // The second half lets SQLite use an index that leaves the empty ones out.
                indexed.append(("usage_" + column, Condition(sql: "\(column) = ? AND \(column) <> ''", values: [.text(value)])))
            }
        }
        if filter.outcome != .success { equal("outcome", filter.outcome.map { .integer(Int64($0.rawValue)) }) }
        if filter.status != 200 { equal("status", filter.status.map(Value.integer)) }
        let modelRank = indexed.count
        equal("tenant", filter.tenant.map(Value.text))
        equal("provider", filter.provider.map(Value.text))
        equal("endpoint", filter.endpoint.map { .integer(Int64($0.rawValue)) })
        equal("is_stream", filter.isStream.map { .integer($0 ? 1 : 0) })
        if filter.outcome == .success { equal("outcome", .integer(Int64(Outcome.success.rawValue))) }
        if filter.status == 200 { equal("status", .integer(200)) }

        others = indexed.map(\.condition) + others
        if let from = filter.from { others.append(Condition(sql: "started_at >= ?", values: [.integer(from.microseconds)])) }
        if let until = filter.until { others.append(Condition(sql: "started_at < ?", values: [.integer(until.microseconds)])) }
        if let numbers {
            others.append(Condition(sql: "number BETWEEN ? AND ?", values: [.integer(numbers.lowerBound), .integer(numbers.upperBound)]))
        }
        guard let model = filter.model else {
            branches = [Branch(index: indexed.first?.index, conditions: others)]
            return
        }
        guard modelRank == 0 else {
            let either = Condition(sql: "(requested_model = ? OR served_model = ?)", values: [.text(model), .text(model)])
            branches = [Branch(index: indexed.first?.index, conditions: others + [either])]
            return
        }
        branches = [
            Branch(
                index: "usage_requested_model", conditions: [Condition(sql: "requested_model = ?", values: [.text(model)])] + others),
            Branch(
                index: "usage_served_model",
                conditions: [Condition(sql: "served_model = ? AND served_model <> requested_model", values: [.text(model)])] + others),
        ]
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
