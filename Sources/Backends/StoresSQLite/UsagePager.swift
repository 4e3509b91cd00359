import Contracts
import GRDB

/// Reads the rows of a query, newest first.
///
/// A page costs what it returns and how many dimensions match, not how many rows there are: it is looked for in the spans in which the
/// dimensions have rows, and these are asked for window by window, each four times as wide as the one before.
struct UsagePager {
    private let query: UsageQuery
    private let database: Database

    /// How many spans the first window has.
    private static let windowMin: Int64 = 64

    init(_ query: UsageQuery, on database: Database) {
        self.query = query
        self.database = database
    }

    func page(_ numbers: ClosedRange<Int64>, limit: Int) throws -> [UsageRow] {
        if query.hasRequestID { return try rows(query.ofRequest(numbers), limit: limit) }
        guard query.hasDimension else { return try rows(query.walk(numbers), limit: limit) }
        let statement = try RawStatement(UsagePager.sql(query.walk(numbers)), on: database, isCached: false)
        var found: [UsageRow] = []
        try eachPart(numbers) { part in
            try statement.bind(Int64(limit - found.count), at: try statement.bind(query.walk(part).values))
            found += try statement.rows(UsageColumns.row)
            return found.count < limit
        }
        return found
    }

    /// Calls the body with ranges of numbers that hold all rows of the query, newest first, until it returns false.
    func eachPart(_ numbers: ClosedRange<Int64>, _ body: (ClosedRange<Int64>) throws -> Bool) throws {
        let newest = try RawStatement("SELECT max(number) FROM usage", on: database).rows { $0.integer(0) }.first ?? 0
        var end = min(numbers.upperBound, newest)
        var width = UsagePager.windowMin
        while end >= numbers.lowerBound {
            let last = end >> UsageColumns.spanBits
            let first = max(last - width + 1, numbers.lowerBound >> UsageColumns.spanBits)
            for spans in runs(of: try spans(first...last)) {
                let start = spans.lowerBound << UsageColumns.spanBits
                let part = start...((spans.upperBound + 1) << UsageColumns.spanBits) - 1
                guard try !part.overlaps(numbers) || body(part.clamped(to: numbers)) else { return }
            }
            end = (first << UsageColumns.spanBits) - 1
            width *= 4
        }
    }

    /// Joins falling spans that follow each other.
    private func runs(of spans: [Int64]) -> [ClosedRange<Int64>] {
        var runs: [ClosedRange<Int64>] = []
        for span in spans {
            if let run = runs.last, run.lowerBound == span + 1 {
                runs[runs.count - 1] = span...run.upperBound
            } else {
                runs.append(span...span)
            }
        }
        return runs
    }

    /// The spans in which there may be rows of the query, newest first.
    private func spans(_ range: ClosedRange<Int64>) throws -> [Int64] {
        var spans: Set<Int64> = []
        for (sql, values) in spanStatements(range) {
            let statement = try RawStatement(sql, on: database, isCached: false)
            try statement.bind(values)
            spans.formUnion(try statement.rows { $0.integer(0) })
        }
        return spans.sorted(by: >)
    }

    private func spanStatements(_ range: ClosedRange<Int64>) -> [(sql: String, values: [UsageQuery.Value])] {
        let ofDimensions = query.spansOfDimensions(range)
        var statements = [("SELECT s.span " + ofDimensions.sql, ofDimensions.values)]
        let first = range.lowerBound << UsageColumns.spanBits
        let last = ((range.upperBound + 1) << UsageColumns.spanBits) - 1
        if let unserved = query.unserved(first...last) {
            statements.append(("SELECT u.number >> \(UsageColumns.spanBits) " + unserved.sql, unserved.values))
        }
        return statements
    }

    /// The statements of a page and what is bound to them, for `EXPLAIN QUERY PLAN`.
    func statements(_ numbers: ClosedRange<Int64>) -> [(sql: String, values: [UsageQuery.Value])] {
        let source = query.hasRequestID ? query.ofRequest(numbers) : query.walk(numbers)
        let page = (UsagePager.sql(source), source.values + [.integer(1)])
        return query.hasDimension && !query.hasRequestID ? [page] + spanStatements(0...1) : [page]
    }

    private static func sql(_ source: UsageQuery.Source) -> String {
        "SELECT \(UsageColumns.selected) \(source.sql) ORDER BY u.number DESC LIMIT ?"
    }

    private func rows(_ source: UsageQuery.Source, limit: Int) throws -> [UsageRow] {
        let statement = try RawStatement(UsagePager.sql(source), on: database, isCached: false)
        try statement.bind(Int64(limit), at: try statement.bind(source.values))
        return try statement.rows(UsageColumns.row)
    }
}
