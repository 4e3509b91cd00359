import Contracts
import StoresSQLite
import Synchronization
import Vocabulary

/// The SQLite store, opened as soon as it can be: the gateway starts and serves from its last snapshot while the file is locked or gone.
final class LazyStore: KeyStore, UsageStore {
    private struct State {
        var store: SQLiteStore?
        var lastError: StoreError?
        var triedAt: ContinuousClock.Instant?
    }

    private let path: String
    private let state = Mutex(State())

    /// How long a failed opening is not tried again.
    private static let retryPause = Duration.milliseconds(500)

    init(path: String) {
        self.path = path
        _ = try? opened()
    }

    /// What the last call said, where it failed.
    var lastError: StoreError? { state.withLock { $0.lastError } }

    private func opened() throws(StoreError) -> SQLiteStore {
        let known: Result<SQLiteStore, StoreError>? = state.withLock { state in
            if let store = state.store { return .success(store) }
            let now = ContinuousClock.now
            if let error = state.lastError, let triedAt = state.triedAt, now - triedAt < LazyStore.retryPause { return .failure(error) }
            state.triedAt = now
            return nil
        }
        if let known { return try known.get() }
        do throws(StoreError) {
            let store = try SQLiteStore.open(path: path)
            state.withLock { state in
                state.store = store
                state.lastError = nil
            }
            return store
        } catch {
            state.withLock { $0.lastError = error }
            throw error
        }
    }

    private func use<Value: Sendable>(_ work: (SQLiteStore) async throws(StoreError) -> Value) async throws(StoreError) -> Value {
        let store = try opened()
        do throws(StoreError) {
            let value = try await work(store)
            state.withLock { $0.lastError = nil }
            return value
        } catch {
            if case .duplicate = error { throw error }
            state.withLock { $0.lastError = error }
            throw error
        }
    }

    func insert(_ key: KeyRecord) async throws(StoreError) {
        try await use { store throws(StoreError) in try await store.insert(key) }
    }

    func keys() async throws(StoreError) -> [KeyRecord] {
        try await use { store throws(StoreError) in try await store.keys() }
    }

    func revoke(id: String, at time: WallTime) async throws(StoreError) -> KeyRecord? {
        try await use { store throws(StoreError) in try await store.revoke(id: id, at: time) }
    }

    func rotate(id: String, to secret: KeySecret, graceEnd: WallTime?, at time: WallTime) async throws(StoreError) -> KeyRecord? {
        try await use { store throws(StoreError) in try await store.rotate(id: id, to: secret, graceEnd: graceEnd, at: time) }
    }

    func changeCounter() async throws(StoreError) -> Int64 {
        try await use { store throws(StoreError) in try await store.changeCounter() }
    }

    func apply(_ records: [UsageRecord], replica: String, position: JournalPosition) async throws(StoreError) {
        try await use { store throws(StoreError) in try await store.apply(records, replica: replica, position: position) }
    }

    func positions(replica: String) async throws(StoreError) -> [JournalPosition] {
        try await use { store throws(StoreError) in try await store.positions(replica: replica) }
    }

    func forget(segments: [String], replica: String) async throws(StoreError) {
        try await use { store throws(StoreError) in try await store.forget(segments: segments, replica: replica) }
    }

    func rows(_ filter: UsageFilter, before: Int64?, limit: Int) async throws(StoreError) -> [UsageRow] {
        try await use { store throws(StoreError) in try await store.rows(filter, before: before, limit: limit) }
    }

    func totals(_ filter: UsageFilter) async throws(StoreError) -> UsageTotals {
        try await use { store throws(StoreError) in try await store.totals(filter) }
    }
}
