import GRDB
import GRDBSQLite
import Vocabulary

/// Inserts records, several at a time, and keeps account of the numbers that they get.
struct UsageInserter {
    /// By minute in which calls began: a range of numbers that holds those of the rows that were inserted. It may be a little too wide.
    private(set) var minutes: [Int64: ClosedRange<Int64>] = [:]

    private let database: Database
    private let one: RawStatement
    private let many: RawStatement

    init(_ database: Database) throws {
        self.database = database
        one = try RawStatement(UsageColumns.insert, on: database)
        many = try RawStatement(UsageColumns.insertMany, on: database)
    }

    mutating func insert(_ records: [UsageRecord]) throws {
        var calls: [UsageRecord] = []
        calls.reserveCapacity(UsageColumns.many)
        for record in records {
            // An aggregate stands for several calls, or for a refused one of whom nobody knows.
            if record.count != 1 || (record.outcome == .refused && record.requestID.isEmpty) {
                try run(one, [record], isAggregate: true)
                continue
            }
            calls.append(record)
            guard calls.count == UsageColumns.many else { continue }
            try run(many, calls, isAggregate: false)
            calls.removeAll(keepingCapacity: true)
        }
        for call in calls { try run(one, [call], isAggregate: false) }
    }

    private mutating func run(_ statement: RawStatement, _ records: [UsageRecord], isAggregate: Bool) throws {
        for (place, record) in records.enumerated() {
            try UsageColumns.bind(record, isAggregate: isAggregate, at: place, to: statement)
        }
        // Stays 0 unless a row is inserted.
        sqlite3_set_last_insert_rowid(database.sqliteConnection, 0)
        try statement.run()
        let last = sqlite3_last_insert_rowid(database.sqliteConnection)
        guard last != 0 else { return }
        // Numbers follow each other while a transaction inserts.
        let first = last - Int64(sqlite3_changes(database.sqliteConnection)) + 1
        for record in records {
            let minute = UsageColumns.minute(of: record.startedAt)
            minutes[minute] = Swift.min(minutes[minute]?.lowerBound ?? first, first)...last
        }
    }
}
