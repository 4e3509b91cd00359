import Contracts
import Dispatch
import Glibc
import Identity
import Logging
import Synchronization
import Vocabulary

/// Keeps the snapshot in force true to the keys in the store and to the catalog of the configuration, and makes, lists, rotates and revokes keys.
///
/// The only place that makes snapshots. A change made here is in force before the call returns; one made by another process within a poll's
/// interval.
final class KeyService: KeyDirectory, CredentialChecking {
    private struct State {
        var catalog: Catalog
        var administrator: Administrator?
        var table = KeyTable()
        var generation: UInt64
        var changeCounter: Int64?
        var records: [String: KeyRecord] = [:]

        /// Puts a record in the place of the one with its id.
        mutating func put(_ record: KeyRecord) {
            if let known = records[record.id] {
                for (hash, _) in known.credentials { table[hash] = nil }
            }
            for (hash, principal) in record.credentials { table[hash] = principal }
            records[record.id] = record
            // Whatever the store holds, the configured key stays what it is.
            if let administrator { table[administrator.hash] = administrator.principal }
        }

        /// The snapshot of what is in force now, as the next generation.
        mutating func next() -> Snapshot {
            generation += 1
            return catalog.snapshot(generation: generation, keys: table)
        }
    }

    private struct Administrator {
        var hash: KeyHash
        var principal: Principal

        /// - Parameter key: `MARTLET_ADMIN_KEY`.
        init(key: String) {
            hash = KeyIdentifier.hash(of: key)
            principal = Principal(
                keyID: KeyService.administratorID, keyName: "administrator", tenant: "default", team: "", agent: "", user: "",
                rights: .administrator, models: [], expiresAt: nil)
        }
    }

    let snapshots: SnapshotSource
    private let store: any KeyStore
    private let file: SnapshotFile
    private let logger: Logger
    private let state: Mutex<State>
    /// Writes of the snapshot, one after the other.
    private let saving = DispatchQueue(label: "martlet.keys.snapshot", qos: .utility)

    /// The key id of the administrator whose key comes from the environment.
    static let administratorID = "key_admin"

    /// - Parameter adminKey: `MARTLET_ADMIN_KEY`.
    init(store: any KeyStore, catalog: Catalog, adminKey: String?, file: SnapshotFile, logger: Logger) {
        self.store = store
        self.file = file
        self.logger = logger
        let administrator = adminKey.map(Administrator.init(key:))
        var table = KeyTable()
        if let administrator { table[administrator.hash] = administrator.principal }
        state = Mutex(State(catalog: catalog, administrator: administrator, table: table, generation: 1))
        snapshots = SnapshotSource(catalog.snapshot(generation: 1, keys: table))
    }

    // MARK: The catalog

    /// The catalog in force.
    var catalog: Catalog { state.withLock { $0.catalog } }

    /// Puts another catalog and another administrator in force, at once with everything else of the snapshot. Calls that have begun keep the
    /// snapshot that they began with.
    ///
    /// - Parameter adminKey: `MARTLET_ADMIN_KEY`; `nil` without one.
    func replace(catalog: Catalog, adminKey: String?) {
        let next = state.withLock { state in
            state.catalog = catalog
            if let former = state.administrator {
                state.table[former.hash] = nil
                // A stored key of the same text was hidden by the configured one.
                for record in state.records.values {
                    for (hash, principal) in record.credentials where hash == former.hash { state.table[hash] = principal }
                }
            }
            state.administrator = adminKey.map(Administrator.init(key:))
            if let administrator = state.administrator { state.table[administrator.hash] = administrator.principal }
            return state.next()
        }
        snapshots.publish(next)
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
                let file = file
                let records = try await offPool { Result { try file.read() } }.get()
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
            await save()
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
        state.withLock { state in
            state.administrator != nil || state.records.values.contains { $0.revokedAt == nil && $0.rights.contains(.keys) }
        }
    }

    /// - Returns: whether the records are in force; not so when the generation is another one by now.
    @discardableResult
    private func put(_ records: [KeyRecord], ifStill generation: UInt64? = nil) -> Bool {
        let next = state.withLock { state -> Snapshot? in
            if let generation, state.generation != generation { return nil }
            state.table = KeyTable()
            state.records = [:]
            if let administrator = state.administrator { state.table[administrator.hash] = administrator.principal }
            for record in records { state.put(record) }
            return state.next()
        }
        guard let next else { return false }
        snapshots.publish(next)
        return true
    }

    private func put(_ record: KeyRecord) {
        let next = state.withLock { state in
            state.put(record)
            return state.next()
        }
        snapshots.publish(next)
    }

    private func save() async {
        // One at a time, each with what is in force when its turn comes: the file never goes back.
        await offPool(on: saving) { [self] in
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
        let (secret, kept) = newSecret()
        let record = KeyRecord(
            id: KeyFormat.makeID(), name: request.name, hash: kept.hash, prefix: kept.prefix, lastFour: kept.lastFour, tenant: request.tenant,
            team: request.team, agent: request.agent, user: request.user,
            rights: request.rights, models: request.models, createdAt: WallTime.now, expiresAt: request.expiresAt)
        try await store.insert(record)
        put(record)
        await save()
        return (record, secret)
    }

    func list() async throws(StoreError) -> [KeyRecord] {
        try await store.keys()
    }

    func revoke(id: String) async throws(StoreError) -> KeyRecord? {
        guard let record = try await store.revoke(id: id, at: WallTime.now) else { return nil }
        put(record)
        await save()
        return record
    }

    func rotate(id: String, grace: Duration) async throws(StoreError) -> KeyRotation {
        let (secret, kept) = newSecret()
        let now = WallTime.now
        let graceEnd = grace > .zero ? WallTime(microseconds: now.microseconds + grace.milliseconds * 1000) : nil
        guard let record = try await store.rotate(id: id, to: kept, graceEnd: graceEnd, at: now) else { return .unknown }
        put(record)
        await save()
        return record.hash == kept.hash ? .rotated(record, secret: secret) : .revoked
    }

    func isConfigured(id: String) -> Bool {
        id == KeyService.administratorID && state.withLock { $0.administrator != nil }
    }

    private func newSecret() -> (secret: String, kept: KeySecret) {
        let secret = KeyFormat.make()
        return (
            secret, KeySecret(hash: KeyIdentifier.hash(of: secret), prefix: String(secret.prefix(7)), lastFour: String(secret.suffix(4)))
        )
    }

    // MARK: CredentialChecking

    func principal(for credential: String) throws(GatewayError) -> Principal {
        try KeyIdentifier().identify(credential, in: snapshots.snapshot, at: WallTime.now).get()
    }
}
