import GRDB
import GRDBSQLite
import Vocabulary

/// The dimensions of records, and a memory of those that were used lately.
///
/// Only for the writer, inside its transaction: what is remembered must be committed, or ``forget()`` be called.
struct UsageDimensions {
    /// How many are remembered.
    private static let rememberedMax = 10_000

    private struct Entry {
        let id: Int64
        /// Any record of the dimension.
        let sample: UsageRecord
    }

    /// Tells most dimensions apart and costs little to hash.
    private struct Key: Hashable {
        let keyID: String
        let servedModel: String
        let status: Int64
        let isStream: Bool

        init(_ record: UsageRecord) {
            keyID = record.keyID
            servedModel = record.servedModel
            status = record.status
            isStream = record.isStream
        }
    }

    private var entries: [Entry] = []
    private var places: [Key: [Int]] = [:]
    /// The entry of the record before: calls come in runs of one kind.
    private var last = 0
    private var schema: Int64 = -1

    /// Forgets everything, for the next one must not rely on what was not committed.
    mutating func forget() {
        entries.removeAll()
        places.removeAll()
        last = 0
    }

    /// Called at the start of each transaction: what is remembered is of the tables as they were.
    mutating func begin(_ database: Database) throws {
        let found = try RawStatement("PRAGMA schema_version", on: database).rows { $0.integer(0) }
        guard found.first != schema else { return }
        forget()
        schema = found.first ?? -1
    }

    /// The number of the dimension of a record; makes it when there is none.
    mutating func id(of record: borrowing UsageRecord, on database: Database) throws -> Int64 {
        if last < entries.count, haveSameDimension(entries[last].sample, record) { return entries[last].id }
        let key = Key(copy record)
        for place in places[key] ?? [] where haveSameDimension(entries[place].sample, record) {
            last = place
            return entries[place].id
        }
        // Another process may have made it.
        let id = try find(record, database) ?? insert(record, database)
        if entries.count >= UsageDimensions.rememberedMax { forget() }
        last = entries.count
        places[key, default: []].append(last)
        entries.append(Entry(id: id, sample: copy record))
        return id
    }

    private static let columns = [
        "tenant", "team", "agent", "user", "key_id", "endpoint", "is_stream", "requested_model", "served_model", "provider", "deployment",
        "price_version", "price_is_known", "outcome", "status", "error_code", "fallback_reason",
    ]
    private static let select = "SELECT id FROM usage_dimensions WHERE " + columns.map { $0 + " = ?" }.joined(separator: " AND ")
    private static let insert = """
        INSERT INTO usage_dimensions (\(columns.joined(separator: ", "))) VALUES (\(columns.map { _ in "?" }.joined(separator: ", ")))
        """

    private func find(_ record: borrowing UsageRecord, _ database: Database) throws -> Int64? {
        let statement = try RawStatement(UsageDimensions.select, on: database)
        try bind(record, to: statement)
        return try statement.rows { $0.integer(0) }.first
    }

    private func insert(_ record: borrowing UsageRecord, _ database: Database) throws -> Int64 {
        let statement = try RawStatement(UsageDimensions.insert, on: database)
        try bind(record, to: statement)
        try statement.run()
        return sqlite3_last_insert_rowid(database.sqliteConnection)
    }

    /// Binds the values of ``columns``.
    private func bind(_ record: borrowing UsageRecord, to statement: RawStatement) throws {
        try statement.bind([
            .text(record.tenant), .text(record.team), .text(record.agent), .text(record.user), .text(record.keyID),
            .integer(Int64(record.endpoint.rawValue)), .integer(record.isStream ? 1 : 0),
            .text(record.isModelUnserved ? "" : record.requestedModel), .text(record.servedModel), .text(record.provider),
            .text(record.deployment), .text(record.priceVersion), .integer(record.priceIsKnown ? 1 : 0),
            .integer(Int64(record.outcome.rawValue)), .integer(record.status), .text(record.errorCode), .text(record.fallbackReason),
        ])
    }
}

/// Whether two records agree in all that stands in `usage_dimensions`. What differs most often is compared first.
private func haveSameDimension(_ one: borrowing UsageRecord, _ other: borrowing UsageRecord) -> Bool {
    one.status == other.status && one.outcome == other.outcome && one.endpoint == other.endpoint && one.isStream == other.isStream
        && one.priceIsKnown == other.priceIsKnown && one.keyID == other.keyID && one.servedModel == other.servedModel
        && one.provider == other.provider && (one.requestedModel == other.requestedModel || one.isModelUnserved)
        && one.deployment == other.deployment && one.errorCode == other.errorCode && one.fallbackReason == other.fallbackReason
        && one.priceVersion == other.priceVersion && one.agent == other.agent && one.user == other.user && one.team == other.team
        && one.tenant == other.tenant
}
