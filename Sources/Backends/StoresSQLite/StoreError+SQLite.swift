import Contracts
import GRDB

extension StoreError {
    /// Sorts a failure by what a caller can do about it.
    init(_ error: any Error) {
        switch error {
        case let error as StoreError:
            self = error
        case let error as DatabaseError:
            self.init(error)
        case is CancellationError:
            self = .unavailable("the caller gave up")
        default:
            self = .unavailable("\(error)")
        }
    }

    private init(_ error: DatabaseError) {
        let reason = "SQLite \(error.extendedResultCode.rawValue): \(error.message ?? "no message")"
        switch (error.resultCode, error.extendedResultCode) {
        case (.SQLITE_CONSTRAINT, .SQLITE_CONSTRAINT_UNIQUE), (.SQLITE_CONSTRAINT, .SQLITE_CONSTRAINT_PRIMARYKEY):
            self = .duplicate(reason)
        case (.SQLITE_CORRUPT, _), (.SQLITE_NOTADB, _), (.SQLITE_SCHEMA, _), (.SQLITE_CONSTRAINT, _), (.SQLITE_MISMATCH, _), (.SQLITE_ERROR, _):
            // A generic error is a statement that this file's tables do not fit: our statements are constants.
            self = .corrupt(reason)
        default:
            self = .unavailable(reason)
        }
    }
}
