import Contracts
import Foundation
import MartletTestKit
import StoresSQLite
import Testing
import Vocabulary

@Suite struct `Opening the SQLite store` {
    let directory: TemporaryDirectory

    init() throws {
        directory = try TemporaryDirectory()
    }

    private func mode(_ path: String) throws -> Int {
        try #require(try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int)
    }

    @Test func `only the owner can read it, its side files included`() async throws {
        let store = try SQLiteStore.open(path: directory.store)
        try await store.insert(KeyStoreContract.key(1))
        for suffix in ["", "-wal", "-shm"] { #expect(try mode(directory.store + suffix) == 0o600) }
    }

    @Test func `a file that was wider is narrowed`() throws {
        try Data().write(to: URL(fileURLWithPath: directory.store))
        try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: directory.store)
        _ = try SQLiteStore.open(path: directory.store)
        #expect(try mode(directory.store) == 0o600)
    }

    @Test func `what was written is there after another opening`() async throws {
        let first = try SQLiteStore.open(path: directory.store)
        try await first.insert(KeyStoreContract.key(1))
        try await first.apply([UsageStoreContract.call(1)], replica: "a", position: UsageStoreContract.at(5))
        try first.close()
        let second = try SQLiteStore.open(path: directory.store)
        #expect(try await second.keys() == [KeyStoreContract.key(1)])
        #expect(try await second.rows(UsageFilter(), before: nil, limit: 5).map(\.record) == [UsageStoreContract.call(1)])
        #expect(try await second.positions(replica: "a") == [UsageStoreContract.at(5)])
    }

    @Test func `a closed store is unavailable`() async throws {
        let store = try SQLiteStore.open(path: directory.store)
        try store.close()
        #expect(try await isUnavailable { _ = try await store.keys() })
    }

    @Test func `a directory that is not there is unavailable`() async throws {
        #expect(try await isUnavailable { _ = try SQLiteStore.open(path: directory.path + "/none/martlet.db") })
    }

    @Test func `a file that is no database is corrupt`() throws {
        try Data(repeating: 0x41, count: 8192).write(to: URL(fileURLWithPath: directory.store))
        let error = #expect(throws: StoreError.self) { _ = try SQLiteStore.open(path: directory.store) }
        guard case .corrupt = error else { return #expect(Bool(false), "\(String(describing: error))") }
    }

    @Test(arguments: [true, false]) func `a look at what a crash has left changes nothing of it`(hasIndex: Bool) async throws {
        let store = try SQLiteStore.open(path: directory.store)
        try await store.insert(KeyStoreContract.key(1))
        // As a crash leaves it.
        let crashed = directory.path + "/crashed.db"
        for suffix in hasIndex ? ["", "-wal", "-shm"] : ["", "-wal"] {
            try FileManager.default.copyItem(atPath: directory.store + suffix, toPath: crashed + suffix)
        }
        func state() throws -> [String: [String]] {
            var state: [String: [String]] = [:]
            for name in try FileManager.default.contentsOfDirectory(atPath: directory.path) where name.hasPrefix("crashed") {
                let attributes = try FileManager.default.attributesOfItem(atPath: directory.path + "/" + name)
                let contents = try Data(contentsOf: URL(fileURLWithPath: directory.path + "/" + name))
                state[name] = ["\(attributes[.modificationDate] ?? "")", contents.base64EncodedString()]
            }
            return state
        }
        let before = try state()
        // Not the store itself: two connections of one process share what they may write.
        let left = StoreInspection.look(at: crashed, isInUse: true)
        #expect(try state() == before)
        #expect(left.failure == nil && left.damages.isEmpty && left.isPartial == !hasIndex)
        if hasIndex { #expect(left.version == Schema.currentVersion) }
        try store.close()
    }

    @Test func `tables of a later version are refused`() async throws {
        try SQLiteStore.open(path: directory.store).close()
        try runOutside("PRAGMA user_version = 1000", path: directory.store)
        let error = #expect(throws: StoreError.self) { _ = try SQLiteStore.open(path: directory.store) }
        guard case .corrupt = error else { return #expect(Bool(false), "\(String(describing: error))") }
    }

    @Test func `every version can be left forward and back, and keys outlive the loss of usage`() async throws {
        let store = try SQLiteStore.open(path: directory.store)
        #expect(try await store.schemaVersion() == Schema.currentVersion)
        try await store.insert(KeyStoreContract.key(1))
        try await store.migrate(to: 1)
        #expect(try await store.schemaVersion() == 1)
        await #expect(throws: StoreError.self) { try await store.totals(UsageFilter()) }
        try await store.migrate(to: Schema.currentVersion)
        #expect(try await store.keys() == [KeyStoreContract.key(1)])
        try await store.migrate(to: 0)
        await #expect(throws: StoreError.self) { try await store.keys() }
        for version in 1...Schema.currentVersion {
            try await store.migrate(to: version)
            try await store.migrate(to: version - 1)
            try await store.migrate(to: version)
        }
        #expect(try await store.keys().isEmpty)
        try await store.apply([UsageStoreContract.call(1)], replica: "a", position: UsageStoreContract.at(1))
        #expect(try await store.totals(UsageFilter()).calls == 1)
        await #expect(throws: StoreError.self) { try await store.migrate(to: Schema.currentVersion + 1) }
    }

    @Test func `a key keeps its secret when rotation is taken back, and loses the one in its grace`() async throws {
        let store = try SQLiteStore.open(path: directory.store)
        try await store.insert(KeyStoreContract.key(1))
        let secret = KeySecret(hash: KeyStoreContract.key(9).hash, prefix: "mk_wxyz", lastFour: "0123")
        let grace = WallTime(microseconds: 4_000_000_000_000_000)
        let rotated = try await store.rotate(id: "key_1", to: secret, graceEnd: grace, at: WallTime(microseconds: 5))
        #expect(rotated?.previousHash == KeyStoreContract.key(1).hash)
        try await store.migrate(to: 2)
        try await store.migrate(to: Schema.currentVersion)
        let found = try #require(try await store.keys().first)
        #expect(found.hash == secret.hash && found.lastFour == "0123")
        #expect(found.previousHash == nil && found.previousExpiresAt == nil && found.rotatedAt == nil)
    }

    @Test func `a look at the file changes nothing and finds what is wrong`() async throws {
        let store = try SQLiteStore.open(path: directory.store)
        try await store.insert(KeyStoreContract.key(1))
        #expect(StoreInspection.look(at: directory.store, isInUse: true) == StoreInspection(version: Schema.currentVersion))
        try store.close()
        let before = try FileManager.default.contentsOfDirectory(atPath: directory.path).sorted()
        #expect(StoreInspection.look(at: directory.store, isInUse: false) == StoreInspection(version: Schema.currentVersion))
        #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path).sorted() == before)
        #expect(StoreInspection.look(at: directory.path + "/none", isInUse: false).failure != nil)
        try Data(repeating: 0x41, count: 8192).write(to: URL(fileURLWithPath: directory.store))
        #expect(StoreInspection.look(at: directory.store, isInUse: false).failure != nil)
    }

    @Test func `many openings at once make the tables once`() async throws {
        let path = directory.store
        try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<4 {
                group.addTask {
                    // Whoever finds the file locked for too long comes again, as the service does.
                    while true {
                        do throws(StoreError) {
                            return try await SQLiteStore.open(path: path).schemaVersion()
                        } catch {
                            guard case .unavailable = error else { throw error }
                        }
                    }
                }
            }
            for try await version in group { #expect(version == Schema.currentVersion) }
        }
    }
}

/// Whether the body throws `unavailable`; other errors pass.
func isUnavailable(_ body: () async throws -> Void) async throws -> Bool {
    do {
        try await body()
        return false
    } catch StoreError.unavailable {
        return true
    }
}
