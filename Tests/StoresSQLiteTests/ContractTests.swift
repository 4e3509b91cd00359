import Contracts
import MartletTestKit
import StoresSQLite
import Testing

@Suite struct `The SQLite store keeps the contracts` {
    let directory: TemporaryDirectory

    init() throws {
        directory = try TemporaryDirectory()
    }

    @Test(arguments: KeyStoreContract.checks)
    func `of key stores`(check: ContractCheck<any KeyStore>) async throws {
        try await check.run(try SQLiteStore.open(path: directory.store))
    }

    @Test(arguments: UsageStoreContract.checks)
    func `of usage stores`(check: ContractCheck<any UsageStore>) async throws {
        try await check.run(try SQLiteStore.open(path: directory.store))
    }

    @Test func `a second opening sees the changes of the first`() async throws {
        let first = try SQLiteStore.open(path: directory.store)
        try await KeyStoreContract.checkChangeCounter(first, seenBy: try SQLiteStore.open(path: directory.store))
    }

    @Test func `a change by another program moves the change counter`() async throws {
        let store = try SQLiteStore.open(path: directory.store)
        try await store.insert(KeyStoreContract.key(1))
        let before = try await store.changeCounter()
        try runOutside("UPDATE api_keys SET revoked_at = 1", path: directory.store)
        #expect(try await store.changeCounter() != before)
    }

    @Test func `usage does not move the change counter`() async throws {
        let store = try SQLiteStore.open(path: directory.store)
        let before = try await store.changeCounter()
        try await store.apply([UsageStoreContract.call(1)], replica: "a", position: UsageStoreContract.at(1))
        #expect(try await store.changeCounter() == before)
    }
}
