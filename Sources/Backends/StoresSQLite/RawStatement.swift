import GRDB
import GRDBSQLite

/// A prepared statement, driven through SQLite's own interface.
///
/// GRDB binds and reads texts up to their first NUL byte, and boxes every value on its way; this does neither.
struct RawStatement {
    private let database: Database
    /// Keeps the statement alive.
    private let owner: Statement
    private let statement: OpaquePointer

    /// - Parameter isCached: whether the connection keeps the statement for the next time. Its cache has no limit, so this is for constants.
    init(_ sql: String, on database: Database, isCached: Bool = true) throws {
        self.database = database
        owner = isCached ? try database.cachedStatement(sql: sql) : try database.makeStatement(sql: sql)
        statement = owner.sqliteStatement
    }

    /// Makes the statement ready for another run; bindings stay.
    func reset() {
        // The code that it returns repeats the error of the last step, which `step` has thrown already.
        _ = sqlite3_reset(statement)
    }

    func bind(_ value: Int64, at index: Int32) throws {
        try check(sqlite3_bind_int64(statement, index, value))
    }

    func bind(_ value: String, at index: Int32) throws {
        var value = value
        try check(
            value.withUTF8 { bytes in
                bytes.withMemoryRebound(to: CChar.self) { characters in
                    // An empty buffer may have no address, and SQLite would bind NULL for it.
                    guard let start = characters.baseAddress else { return sqlite3_bind_text(statement, index, "", 0, transient) }
                    return sqlite3_bind_text(statement, index, start, Int32(clamping: characters.count), transient)
                }
            })
    }

    /// Binds text that SQLite does not copy: it stays valid until the statement is run and its bindings are cleared.
    func bind(borrowed text: UnsafeBufferPointer<CChar>, at index: Int32) throws {
        try check(sqlite3_bind_text(statement, index, text.baseAddress, Int32(clamping: text.count), nil))
    }

    /// Binds bytes that SQLite does not copy, as ``bind(borrowed:at:)`` does.
    func bind(borrowed bytes: UnsafeRawBufferPointer, at index: Int32) throws {
        try check(sqlite3_bind_blob(statement, index, bytes.baseAddress, Int32(clamping: bytes.count), nil))
    }

    /// Makes every binding NULL.
    func clearBindings() {
        // Never fails; see its documentation.
        _ = sqlite3_clear_bindings(statement)
    }

    func bind(_ value: [UInt8], at index: Int32) throws {
        try check(sqlite3_bind_blob(statement, index, value, Int32(clamping: value.count), transient))
    }

    func bindNull(at index: Int32) throws {
        try check(sqlite3_bind_null(statement, index))
    }

    /// Moves to the next row.
    ///
    /// - Returns: whether there is one.
    func step() throws -> Bool {
        switch sqlite3_step(statement) {
        case SQLITE_ROW: return true
        case SQLITE_DONE: return false
        default: throw failure(sqlite3_extended_errcode(database.sqliteConnection))
        }
    }

    /// Runs the statement to its end and makes it ready again, after a failure too.
    func run() throws {
        defer { reset() }
        while try step() {}
    }

    /// Reads every row; the statement is ready again afterwards.
    func rows<Value>(_ read: (RawStatement) throws -> Value) throws -> [Value] {
        defer { reset() }
        var values: [Value] = []
        while try step() { values.append(try read(self)) }
        return values
    }

    func integer(_ column: Int32) -> Int64 {
        sqlite3_column_int64(statement, column)
    }

    func optionalInteger(_ column: Int32) -> Int64? {
        sqlite3_column_type(statement, column) == SQLITE_NULL ? nil : integer(column)
    }

    func text(_ column: Int32) -> String {
        guard let start = sqlite3_column_text(statement, column) else { return "" }
        let bytes = UnsafeBufferPointer(start: start, count: Int(sqlite3_column_bytes(statement, column)))
        return String(decoding: bytes, as: UTF8.self)
    }

    func blob(_ column: Int32) -> [UInt8] {
        guard let start = sqlite3_column_blob(statement, column) else { return [] }
        return Array(UnsafeRawBufferPointer(start: start, count: Int(sqlite3_column_bytes(statement, column))))
    }

    private func check(_ code: Int32) throws {
        guard code == SQLITE_OK else { throw failure(code) }
    }

    private func failure(_ code: Int32) -> DatabaseError {
        DatabaseError(
            resultCode: ResultCode(rawValue: code), message: sqlite3_errmsg(database.sqliteConnection).map { String(cString: $0) })
    }
}

/// Tells SQLite to copy what it is given before it returns.
///
/// The bit pattern is SQLITE_TRANSIENT's, a cast in a C macro that Swift cannot import; SQLite compares it and never calls it.
private let transient = unsafeBitCast(-1, to: sqlite3_destructor_type.self)
