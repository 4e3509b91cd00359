package import Contracts
import Vocabulary

/// What every ``KeyStore`` promises.
package enum KeyStoreContract {
    package static let checks: [ContractCheck<any KeyStore>] = [
        ContractCheck("an empty store has no keys") { store in
            try expectEqual(try await store.keys(), [], "keys")
        },
        ContractCheck("a key comes back as it went in") { store in
            var full = key(1)
            full.name = "Grüße, \"quoted\"; DROP TABLE api_keys; --"
            full.models = ["gpt-4o*", "org/model:tag", "a\nb,c"]
            full.rights = .administrator
            full.expiresAt = WallTime(microseconds: 1_900_000_000_000_001)
            full.revokedAt = WallTime(microseconds: 1_800_000_000_000_002)
            full.previousHash = KeyHash(9, 8, 7, 6)
            full.previousExpiresAt = WallTime(microseconds: 1_850_000_000_000_003)
            full.rotatedAt = WallTime(microseconds: 1_790_000_000_000_004)
            let bare = key(2)
            try await store.insert(full)
            try await store.insert(bare)
            try expectEqual(try await store.keys(), [full, bare], "keys")
        },
        ContractCheck("keys come oldest first") { store in
            for number in [3, 1, 2] { try await store.insert(key(number)) }
            try expectEqual(try await store.keys().map(\.id), ["key_1", "key_2", "key_3"], "order")
        },
        ContractCheck("an id or a hash is there once") { store in
            try await store.insert(key(1))
            var sameID = key(2)
            sameID.id = "key_1"
            try await expectDuplicate(sameID, in: store)
            var sameHash = key(3)
            sameHash.hash = key(1).hash
            try await expectDuplicate(sameHash, in: store)
            try expectEqual(try await store.keys(), [key(1)], "keys after two duplicates")
        },
        ContractCheck("revoking marks a key, once") { store in
            try await store.insert(key(1))
            try await store.insert(key(2))
            var revoked = key(1)
            revoked.revokedAt = WallTime(microseconds: 77)
            try expectEqual(try await store.revoke(id: "key_1", at: WallTime(microseconds: 77)), revoked, "the first time")
            try expectEqual(try await store.revoke(id: "key_1", at: WallTime(microseconds: 99)), revoked, "the second time")
            try expectEqual(try await store.keys(), [revoked, key(2)], "keys")
        },
        ContractCheck("revoking an unknown key finds nothing") { store in
            try await store.insert(key(1))
            try expectEqual(try await store.revoke(id: "key_9", at: WallTime(microseconds: 77)), nil, "result")
            try expectEqual(try await store.keys(), [key(1)], "keys")
        },
        ContractCheck("rotating replaces the secret and keeps the one before until the grace ends") { store in
            try await store.insert(key(1))
            try await store.insert(key(2))
            let end = WallTime(microseconds: 500)
            var rotated = rotated(key(1), to: secret(11), at: WallTime(microseconds: 77))
            rotated.previousHash = key(1).hash
            rotated.previousExpiresAt = end
            try expectEqual(
                try await store.rotate(id: "key_1", to: secret(11), graceEnd: end, at: WallTime(microseconds: 77)), rotated, "the result")
            try expectEqual(try await store.keys(), [rotated, key(2)], "keys")
        },
        ContractCheck("a second rotation forgets the oldest secret, one without a grace both") { store in
            try await store.insert(key(1))
            let end = WallTime(microseconds: 500)
            _ = try await store.rotate(id: "key_1", to: secret(11), graceEnd: end, at: WallTime(microseconds: 77))
            let later = WallTime(microseconds: 900)
            var second = rotated(key(1), to: secret(12), at: WallTime(microseconds: 78))
            second.previousHash = secret(11).hash
            second.previousExpiresAt = later
            try expectEqual(
                try await store.rotate(id: "key_1", to: secret(12), graceEnd: later, at: WallTime(microseconds: 78)), second, "the second")
            let third = rotated(key(1), to: secret(13), at: WallTime(microseconds: 79))
            try expectEqual(
                try await store.rotate(id: "key_1", to: secret(13), graceEnd: nil, at: WallTime(microseconds: 79)), third, "without a grace")
            try expectEqual(try await store.keys(), [third], "keys")
        },
        ContractCheck("a revoked key is not rotated, nor one that is not there") { store in
            try await store.insert(key(1))
            let revoked = try await store.revoke(id: "key_1", at: WallTime(microseconds: 70))
            let end = WallTime(microseconds: 500)
            try expectEqual(
                try await store.rotate(id: "key_1", to: secret(11), graceEnd: end, at: WallTime(microseconds: 77)), revoked, "a revoked key")
            try expectEqual(
                try await store.rotate(id: "key_9", to: secret(12), graceEnd: end, at: WallTime(microseconds: 77)), nil, "an unknown key")
        },
        ContractCheck("the change counter stands still without changes") { store in
            try await store.insert(key(1))
            let before = try await store.changeCounter()
            _ = try await store.keys()
            try expectEqual(try await store.changeCounter(), before, "counter")
        },
    ]

    /// A second subject on the same data as the first sees its changes by the counter.
    package static func checkChangeCounter(_ store: any KeyStore, seenBy other: any KeyStore) async throws {
        var seen = try await other.changeCounter()
        try await store.insert(key(1))
        var now = try await other.changeCounter()
        guard now != seen else { throw ContractViolation(description: "an insertion did not move the change counter") }
        seen = now
        _ = try await store.rotate(id: "key_1", to: secret(11), graceEnd: WallTime(microseconds: 99), at: WallTime(microseconds: 70))
        now = try await other.changeCounter()
        guard now != seen else { throw ContractViolation(description: "a rotation did not move the change counter") }
        seen = now
        _ = try await store.revoke(id: "key_1", at: WallTime(microseconds: 77))
        now = try await other.changeCounter()
        guard now != seen else { throw ContractViolation(description: "a revocation did not move the change counter") }
    }

    /// A key of that number: unique, and younger than those of smaller numbers.
    package static func key(_ number: Int) -> KeyRecord {
        KeyRecord(
            id: "key_\(number)", name: "", hash: KeyHash(UInt64(number), 0x8000_0000_0000_0000, 3, .max), prefix: "mk_abcd", lastFour: "wxyz",
            tenant: "default", team: "", agent: "", user: "", rights: .inference, models: [],
            createdAt: WallTime(microseconds: 1_700_000_000_000_000 + Int64(number)), expiresAt: nil)
    }

    /// A secret of that number; those of keys have smaller ones.
    private static func secret(_ number: Int) -> KeySecret {
        KeySecret(hash: KeyHash(UInt64(number), 0x8000_0000_0000_0000, 4, .max), prefix: "mk_new\(number)", lastFour: "s\(number)")
    }

    private static func rotated(_ key: KeyRecord, to secret: KeySecret, at time: WallTime) -> KeyRecord {
        var key = key
        key.hash = secret.hash
        key.prefix = secret.prefix
        key.lastFour = secret.lastFour
        key.rotatedAt = time
        return key
    }

    private static func expectDuplicate(_ key: KeyRecord, in store: any KeyStore) async throws {
        do throws(StoreError) {
            try await store.insert(key)
        } catch {
            guard case .duplicate = error else { throw error }
            return
        }
        throw ContractViolation(description: "a duplicate was taken")
    }
}
