import GRDB
import GRDBSQLite
import Vocabulary

/// Inserts records, several at a time, and keeps account of the numbers that they get.
struct UsageInserter {
    /// By minute in which calls began: the numbers of the first and the last row that were inserted.
    private(set) var minutes: [Int64: ClosedRange<Int64>] = [:]

    private let database: Database
    private let one: RawStatement
    private let many: RawStatement
    private let aggregate: RawStatement

    init(_ database: Database) throws {
        self.database = database
        one = try RawStatement(InsertSQL.one, on: database)
        many = try RawStatement(InsertSQL.many, on: database)
        aggregate = try RawStatement(InsertSQL.aggregate, on: database)
    }

    mutating func insert(_ records: [UsageRecord], dimensions: inout UsageDimensions) throws {
        let binder = UsageBinder()
        defer {
            // They hold on to texts of the binder.
            for statement in [one, many, aggregate] { statement.clearBindings() }
        }
        var index = 0
        while index < records.count {
            if records[index].isAggregate {
                try add(records[index], binder, &dimensions)
                index += 1
                continue
            }
            var end = index
            while end < records.count, end - index < InsertSQL.manyCount, !records[end].isAggregate { end += 1 }
            if end - index == InsertSQL.manyCount {
                try run(many, records[index..<end], binder, &dimensions)
            } else {
                for place in index..<end { try run(one, records[place...place], binder, &dimensions) }
            }
            index = end
        }
    }

    /// Inserts calls with a statement that takes so many.
    private mutating func run(
        _ statement: RawStatement, _ calls: ArraySlice<UsageRecord>, _ binder: UsageBinder, _ dimensions: inout UsageDimensions
    ) throws {
        binder.begin()
        for index in calls.indices {
            let dimension = try dimensions.id(of: calls[index], on: database)
            try binder.bind(
                calls[index], startedAt: calls[index].startedAt.microseconds, dimension: dimension, at: index - calls.startIndex, to: statement)
        }
        try statement.run()
        // Numbers follow each other while a transaction inserts.
        var number = sqlite3_last_insert_rowid(database.sqliteConnection) - Int64(calls.count)
        var index = calls.startIndex
        while index < calls.endIndex {
            let minute = UsageColumns.minute(of: calls[index].startedAt)
            let first = number + 1
            repeat {
                number += 1
                index += 1
            } while index < calls.endIndex && UsageColumns.minute(of: calls[index].startedAt) == minute
            note(first...number, minute)
        }
    }

    /// Inserts an aggregate or adds its count to the one that is there.
    private mutating func add(_ record: UsageRecord, _ binder: UsageBinder, _ dimensions: inout UsageDimensions) throws {
        let minute = UsageColumns.minute(of: record.startedAt)
        let dimension = try dimensions.id(of: record, on: database)
        binder.begin()
        try binder.bind(record, startedAt: minute * UsageColumns.minuteMicroseconds, dimension: dimension, at: 0, to: aggregate)
        try aggregate.bind(record.count, at: Int32(InsertSQL.columns.count) + 1)
        // Stays 0 unless a row is inserted.
        sqlite3_set_last_insert_rowid(database.sqliteConnection, 0)
        try aggregate.run()
        let number = sqlite3_last_insert_rowid(database.sqliteConnection)
        if number != 0 { note(number...number, minute) }
    }

    private mutating func note(_ numbers: ClosedRange<Int64>, _ minute: Int64) {
        minutes[minute] = (minutes[minute]?.lowerBound ?? numbers.lowerBound)...numbers.upperBound
    }
}

/// The statements of ``UsageInserter``.
private enum InsertSQL {
    /// In the order in which ``UsageBinder`` binds them.
    static let columns = [
        "dimension", "started_at", "request_id", "boot", "loop", "sequence", "input_tokens", "cached_input_tokens", "output_tokens",
        "reasoning_tokens", "is_estimate", "cost_nanodollars", "latency_microseconds", "first_byte_microseconds", "overhead_microseconds",
        "attempts", "prompt_bytes", "client_address", "unserved_model", "end_user", "session", "tags",
    ]

    /// Without OR FAIL, SQLite would keep what it needs to take back the first rows when a later one is refused. We take back everything.
    private static let into = "INSERT OR FAIL INTO usage (\(columns.joined(separator: ", ")), is_aggregate, count) VALUES "
    private static let places = columns.map { _ in "?" }.joined(separator: ", ")

    /// How many calls ``many`` takes.
    static let manyCount = 16
    /// SQLite opens the table and its indexes once for all of them.
    static let many = into + Array(repeating: "(\(places), 0, 1)", count: manyCount).joined(separator: ", ")
    static let one = into + "(\(places), 0, 1)"
    static let aggregate = """
        \(into) (\(places), 1, ?)
        ON CONFLICT (started_at, dimension, client_address) WHERE is_aggregate = 1 DO UPDATE SET count = count + excluded.count
        """
}

/// Binds records to the statements of ``UsageInserter``, with memory for their texts while a statement runs.
private final class UsageBinder {
    private let texts = UnsafeMutableBufferPointer<CChar>.allocate(capacity: 16 * 1024)
    private var used = 0

    deinit { texts.deallocate() }

    /// The texts of the last run are needed no longer.
    func begin() { used = 0 }

    func bind(_ record: borrowing UsageRecord, startedAt: Int64, dimension: Int64, at place: Int, to statement: RawStatement) throws {
        let first = Int32(place * InsertSQL.columns.count)
        try statement.bind(dimension, at: first + 1)
        try statement.bind(startedAt, at: first + 2)
        try bind(record.requestID, at: first + 3, to: statement)
        try statement.bind(Int64(bitPattern: record.id.boot), at: first + 4)
        try statement.bind(Int64(record.id.loop), at: first + 5)
        try statement.bind(Int64(bitPattern: record.id.sequence), at: first + 6)
        try statement.bind(record.tokens.input, at: first + 7)
        try statement.bind(record.tokens.cachedInput, at: first + 8)
        try statement.bind(record.tokens.output, at: first + 9)
        try statement.bind(record.tokens.reasoning, at: first + 10)
        try statement.bind(record.tokens.isEstimate ? 1 : 0, at: first + 11)
        try statement.bind(record.cost.nanodollars, at: first + 12)
        try statement.bind(record.latencyMicroseconds, at: first + 13)
        try statement.bind(record.firstByteMicroseconds, at: first + 14)
        try statement.bind(record.overheadMicroseconds, at: first + 15)
        try statement.bind(record.attempts, at: first + 16)
        try statement.bind(record.promptBytes, at: first + 17)
        try bind(record.clientAddress, at: first + 18, to: statement)
        try bindPresent(record.isModelUnserved ? record.requestedModel : "", at: first + 19, to: statement)
        try bindPresent(record.endUser, at: first + 20, to: statement)
        try bindPresent(record.session, at: first + 21, to: statement)
        try bindPresent(record.tags, at: first + 22, to: statement)
    }

    /// Binds NULL for an empty text.
    private func bindPresent(_ text: String, at index: Int32, to statement: RawStatement) throws {
        if text.isEmpty { try statement.bindNull(at: index) } else { try bind(text, at: index, to: statement) }
    }

    private func bind(_ text: String, at index: Int32, to statement: RawStatement) throws {
        var text = text
        let start = used
        let isHere = text.withUTF8 { bytes -> Bool in
            guard bytes.count <= texts.count - start else { return false }
            if let source = bytes.baseAddress {
                UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(texts)[start...])
                    .copyMemory(from: UnsafeRawBufferPointer(start: source, count: bytes.count))
            }
            used += bytes.count
            return true
        }
        guard isHere else { return try statement.bind(text, at: index) }
        try statement.bind(borrowed: UnsafeBufferPointer(rebasing: texts[start..<used]), at: index)
    }
}
