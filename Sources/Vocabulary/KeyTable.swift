/// Principals by the hash of their key, in shards: a change to one of many thousand keys copies one shard, not the table.
package struct KeyTable: Sendable {
    private var shards: [[KeyHash: Principal]]

    private static let shardCount = 256

    package init() {
        shards = Array(repeating: [:], count: KeyTable.shardCount)
    }

    package subscript(hash: KeyHash) -> Principal? {
        get { shards[KeyTable.shard(of: hash)][hash] }
        set { shards[KeyTable.shard(of: hash)][hash] = newValue }
    }

    package var count: Int { shards.reduce(0) { $0 + $1.count } }

    private static func shard(of hash: KeyHash) -> Int {
        // The dictionary inside hashes the first word, so the shard is taken from the last.
        Int(hash.words.3 % UInt64(shardCount))
    }
}
