package import Contracts
import Foundation
import GRDB
import Synchronization

/// Keys and usage in one SQLite file.
///
/// One writer and a few readers at a time, each on a queue of its own: nothing here blocks a thread of Swift's pool. A write that has
/// returned is on disk. Other processes may use the file too; whoever finds it locked gets `unavailable` after ``busyMilliseconds``.
package final class SQLiteStore: Sendable {
    /// How long an access waits for another process's lock. Callers try again on their own terms.
    package static let busyMilliseconds = 250

    private let pool: DatabasePool
    /// Only the writer's queue takes it.
    let dimensions = Mutex(UsageDimensions())

    private init(pool: DatabasePool) {
        self.pool = pool
    }

    /// Opens the store, makes it when there is none (mode 0600), and brings its tables up to ``Schema/currentVersion``. Blocks; for start-up.
    ///
    /// - Throws: `unavailable` when the file cannot be opened or is locked, `corrupt` when it is no database or of a later version.
    package static func open(path: String) throws(StoreError) -> SQLiteStore {
        try makePrivate(path)
        do {
            var configuration = Configuration()
            configuration.label = "store"
            configuration.busyMode = .timeout(Double(busyMilliseconds) / 1000)
            configuration.prepareDatabase { database in
                // GRDB's readers would wait for ten seconds.
                try database.execute(sql: "PRAGMA busy_timeout = \(busyMilliseconds)")
                // In KiB. The writer keeps the pages of its indexes; each of up to five readers would come to hold as much for nothing.
                try database.execute(sql: "PRAGMA cache_size = \(database.configuration.readonly ? -2048 : -16384)")
                // Statements of many rows would keep their undo in files.
                try database.execute(sql: "PRAGMA temp_store = MEMORY")
                // Four times SQLite's own: pages that many transactions change are written to the file less often.
                try database.execute(sql: "PRAGMA wal_autocheckpoint = 4000")
                try database.execute(sql: "PRAGMA journal_size_limit = 67108864")
            }
            let pool = try DatabasePool(path: path, configuration: configuration)
            try pool.writeWithoutTransaction { database in
                // GRDB chose NORMAL, with which a power cut takes the last transactions away: the journal is cut by what is stored here.
                try database.execute(sql: "PRAGMA synchronous = FULL")
                guard try Int.fetchOne(database, sql: "PRAGMA synchronous") == 2 else {
                    throw StoreError.unavailable("SQLite does not do synchronous writes here")
                }
                try Schema.migrate(database, to: Schema.currentVersion)
            }
            return SQLiteStore(pool: pool)
        } catch {
            throw StoreError(error)
        }
    }

    /// Waits for what is running and closes the file; every later call throws `unavailable`.
    package func close() throws(StoreError) {
        do {
            try pool.close()
        } catch {
            throw StoreError(error)
        }
    }

    /// Moves the tables forward or back to a version, each step in a transaction of its own.
    ///
    /// Going back drops what only later versions can hold.
    package func migrate(to version: Int) async throws(StoreError) {
        do {
            try await pool.writeWithoutTransaction { database in try Schema.migrate(database, to: version) }
        } catch {
            throw StoreError(error)
        }
    }

    /// The version that the tables have.
    package func schemaVersion() async throws(StoreError) -> Int {
        try await read { database in try Schema.version(database) }
    }

    /// Runs in one transaction that is on disk when this returns, or has not happened.
    ///
    /// - Parameter onFailure: run before any other write when the transaction has not happened.
    func write<Value: Sendable>(
        _ body: @escaping @Sendable (Database) throws -> Value, onFailure: @escaping @Sendable () -> Void = {}
    ) async throws(StoreError) -> Value {
        do {
            return try await pool.writeWithoutTransaction { database in
                do {
                    var value: Value?
                    try database.inTransaction(.immediate) {
                        value = try body(database)
                        return .commit
                    }
                    guard let value else { throw StoreError.unavailable("the transaction did not run") }
                    return value
                } catch {
                    onFailure()
                    throw error
                }
            }
        } catch {
            throw StoreError(error)
        }
    }

    /// Runs on one consistent state of the store.
    func read<Value: Sendable>(_ body: @escaping @Sendable (Database) throws -> Value) async throws(StoreError) -> Value {
        do {
            return try await pool.read { database in try body(database) }
        } catch {
            throw StoreError(error)
        }
    }

    /// SQLite gives its side files the mode of the main one, so that one is made before SQLite would, with its wider mode.
    private static func makePrivate(_ path: String) throws(StoreError) {
        let descriptor = Foundation.open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0o600)
        if descriptor >= 0 {
            Foundation.close(descriptor)
            return
        }
        // An existing file is not opened: closing it again would drop the locks that another store of this process holds on it.
        let code = errno
        guard code == EEXIST else { throw .unavailable("cannot make \(path): \(String(cString: strerror(code)))") }
        guard chmod(path, 0o600) == 0 || errno == EPERM else {
            throw .unavailable("cannot protect \(path): \(String(cString: strerror(errno)))")
        }
    }
}
