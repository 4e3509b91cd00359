import GRDB
import GRDBSQLite
import Vocabulary

/// The dimensions of records, and a memory of those that were used lately.
///
/// Only for the writer, inside its transaction: what is remembered must be committed, or ``forget()`` be called.
struct UsageDimensions {
    /// How many are remembered from one transaction to the next.
    private static let rememberedMax = 10_000

    /// Tells most dimensions apart and costs little to hash.
    private struct Key: Hashable {
        let keyID: String
        let servedModel: String
        let status: Int64
        let isStream: Bool

        init(_ record: UnsafePointer<UsageRecord>) {
            keyID = record.pointee.keyID
            servedModel = record.pointee.servedModel
            status = record.pointee.status
            isStream = record.pointee.isStream
        }
    }

    private var remembered: [Key: [UsageDimension]] = [:]
    /// By place: the last span in which a dimension is known to have rows.
    private var spans: [Int64] = []
    /// That of the record before: calls come in runs of one kind.
    private var last: UsageDimension?
    private var schema: Int64 = -1

    /// Forgets everything, for the next one must not rely on what was not committed.
    mutating func forget() {
        remembered.removeAll()
        spans.removeAll()
        last = nil
    }

    /// Called at the start of each transaction: what is remembered is of the tables as they were.
    mutating func begin(_ database: Database) throws {
        let found = try RawStatement("PRAGMA schema_version", on: database).rows { $0.integer(0) }
        if spans.count >= UsageDimensions.rememberedMax { forget() }
        guard found.first != schema else { return }
        forget()
        schema = found.first ?? -1
    }

    /// The dimension of a record; makes it when there is none.
    ///
    /// - Parameter record: a pointer, because a record has more texts to retain than it takes to compare them.
    mutating func dimension(of record: UnsafePointer<UsageRecord>, on database: Database) throws -> UsageDimension {
        if let last, last.holds(record) { return last }
        let key = Key(record)
        if let found = remembered[key]?.first(where: { $0.holds(record) }) {
            last = found
            return found
        }
        // Another process may have made it.
        let id = try find(record, database) ?? insert(record, database)
        let dimension = UsageDimension(id: id, place: spans.count, sample: record.pointee)
        remembered[key, default: []].append(dimension)
        spans.append(-1)
        last = dimension
        return dimension
    }

    /// Notes that a dimension of this transaction has a row.
    mutating func note(_ number: Int64, of dimension: UsageDimension, on database: Database) throws {
        let span = number >> UsageColumns.spanBits
        guard spans[dimension.place] != span else { return }
        let statement = try RawStatement("INSERT OR IGNORE INTO usage_spans (dimension, span) VALUES (?, ?)", on: database)
        try statement.bind(dimension.id, at: 1)
        try statement.bind(span, at: 2)
        try statement.run()
        spans[dimension.place] = span
    }

    private static let columns = [
        "tenant", "team", "agent", "user", "key_id", "endpoint", "is_stream", "requested_model", "served_model", "provider", "deployment",
        "price_version", "price_is_known", "outcome", "status", "error_code", "fallback_reason",
    ]
    private static let select = "SELECT id FROM usage_dimensions WHERE " + columns.map { $0 + " = ?" }.joined(separator: " AND ")
    private static let insert = """
        INSERT INTO usage_dimensions (\(columns.joined(separator: ", "))) VALUES (\(columns.map { _ in "?" }.joined(separator: ", ")))
        """

    private func find(_ record: UnsafePointer<UsageRecord>, _ database: Database) throws -> Int64? {
        let statement = try RawStatement(UsageDimensions.select, on: database)
        try bind(record, to: statement)
        return try statement.rows { $0.integer(0) }.first
    }

    private func insert(_ record: UnsafePointer<UsageRecord>, _ database: Database) throws -> Int64 {
        let statement = try RawStatement(UsageDimensions.insert, on: database)
        try bind(record, to: statement)
        try statement.run()
        return sqlite3_last_insert_rowid(database.sqliteConnection)
    }

    /// Binds the values of ``columns``.
    private func bind(_ record: UnsafePointer<UsageRecord>, to statement: RawStatement) throws {
        try statement.bind([
            .text(record.pointee.tenant), .text(record.pointee.team), .text(record.pointee.agent), .text(record.pointee.user),
            .text(record.pointee.keyID), .integer(Int64(record.pointee.endpoint.rawValue)), .integer(record.pointee.isStream ? 1 : 0),
            .text(record.isModelUnserved ? "" : record.pointee.requestedModel), .text(record.pointee.servedModel),
            .text(record.pointee.provider), .text(record.pointee.deployment), .text(record.pointee.priceVersion),
            .integer(record.pointee.priceIsKnown ? 1 : 0), .integer(Int64(record.pointee.outcome.rawValue)),
            .integer(record.pointee.status), .text(record.pointee.errorCode), .text(record.pointee.fallbackReason),
        ])
    }
}

/// What all records of one kind have in common.
final class UsageDimension: Sendable {
    let id: Int64
    /// Where it is remembered.
    fileprivate let place: Int
    /// Any record of the dimension.
    private let sample: UsageRecord

    fileprivate init(id: Int64, place: Int, sample: UsageRecord) {
        self.id = id
        self.place = place
        self.sample = sample
    }

    /// Whether a record agrees in all that stands in `usage_dimensions`. What differs most often is compared first.
    fileprivate func holds(_ record: UnsafePointer<UsageRecord>) -> Bool {
        sample.status == record.pointee.status && sample.outcome == record.pointee.outcome && sample.endpoint == record.pointee.endpoint
            && sample.isStream == record.pointee.isStream && sample.priceIsKnown == record.pointee.priceIsKnown
            && sample.keyID == record.pointee.keyID && sample.servedModel == record.pointee.servedModel
            && sample.provider == record.pointee.provider
            && (sample.requestedModel == record.pointee.requestedModel || record.isModelUnserved)
            && sample.deployment == record.pointee.deployment && sample.errorCode == record.pointee.errorCode
            && sample.fallbackReason == record.pointee.fallbackReason && sample.priceVersion == record.pointee.priceVersion
            && sample.agent == record.pointee.agent && sample.user == record.pointee.user && sample.team == record.pointee.team
            && sample.tenant == record.pointee.tenant
    }
}
