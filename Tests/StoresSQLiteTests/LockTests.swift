import Contracts
import MartletTestKit
import StoresSQLite
import Synchronization
import Testing
import Vocabulary

@Suite struct `A SQLite store that another process has locked` {
    let directory: TemporaryDirectory

    init() throws {
        directory = try TemporaryDirectory()
    }

    @Test func `is unavailable for writes, readable, and well again afterwards`() async throws {
        let store = try SQLiteStore.open(path: directory.store)
        try await store.insert(KeyStoreContract.key(1))
        let holder = try LockHolder(path: directory.store)
        let clock = ContinuousClock()
        let start = clock.now
        #expect(try await isUnavailable { try await store.insert(KeyStoreContract.key(2)) })
        #expect(
            try await isUnavailable {
                try await store.apply([UsageStoreContract.call(1)], replica: "a", position: UsageStoreContract.at(1))
            })
        #expect(try await isUnavailable { _ = try await store.revoke(id: "key_1", at: WallTime(microseconds: 1)) })
        // Three waits for the lock and room for a slow machine; GRDB's own default would be none, SQLite's none too.
        #expect(start.duration(to: clock.now) < .seconds(5))
        #expect(try await store.keys() == [KeyStoreContract.key(1)])
        #expect(try await store.totals(UsageFilter()).calls == 0)
        try holder.release()
        try await store.insert(KeyStoreContract.key(2))
        try await store.apply([UsageStoreContract.call(1)], replica: "a", position: UsageStoreContract.at(1))
        #expect(try await store.keys().count == 2)
        #expect(try await store.totals(UsageFilter()).calls == 1)
    }

    @Test func `does not hold up Swift's threads while it waits`() async throws {
        let store = try SQLiteStore.open(path: directory.store)
        let holder = try LockHolder(path: directory.store)
        let refused = Counter()
        try await withThrowingTaskGroup(of: Void.self) { group in
            // More than there are threads, one after the other: two seconds of waiting.
            for number in 0..<8 {
                group.addTask {
                    let isRefused = try await isUnavailable { try await store.insert(KeyStoreContract.key(number)) }
                    #expect(isRefused)
                    refused.value.add(1, ordering: .relaxed)
                }
            }
            for _ in 0..<20 { #expect(try await store.keys().isEmpty) }
            try await group.waitForAll()
            #expect(refused.value.load(ordering: .relaxed) == 8)
        }
        try holder.release()
    }

    @Test func `cannot be opened by one who must change it first`() async throws {
        let store = try SQLiteStore.open(path: directory.store)
        try await store.migrate(to: 0)
        let holder = try LockHolder(path: directory.store)
        #expect(try await isUnavailable { _ = try SQLiteStore.open(path: directory.store) })
        try holder.release()
        #expect(try await SQLiteStore.open(path: directory.store).keys().isEmpty)
    }
}

private final class Counter: Sendable {
    let value = Atomic(0)
}
