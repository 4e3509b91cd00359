import Contracts
import MartletTestKit
import StoresSQLite
import Testing
import Vocabulary

@Suite struct `What usage rows have in common` {
    let directory: TemporaryDirectory

    init() throws {
        directory = try TemporaryDirectory()
    }

    private func call(_ number: Int, key: String) -> UsageRecord {
        var record = UsageStoreContract.call(number)
        record.keyID = key
        return record
    }

    private func rows(_ store: SQLiteStore, key: String) async throws -> [UsageRecord] {
        var filter = UsageFilter()
        filter.keyID = key
        return try await store.rows(filter, before: nil, limit: 100).map(\.record)
    }

    private func dimensionCount() throws -> String {
        try askOutside("SELECT count(*) FROM usage_dimensions", path: directory.store)
    }

    @Test func `stands once, whoever has written it`() async throws {
        let first = try SQLiteStore.open(path: directory.store)
        let second = try SQLiteStore.open(path: directory.store)
        for (number, store) in [first, second, first, second, first].enumerated() {
            let batch = ["a", "b", "c"].map { call(number, key: $0) }
            try await store.apply(batch, replica: "r", position: UsageStoreContract.at(Int64(number) + 1))
        }
        #expect(try dimensionCount() == "3")
        for key in ["a", "b", "c"] {
            let expected = (0..<5).reversed().map { call($0, key: key) }
            #expect(try await rows(first, key: key) == expected)
            #expect(try await rows(second, key: key) == expected)
        }
    }

    @Test func `is not remembered from a batch that was not taken`() async throws {
        let store = try SQLiteStore.open(path: directory.store)
        try runOutside(
            """
            CREATE TRIGGER unlucky BEFORE INSERT ON usage WHEN new.request_id = 'bad' BEGIN SELECT RAISE(ABORT, 'no luck'); END
            """, path: directory.store)
        var bad = call(2, key: "new")
        bad.requestID = "bad"
        await #expect(throws: StoreError.self) {
            try await store.apply([call(1, key: "new"), bad], replica: "r", position: UsageStoreContract.at(1))
        }
        #expect(try dimensionCount() == "0")
        #expect(try await store.positions(replica: "r") == [])
        try await store.apply([call(0, key: "other")], replica: "r", position: UsageStoreContract.at(1))
        try await store.apply([call(1, key: "new")], replica: "r", position: UsageStoreContract.at(2))
        #expect(try await rows(store, key: "new") == [call(1, key: "new")])
        #expect(try await rows(store, key: "other") == [call(0, key: "other")])
    }

    @Test func `is not remembered from tables that are gone`() async throws {
        let store = try SQLiteStore.open(path: directory.store)
        try await store.apply((1...3).map { call($0, key: "k\($0)") }, replica: "r", position: UsageStoreContract.at(1))
        let other = try SQLiteStore.open(path: directory.store)
        try await other.migrate(to: 1)
        try await other.migrate(to: Schema.currentVersion)
        try await store.apply([call(4, key: "k3")], replica: "r", position: UsageStoreContract.at(1))
        #expect(try await rows(store, key: "k3") == [call(4, key: "k3")])
    }

    @Test func `does not grow with the models that clients make up`() async throws {
        let store = try SQLiteStore.open(path: directory.store)
        let records = (0..<200).map { number in
            var record = call(number, key: "k")
            record.provider = ""
            record.servedModel = ""
            record.requestedModel = "made-up-\(number)"
            record.outcome = .refused
            return record
        }
        try await store.apply(records, replica: "r", position: UsageStoreContract.at(1))
        #expect(try dimensionCount() == "1")
        var filter = UsageFilter()
        filter.model = "made-up-77"
        #expect(try await store.rows(filter, before: nil, limit: 10).map(\.record) == [records[77]])
    }
}
