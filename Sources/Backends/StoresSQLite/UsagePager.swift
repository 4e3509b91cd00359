import Contracts
import GRDB

/// Reads a page of the rows of a query, newest first, at a cost that depends on the page and on how many dimensions match, not on how many
/// rows there are.
///
/// First it walks back over a limited number of rows, which finds whatever is frequent. What is still missing it takes from the
/// rows of each matching dimension, always the newest one of all.
struct UsagePager {
    private let query: UsageQuery
    private let database: Database

    /// How many rows are looked at for each that is wanted before the dimensions are asked.
    private static let walkFactor: Int64 = 4
    private static let walkMin: Int64 = 512

    init(_ query: UsageQuery, on database: Database) {
        self.query = query
        self.database = database
    }

    func page(_ numbers: ClosedRange<Int64>, limit: Int) throws -> [UsageRow] {
        if query.hasRequestID { return try rows(query.ofRequest(numbers), limit: limit) }
        guard query.hasDimension else { return try rows(query.walk(numbers), limit: limit) }
        guard let (walk, older) = try split(numbers, limit: limit) else { return [] }
        var found = try rows(query.walk(walk), limit: limit)
        if let older, found.count < limit { found += try merge(older, limit: limit - found.count) }
        return found
    }

    /// The statements of a page and what is bound to them, for `EXPLAIN QUERY PLAN`.
    func statements(_ numbers: ClosedRange<Int64>) -> [(sql: String, values: [UsageQuery.Value])] {
        func page(_ source: UsageQuery.Source) -> (sql: String, values: [UsageQuery.Value]) {
            (UsagePager.pageSQL(source), source.values + [.integer(1)])
        }
        if query.hasRequestID { return [page(query.ofRequest(numbers))] }
        guard query.hasDimension else { return [page(query.walk(numbers))] }
        let numbered = [UsageQuery.ofDimension(1, numbers)] + (query.unserved(numbers).map { [$0] } ?? [])
        return [page(query.walk(numbers)), (UsagePager.rowSQL(query.row(1)), query.row(1).values)] + numbered.map { (UsagePager.numberSQL($0), $0.values) }
    }

    private static func pageSQL(_ source: UsageQuery.Source) -> String {
        "SELECT \(UsageColumns.selected) \(source.sql) ORDER BY u.number DESC LIMIT ?"
    }

    private static func rowSQL(_ source: UsageQuery.Source) -> String {
        "SELECT \(UsageColumns.selected) \(source.sql)"
    }

    private static func numberSQL(_ source: UsageQuery.Source) -> String {
        "SELECT u.number \(source.sql) ORDER BY u.number DESC LIMIT 1"
    }

    private func rows(_ source: UsageQuery.Source, limit: Int) throws -> [UsageRow] {
        let statement = try RawStatement(UsagePager.pageSQL(source), on: database, isCached: false)
        try statement.bind(Int64(limit), at: try statement.bind(source.values))
        return try statement.rows(UsageColumns.row)
    }

    /// Divides numbers into the newest ones, to be walked over, and the others. `nil` when there are no rows.
    private func split(_ numbers: ClosedRange<Int64>, limit: Int) throws -> (walk: ClosedRange<Int64>, older: ClosedRange<Int64>?)? {
        let newest = try RawStatement("SELECT max(number) FROM usage", on: database).rows { $0.integer(0) }.first ?? 0
        let last = min(numbers.upperBound, newest)
        guard last >= numbers.lowerBound else { return nil }
        let count = max(UsagePager.walkMin, Int64(clamping: limit).multipliedReportingOverflow(by: UsagePager.walkFactor).partialValue)
        guard last - numbers.lowerBound >= count else { return (numbers.lowerBound...last, nil) }
        return (last - count + 1...last, numbers.lowerBound...last - count)
    }

    /// Rows whose numbers come one at a time, falling.
    fileprivate struct Stream {
        let statement: RawStatement
        let source: (ClosedRange<Int64>) -> UsageQuery.Source
        /// The next row's.
        var number: Int64

        /// Moves to the newest row below `end`; `nil` when there is none.
        func next(_ first: Int64, below end: Int64) throws -> Stream? {
            guard first < end else { return nil }
            try statement.bind(source(first...end - 1).values)
            guard let number = try statement.rows({ $0.integer(0) }).first else { return nil }
            return Stream(statement: statement, source: source, number: number)
        }
    }

    private func merge(_ numbers: ClosedRange<Int64>, limit: Int) throws -> [UsageRow] {
        // Rising by number, so that the newest row is the last one's.
        var streams = try streams(numbers).sorted { $0.number < $1.number }
        let row = try RawStatement(UsagePager.rowSQL(query.row(0)), on: database, isCached: false)
        var found: [UsageRow] = []
        while found.count < limit, let newest = streams.popLast() {
            try row.bind(query.row(newest.number).values)
            found += try row.rows(UsageColumns.row)
            guard let next = try newest.next(numbers.lowerBound, below: newest.number) else { continue }
            streams.insert(next, at: streams.partition(below: next.number))
        }
        return found
    }

    private func streams(_ numbers: ClosedRange<Int64>) throws -> [Stream] {
        let end = numbers.upperBound + 1
        let dimensions = query.dimensions
        let select = try RawStatement("SELECT d.id " + dimensions.sql, on: database, isCached: false)
        try select.bind(dimensions.values)
        let ofDimension = try RawStatement(UsagePager.numberSQL(UsageQuery.ofDimension(0, numbers)), on: database)
        var streams = try select.rows { row in
            let id = row.integer(0)
            return try Stream(statement: ofDimension, source: { UsageQuery.ofDimension(id, $0) }, number: end)
                .next(numbers.lowerBound, below: end)
        }.compactMap(\.self)
        if let unserved = query.unserved(numbers) {
            let statement = try RawStatement(UsagePager.numberSQL(unserved), on: database, isCached: false)
            let source: (ClosedRange<Int64>) -> UsageQuery.Source = { query.unserved($0) ?? unserved }
            if let stream = try Stream(statement: statement, source: source, number: end).next(numbers.lowerBound, below: end) {
                streams.append(stream)
            }
        }
        return streams
    }
}

extension [UsagePager.Stream] {
    /// Where a number belongs in streams that rise.
    fileprivate func partition(below number: Int64) -> Int {
        var low = startIndex
        var high = endIndex
        while low < high {
            let middle = (low + high) / 2
            if self[middle].number < number { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
