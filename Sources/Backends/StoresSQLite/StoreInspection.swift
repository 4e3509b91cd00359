import GRDBSQLite
import Glibc

/// What a look at a store's file found, without changing it.
package struct StoreInspection: Sendable, Equatable {
    /// The version of its tables; `nil` when it could not be read.
    package var version: Int?
    /// What SQLite's `quick_check` complains about, the first few; empty for a sound file.
    package var damages: [String] = []
    /// Whether the check was broken off because it took too long.
    package var isPartial = false
    /// Why the file could not be read; `nil` when it could.
    package var failure: String?

    package init(version: Int? = nil) {
        self.version = version
    }

    /// How many steps of SQLite's machine lie between two looks at the clock.
    private static let stepsPerLook: Int32 = 100_000
    private static let damagesMax = 5

    /// Reads a file. Blocks, at most about as long as `limit`.
    ///
    /// - Parameters:
    ///   - isInUse: whether a gateway has it open, or a crash has left its log. Otherwise SQLite is told that nobody writes, so that it makes no
    ///     files of its own beside it.
    package static func look(at path: String, isInUse: Bool, limit: Duration = .seconds(30)) -> StoreInspection {
        var inspection = StoreInspection()
        var connection: OpaquePointer?
        // What means something in a URI is escaped (https://sqlite.org/uri.html).
        let name = path.flatMap { "?#%".contains($0) ? "%" + String($0.asciiValue ?? 0, radix: 16) : String($0) }
        // With a log there is an index of it, which the one who writes keeps; SQLite would make one that is missing, and write into one that is not.
        // Without it the log cannot be read, and the file alone may be half of a change: only its version is told then.
        let readsLog = isInUse && access(path + "-shm", R_OK) == 0
        let uri = "file:" + String(name) + (readsLog ? "?mode=ro&readonly_shm=1" : "?mode=ro&immutable=1")
        let opened = sqlite3_open_v2(uri, &connection, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX, nil)
        defer { sqlite3_close_v2(connection) }
        guard opened == SQLITE_OK, let connection else {
            inspection.failure = message(connection)
            return inspection
        }
        sqlite3_busy_timeout(connection, 1000)
        let deadline = Deadline(at: ContinuousClock.now + limit)
        return withExtendedLifetime(deadline) {
            sqlite3_progress_handler(
                connection, stepsPerLook,
                { context in context.map { Unmanaged<Deadline>.fromOpaque($0).takeUnretainedValue().isOver ? 1 : 0 } ?? 0 },
                Unmanaged.passUnretained(deadline).toOpaque())
            do throws(Failure) {
                inspection.version = try texts("PRAGMA user_version", connection).first.flatMap { Int($0) }
                guard readsLog == isInUse else {
                    inspection.isPartial = true
                    return inspection
                }
                inspection.damages = Array(try texts("PRAGMA quick_check(\(damagesMax))", connection).filter { $0 != "ok" })
            } catch {
                if error.code == SQLITE_INTERRUPT { inspection.isPartial = true } else { inspection.failure = error.message }
            }
            return inspection
        }
    }

    private final class Deadline {
        private let at: ContinuousClock.Instant

        init(at: ContinuousClock.Instant) {
            self.at = at
        }

        var isOver: Bool { ContinuousClock.now > at }
    }

    private struct Failure: Error {
        var code: Int32
        var message: String
    }

    private static func texts(_ sql: String, _ connection: OpaquePointer) throws(Failure) -> [String] {
        var statement: OpaquePointer?
        defer { sqlite3_finalize(statement) }
        let prepared = sqlite3_prepare_v2(connection, sql, -1, &statement, nil)
        guard prepared == SQLITE_OK else { throw Failure(code: prepared, message: message(connection)) }
        var texts: [String] = []
        while true {
            let code = sqlite3_step(statement)
            switch code {
            case SQLITE_ROW: texts.append(sqlite3_column_text(statement, 0).map { String(cString: $0) } ?? "")
            case SQLITE_DONE: return texts
            default: throw Failure(code: code, message: message(connection))
            }
        }
    }

    private static func message(_ connection: OpaquePointer?) -> String {
        sqlite3_errmsg(connection).map { String(cString: $0) } ?? "out of memory"
    }
}
