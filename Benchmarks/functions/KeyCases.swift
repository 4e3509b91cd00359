import Contracts
import Identity
import Vocabulary

/// Who calls, and what they asked for: looked up in a snapshot of 10 000 keys and 100 models.
let keyCases: [Case] = [
    Case("key-identify", "hash a credential and find it among 10 000 keys") {
        let directory = directory()
        let identifier = KeyIdentifier()
        let now = WallTime(microseconds: 1_780_000_000_000_000)
        guard case .success = identifier.identify(directory.secret, in: directory.snapshot, at: now) else {
            throw SetUpError(description: "the key is not known")
        }
        return {
            if case .success(let principal) = identifier.identify(directory.secret, in: directory.snapshot, at: now) {
                use(Int(principal.rights.rawValue))
            }
        }
    },
    Case("key-lookup", "find the hash of a key among 10 000") {
        let directory = directory()
        let hash = KeyIdentifier.hash(of: directory.secret)
        return { use(directory.snapshot.keys[hash] == nil ? 0 : 1) }
    },
    Case("key-change", "replace one of 10 000 keys in a table that a snapshot shares") {
        let directory = directory()
        let hash = KeyIdentifier.hash(of: directory.secret)
        let principal = directory.snapshot.keys[hash]
        return {
            var table = directory.snapshot.keys
            table[hash] = principal
            use(table[hash] == nil ? 0 : 1)
        }
    },
    Case("model-lookup", "find a model's name among 100") {
        let snapshot = directory().snapshot
        return { use(snapshot.model(named: "model-57")?.deployments.count ?? 0) }
    },
    Case("snapshot-check", "see that the snapshot in hand is the one in force") {
        let source = SnapshotSource(directory().snapshot)
        let own = source.snapshot
        return { use(source.generation == own.generation ? 1 : 0) }
    },
]

/// A snapshot with 10 000 keys and 100 models, and the secret of one of the keys.
func directory() -> (snapshot: Snapshot, secret: String) {
    var table = KeyTable()
    for number in 0..<10_000 {
        table[KeyIdentifier.hash(of: secret(number))] = Principal(
            keyID: "key_\(number)", keyName: "bench \(number)", tenant: "default", team: "research", agent: "assistant", user: "",
            rights: .inference, models: [], expiresAt: nil)
    }
    let provider = Provider(
        id: "upstream", kind: "openai", host: "127.0.0.1", port: 9900, isTLS: false, caFile: nil, basePath: "/v1",
        timeouts: ProviderTimeouts(connectMilliseconds: 10_000, firstByteMilliseconds: 60_000, idleMilliseconds: 60_000), concurrencyMax: 1_024,
        queueMax: 1_024, acceptsStreamOptions: true, retriesStaleConnections: true, requestHeads: [])
    let models = (0..<100).map { number in
        Model(
            name: "model-\(number)", nameJSON: Array("\"model-\(number)\"".utf8),
            deployments: [Deployment(provider: provider, model: "model-\(number)", modelJSON: Array("\"model-\(number)\"".utf8))], price: price,
            createdAt: WallTime(microseconds: 0))
    }
    return (Snapshot(generation: 1, keys: table, models: models, providers: [provider]), secret(4_711))
}

private func secret(_ number: Int) -> String {
    let digits = String(number)
    return "mk_" + String(repeating: "A", count: 37 - digits.utf8.count) + digits
}

let price = Price(input: 150_000_000, output: 600_000_000, cachedInput: 75_000_000)
