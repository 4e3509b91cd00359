import Contracts
import Glibc
import Identity
import Logging
import Synchronization
import Vocabulary

/// Keeps the snapshot in force true to the keys in the store, and makes, lists and revokes keys.
///
/// A change made here is in force before the call returns; one made by another process within a poll's interval.
final class KeyService: KeyDirectory, CredentialChecking {
    private struct State {
        var table = KeyTable()
        var generation: UInt64
        var changeCounter: Int64?
        var records: [String: KeyRecord] = [:]
    }

    let snapshots: SnapshotSource
    private let store: any KeyStore
    private let catalog: Catalog
    private let administrator: (hash: KeyHash, principal: Principal)?
    private let file: SnapshotFile
    private let logger: Logger
    private let state: Mutex<State>
    private let saving = Mutex(())

    /// The key id of the administrator whose key comes from the environment.
    static let administratorID = "key_admin"

    /// - Parameter adminKey: `MARTLET_ADMIN_KEY`.
    init(store: any KeyStore, catalog: Catalog, adminKey: String?, file: SnapshotFile, logger: Logger) {
        self.store = store
        self.catalog = catalog
        self.file = file
        self.logger = logger
        administrator = adminKey.map { key in
            (
                KeyIdentifier.hash(of: key),
                Principal(
                    keyID: KeyService.administratorID, keyName: "administrator", tenant: "default", team: "", agent: "", user: "",
                    rights: .administrator, models: [], expiresAt: nil)
            )
        }
        var table = KeyTable()
        if let administrator { table[administrator.hash] = administrator.principal }
        state = Mutex(State(table: table, generation: 1))
        snapshots = SnapshotSource(catalog.snapshot(generation: 1, keys: table))
    }

    // MARK: Start and watch

    /// Takes the keys from the store, or from the last good snapshot on disk while the store is away.
    ///
    /// - Returns: whether the store answered.
    func load() async -> Bool {
        do throws(StoreError) {
            try await reload()
            return true
        } catch {
            do {
                let records = try file.read()
                put(records)
                logger.warning("keys are served from the last snapshot", metadata: ["keys.count": "\(records.count)", "error": "\(error)"])
            } catch let fileError {
                logger.error(
                    "no keys: neither the store nor a snapshot can be read", metadata: ["error": "\(error)", "snapshot.error": "\(fileError)"])
            }
            return false
        }
    }

    /// Looks for changes made by others until it is cancelled.
    func watch(interval: Duration) async {
        while !Task.isCancelled {
            do {
                let counter = try await store.changeCounter()
                if state.withLock({ $0.changeCounter }) != counter { try await reload() }
                if !hasAdministrator { try await makeAdministrator() }
            } catch {
                logger.debug("key store cannot be watched", metadata: ["error": "\(error)"])
            }
            try? await Task.sleep(for: interval)
        }
    }

    private func reload() async throws(StoreError) {
        // What is read is put in force only if nothing has changed here meanwhile: a revocation must not be undone by a list from before it.
        while true {
            let before = state.withLock { $0.generation }
            // The counter first: a change between the two reads is then seen again, not missed.
            let counter = try await store.changeCounter()
            let records = try await store.keys()
            guard put(records, ifStill: before) else { continue }
            state.withLock { $0.changeCounter = counter }
            save()
            return
        }
    }

    /// The first start without `MARTLET_ADMIN_KEY`: a key is made, and shown this once.
    func makeAdministrator() async throws(StoreError) {
        let (_, secret) = try await create(KeyRequest(name: "administrator", rights: .administrator))
        print("administrator key, shown this once: \(secret)")
        fflush(nil)
    }

    /// Whether anybody may administer this gateway.
    var hasAdministrator: Bool {
        administrator != nil || state.withLock { $0.records.values.contains { $0.revokedAt == nil && $0.rights.contains(.keys) } }
    }

    /// - Returns: whether the records are in force; not so when the generation is another one by now.
    @discardableResult
    private func put(_ records: [KeyRecord], ifStill generation: UInt64? = nil) -> Bool {
        let next = state.withLock { state -> Snapshot? in
            if let generation, state.generation != generation { return nil }
            var table = KeyTable()
            if let administrator { table[administrator.hash] = administrator.principal }
            for record in records where record.revokedAt == nil { table[record.hash] = record.principal }
            state.table = table
            state.records = Dictionary(records.map { ($0.id, $0) }, uniquingKeysWith: { $1 })
            state.generation += 1
            return catalog.snapshot(generation: state.generation, keys: table)
        }
        guard let next else { return false }
        snapshots.publish(next)
        return true
    }

    private func put(_ record: KeyRecord) {
        let next = state.withLock { state in
            state.table[record.hash] = record.revokedAt == nil ? record.principal : nil
            state.records[record.id] = record
            state.generation += 1
            return catalog.snapshot(generation: state.generation, keys: state.table)
        }
        snapshots.publish(next)
    }

    private func save() {
        // One at a time, each with what is in force when its turn comes: the file never goes back.
        saving.withLock { _ in
            let records = state.withLock { Array($0.records.values) }
            do {
                try file.write(records)
            } catch {
                logger.warning("the snapshot cannot be kept on disk", metadata: ["error": "\(error)"])
            }
        }
    }

    // MARK: KeyDirectory

    func create(_ request: KeyRequest) async throws(StoreError) -> (record: KeyRecord, secret: String) {
        let secret = KeyFormat.make()
        let record = KeyRecord(
            id: KeyFormat.makeID(), name: request.name, hash: KeyIdentifier.hash(of: secret), prefix: String(secret.prefix(7)),
            lastFour: String(secret.suffix(4)), tenant: request.tenant, team: request.team, agent: request.agent, user: request.user,
            rights: request.rights, models: request.models, createdAt: WallTime.now, expiresAt: request.expiresAt)
        try await store.insert(record)
        put(record)
        save()
        return (record, secret)
    }

    func list() async throws(StoreError) -> [KeyRecord] {
        try await store.keys()
    }

    func revoke(id: String) async throws(StoreError) -> KeyRecord? {
        guard let record = try await store.revoke(id: id, at: WallTime.now) else { return nil }
        put(record)
        save()
        return record
    }

    // MARK: CredentialChecking

    func principal(for credential: String) throws(GatewayError) -> Principal {
        try KeyIdentifier().identify(credential, in: snapshots.snapshot, at: WallTime.now).get()
    }
}
