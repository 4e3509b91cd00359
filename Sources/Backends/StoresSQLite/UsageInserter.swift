import GRDB
import GRDBSQLite
import Vocabulary

/// Inserts records, several at a time, and keeps account of the numbers that they get.
///
/// Records are passed as pointers: to copy one retains all its texts.
struct UsageInserter {
    /// By minute in which calls began: the numbers of the first and the last row that were inserted.
    private(set) var minutes: [Int64: ClosedRange<Int64>] = [:]

    private let database: Database
    private let plain: (one: RawStatement, many: RawStatement)
    private let full: (one: RawStatement, many: RawStatement)
    private let aggregate: RawStatement

    init(_ database: Database) throws {
        self.database = database
        plain = (try RawStatement(InsertSQL.plain, on: database), try RawStatement(InsertSQL.plainMany, on: database))
        full = (try RawStatement(InsertSQL.full, on: database), try RawStatement(InsertSQL.fullMany, on: database))
        aggregate = try RawStatement(InsertSQL.aggregate, on: database)
    }

    mutating func insert(_ records: [UsageRecord], dimensions: inout UsageDimensions) throws {
        let binder = UsageBinder()
        defer {
            // They hold on to memory of the binder.
            for statement in [plain.one, plain.many, full.one, full.many, aggregate] { statement.clearBindings() }
        }
        try records.withUnsafeBufferPointer { records in
            guard let start = records.baseAddress else { return }
            var index = 0
            while index < records.count {
                if (start + index).isAggregate {
                    try add(start + index, binder, &dimensions)
                    index += 1
                    continue
                }
                let isPlain = (start + index).isPlain
                var end = index + 1
                while end < records.count, end - index < InsertSQL.manyCount, !(start + end).isAggregate,
                    (start + end).isPlain == isPlain
                { end += 1 }
                let statements = isPlain ? plain : full
                if end - index == InsertSQL.manyCount {
                    try run(statements.many, start + index, InsertSQL.manyCount, isPlain, binder, &dimensions)
                } else {
                    for place in index..<end { try run(statements.one, start + place, 1, isPlain, binder, &dimensions) }
                }
                index = end
            }
        }
    }

    /// Inserts calls with a statement that takes so many.
    private mutating func run(
        _ statement: RawStatement, _ calls: UnsafePointer<UsageRecord>, _ count: Int, _ isPlain: Bool, _ binder: UsageBinder,
        _ dimensions: inout UsageDimensions
    ) throws {
        binder.begin()
        for place in 0..<count {
            let dimension = try dimensions.dimension(of: calls + place, on: database)
            binder.dimensions.append(dimension)
            try binder.bind(
                calls + place, startedAt: (calls + place).pointee.startedAt.microseconds, dimension: dimension.id, isPlain: isPlain,
                to: statement)
        }
        try statement.run()
        // Numbers follow each other while a transaction inserts.
        let first = sqlite3_last_insert_rowid(database.sqliteConnection) - Int64(count) + 1
        for place in 0..<count {
            try dimensions.note(first + Int64(place), of: binder.dimensions[place], on: database)
            note(first + Int64(place), UsageColumns.minute(of: (calls + place).pointee.startedAt))
        }
    }

    /// Inserts an aggregate or adds its count to the one that is there.
    private mutating func add(_ record: UnsafePointer<UsageRecord>, _ binder: UsageBinder, _ dimensions: inout UsageDimensions) throws {
        let minute = UsageColumns.minute(of: record.pointee.startedAt)
        let dimension = try dimensions.dimension(of: record, on: database)
        binder.begin()
        try binder.bind(
            record, startedAt: minute * UsageColumns.minuteMicroseconds, dimension: dimension.id, isPlain: false, to: aggregate)
        try aggregate.bind(record.pointee.count, at: binder.nextPlace)
        // Stays 0 unless a row is inserted.
        sqlite3_set_last_insert_rowid(database.sqliteConnection, 0)
        try aggregate.run()
        let number = sqlite3_last_insert_rowid(database.sqliteConnection)
        guard number != 0 else { return }
        try dimensions.note(number, of: dimension, on: database)
        note(number, minute)
    }

    /// The range that ``minutes`` does not have yet; most records are of the same minute as the one before.
    private var open: (minute: Int64, numbers: ClosedRange<Int64>)?

    private mutating func note(_ number: Int64, _ minute: Int64) {
        if let open, open.minute == minute {
            self.open = (minute, open.numbers.lowerBound...number)
        } else {
            close()
            open = (minute, number...number)
        }
    }

    /// Completes ``minutes``.
    mutating func close() {
        guard let open else { return }
        minutes[open.minute] = (minutes[open.minute]?.lowerBound ?? open.numbers.lowerBound)...open.numbers.upperBound
        self.open = nil
    }
}

/// The statements of ``UsageInserter``.
private enum InsertSQL {
    /// In the order in which ``UsageBinder`` binds them.
    private static let common = [
        "dimension", "started_at", "request_id", "record_id", "input_tokens", "cached_input_tokens", "output_tokens", "reasoning_tokens",
        "is_estimate", "cost_nanodollars", "latency_microseconds", "first_byte_microseconds", "overhead_microseconds", "attempts",
        "prompt_bytes", "client_address",
    ]
    private static let rare = ["unserved_model", "end_user", "session", "tags"]

    /// Without OR FAIL, SQLite would keep what it needs to take back the first rows when a later one is refused. We take back everything.
    private static func insert(_ columns: [String], rows: Int) -> String {
        let row = "(" + columns.map { _ in "?" }.joined(separator: ", ") + ")"
        return "INSERT OR FAIL INTO usage (\(columns.joined(separator: ", "))) VALUES "
            + Array(repeating: row, count: rows).joined(separator: ", ")
    }

    /// How many calls a statement for many takes. SQLite opens the table and its indexes once for all of them.
    static let manyCount = 16
    static let plain = insert(common, rows: 1)
    static let plainMany = insert(common, rows: manyCount)
    static let full = insert(common + rare, rows: 1)
    static let fullMany = insert(common + rare, rows: manyCount)
    static let aggregate = """
        \(insert(common + rare + ["count"], rows: 1))
        ON CONFLICT (started_at, dimension, client_address) WHERE count IS NOT NULL DO UPDATE SET count = count + excluded.count
        """
}

/// Binds records to the statements of ``UsageInserter``, one after the other, with memory for their bytes while a statement runs.
private final class UsageBinder {
    /// The dimensions of the records, for the inserter.
    var dimensions: [UsageDimension] = []
    /// Where the next value is bound.
    private(set) var nextPlace: Int32 = 1

    private let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 16 * 1024, alignment: 8)
    private var used = 0

    deinit { memory.deallocate() }

    /// Begins a run; the bytes of the last one are needed no longer.
    func begin() {
        used = 0
        nextPlace = 1
        dimensions.removeAll(keepingCapacity: true)
    }

    func bind(
        _ record: UnsafePointer<UsageRecord>, startedAt: Int64, dimension: Int64, isPlain: Bool, to statement: RawStatement
    ) throws {
        try bind(dimension, to: statement)
        try bind(startedAt, to: statement)
        try bind(record.pointee.requestID, to: statement)
        try bind(record.pointee.id, to: statement)
        try bind(record.pointee.tokens.input, to: statement)
        try bind(record.pointee.tokens.cachedInput, to: statement)
        try bind(record.pointee.tokens.output, to: statement)
        try bind(record.pointee.tokens.reasoning, to: statement)
        try bind(record.pointee.tokens.isEstimate ? 1 : 0, to: statement)
        try bind(record.pointee.cost.nanodollars, to: statement)
        try bind(record.pointee.latencyMicroseconds, to: statement)
        try bind(record.pointee.firstByteMicroseconds, to: statement)
        try bind(record.pointee.overheadMicroseconds, to: statement)
        try bind(record.pointee.attempts, to: statement)
        try bind(record.pointee.promptBytes, to: statement)
        try bind(record.pointee.clientAddress, to: statement)
        if isPlain { return }
        try bindPresent(record.isModelUnserved ? record.pointee.requestedModel : "", to: statement)
        try bindPresent(record.pointee.endUser, to: statement)
        try bindPresent(record.pointee.session, to: statement)
        try bindPresent(record.pointee.tags, to: statement)
    }

    private func bind(_ value: Int64, to statement: RawStatement) throws {
        try statement.bind(value, at: nextPlace)
        nextPlace += 1
    }

    private func bind(_ id: RecordID, to statement: RawStatement) throws {
        guard memory.count - used >= RecordID.bytesCount else {
            var bytes = [UInt8](repeating: 0, count: RecordID.bytesCount)
            bytes.withUnsafeMutableBytes { id.write(to: $0) }
            try statement.bind(bytes, at: nextPlace)
            return nextPlace += 1
        }
        let target = UnsafeMutableRawBufferPointer(rebasing: memory[used..<used + RecordID.bytesCount])
        id.write(to: target)
        used += RecordID.bytesCount
        try statement.bind(borrowed: UnsafeRawBufferPointer(target), at: nextPlace)
        nextPlace += 1
    }

    /// Binds NULL for an empty text.
    private func bindPresent(_ text: String, to statement: RawStatement) throws {
        guard text.isEmpty else { return try bind(text, to: statement) }
        try statement.bindNull(at: nextPlace)
        nextPlace += 1
    }

    private func bind(_ text: String, to statement: RawStatement) throws {
        var text = text
        let start = used
        let isHere = text.withUTF8 { bytes -> Bool in
            guard bytes.count <= memory.count - start else { return false }
            if let source = bytes.baseAddress {
                UnsafeMutableRawBufferPointer(rebasing: memory[start...])
                    .copyMemory(from: UnsafeRawBufferPointer(start: source, count: bytes.count))
            }
            used += bytes.count
            return true
        }
        if isHere {
            let bytes = UnsafeRawBufferPointer(rebasing: memory[start..<used]).assumingMemoryBound(to: CChar.self)
            try statement.bind(borrowed: bytes, at: nextPlace)
        } else {
            try statement.bind(text, at: nextPlace)
        }
        nextPlace += 1
    }
}
