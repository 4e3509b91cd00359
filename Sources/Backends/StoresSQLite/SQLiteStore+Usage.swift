package import Contracts
import GRDB
import GRDBSQLite
import Synchronization
package import Vocabulary

extension SQLiteStore: UsageStore {
    package func apply(_ records: [UsageRecord], replica: String, position: JournalPosition) async throws(StoreError) {
        try await write(
            { database in
                guard try advance(to: position, replica: replica, on: database) else { return }
                try self.dimensions.withLock { dimensions in
                    try dimensions.begin(database)
                    var inserter = try UsageInserter(database)
                    try inserter.insert(records, dimensions: &dimensions)
                    inserter.close()
                    try widen(inserter.minutes, on: database)
                }
            },
            onFailure: { self.dimensions.withLock { $0.forget() } })
    }

    package func positions(replica: String) async throws(StoreError) -> [JournalPosition] {
        try await read { database in
            let statement = try RawStatement(
                "SELECT segment, offset FROM usage_positions WHERE replica = ? ORDER BY segment", on: database)
            try statement.bind(replica, at: 1)
            return try statement.rows { JournalPosition(segment: $0.text(0), offset: $0.integer(1)) }
        }
    }

    package func forget(segments: [String], replica: String) async throws(StoreError) {
        guard !segments.isEmpty else { return }
        try await write { database in
            let statement = try RawStatement("DELETE FROM usage_positions WHERE replica = ? AND segment = ?", on: database)
            try statement.bind(replica, at: 1)
            for segment in segments {
                try statement.bind(segment, at: 2)
                try statement.run()
            }
        }
    }

    package func rows(_ filter: UsageFilter, before: Int64?, limit: Int) async throws(StoreError) -> [UsageRow] {
        guard limit > 0 else { return [] }
        return try await read { database in
            guard let numbers = try numbers(filter, before: before, on: database) else { return [] }
            return try UsagePager(UsageQuery(filter), on: database).page(numbers, limit: limit)
        }
    }

    package func totals(_ filter: UsageFilter) async throws(StoreError) -> UsageTotals {
        try await read { database in
            var totals = UsageTotals(calls: 0, tokens: TokenUsage(), cost: .zero)
            guard let numbers = try numbers(filter, before: nil, on: database) else { return totals }
            let query = UsageQuery(filter)
            let whole = query.hasRequestID ? query.ofRequest(numbers) : query.walk(numbers)
            let statement = try RawStatement(
                """
                SELECT coalesce(sum(coalesce(u.count, 1)), 0), coalesce(sum(u.input_tokens), 0), coalesce(sum(u.cached_input_tokens), 0),
                    coalesce(sum(u.output_tokens), 0), coalesce(sum(u.reasoning_tokens), 0), coalesce(max(u.is_estimate), 0),
                    coalesce(sum(u.cost_nanodollars), 0)
                \(whole.sql)
                """, on: database, isCached: false)
            func add(_ source: UsageQuery.Source) throws {
                try statement.bind(source.values)
                for sums in try statement.rows({ row in (0..<7).map { row.integer($0) } }) {
                    totals.calls += sums[0]
                    totals.tokens.input += sums[1]
                    totals.tokens.cachedInput += sums[2]
                    totals.tokens.output += sums[3]
                    totals.tokens.reasoning += sums[4]
                    totals.tokens.isEstimate = totals.tokens.isEstimate || sums[5] != 0
                    totals.cost = totals.cost + Money(nanodollars: sums[6])
                }
            }
            if query.hasRequestID || !query.hasDimension {
                try add(whole)
            } else {
                try UsagePager(query, on: database).eachPart(numbers) { part in
                    try add(query.walk(part))
                    return true
                }
            }
            return totals
        }
    }

    /// How SQLite would find a page of the filter, in the words of `EXPLAIN QUERY PLAN`; for tests and for whoever asks why a page is slow.
    package func pagePlan(_ filter: UsageFilter, before: Int64? = nil) async throws(StoreError) -> [String] {
        try await read { database in
            let numbers = try numbers(filter, before: before, on: database) ?? 1...1
            return try UsagePager(UsageQuery(filter), on: database).statements(numbers).flatMap { sql, values in
                let statement = try RawStatement("EXPLAIN QUERY PLAN " + sql, on: database, isCached: false)
                try statement.bind(values)
                return try statement.rows { $0.text(3) }
            }
        }
    }
}

/// Notes that a replica's segment is applied up to a position.
///
/// - Returns: whether that is news; if not, the records up to it are here already.
private func advance(to position: JournalPosition, replica: String, on database: Database) throws -> Bool {
    let statement = try RawStatement(
        """
        INSERT INTO usage_positions (replica, segment, offset) VALUES (?, ?, ?)
        ON CONFLICT (replica, segment) DO UPDATE SET offset = excluded.offset WHERE excluded.offset > offset
        """, on: database)
    try statement.bind(replica, at: 1)
    try statement.bind(position.segment, at: 2)
    try statement.bind(position.offset, at: 3)
    try statement.run()
    return sqlite3_changes(database.sqliteConnection) > 0
}

/// Makes the range of every minute hold the new rows too.
private func widen(_ minutes: [Int64: ClosedRange<Int64>], on database: Database) throws {
    let statement = try RawStatement(
        """
        INSERT INTO usage_minutes (minute, first_number, last_number) VALUES (?, ?, ?)
        ON CONFLICT (minute) DO UPDATE SET
            first_number = min(first_number, excluded.first_number), last_number = max(last_number, excluded.last_number)
        """, on: database)
    for (minute, numbers) in minutes {
        try statement.bind(minute, at: 1)
        try statement.bind(numbers.lowerBound, at: 2)
        try statement.bind(numbers.upperBound, at: 3)
        try statement.run()
    }
}

/// The numbers among which all rows of a filter are.
///
/// - Returns: `nil` when there can be none.
private func numbers(_ filter: UsageFilter, before: Int64?, on database: Database) throws -> ClosedRange<Int64>? {
    var first: Int64 = 1
    var last = Int64.max
    if filter.from != nil || filter.until != nil {
        let statement = try RawStatement(
            "SELECT min(first_number), max(last_number) FROM usage_minutes WHERE minute BETWEEN ? AND ?", on: database)
        try statement.bind(filter.from.map(UsageColumns.minute) ?? .min, at: 1)
        try statement.bind(filter.until.map(UsageColumns.minute) ?? .max, at: 2)
        let bounds = try statement.rows { row in row.optionalInteger(0).map { ($0, row.integer(1)) } }
        guard let found = bounds.first, let (least, greatest) = found else { return nil }
        first = least
        last = greatest
    }
    if let before {
        guard before > first else { return nil }
        last = min(last, before - 1)
    }
    return first <= last ? first...last : nil
}
