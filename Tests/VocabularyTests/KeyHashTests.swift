import Testing
import Vocabulary

/// What stands between a guess and a key: only whole digests are compared, so no guess can be nearer than another.
@Suite struct KeyHashTests {
    private func hash(_ bytes: [UInt8]) throws -> KeyHash { try #require(KeyHash(bytes: bytes)) }

    private func principal(_ id: String) -> Principal {
        Principal(keyID: id, keyName: id, tenant: "t", team: "", agent: "", user: "", rights: [], models: [], expiresAt: nil)
    }

    @Test func `a digest is equal to itself and to none that differs in a single bit`() throws {
        let bytes = (0..<32).map { UInt8(truncatingIfNeeded: $0 &* 37 &+ 11) }
        #expect(try hash(bytes) == hash(bytes))
        for bit in 0..<256 {
            var other = bytes
            other[bit / 8] ^= 1 << UInt8(bit % 8)
            #expect(try hash(bytes) != hash(other), "bit \(bit)")
        }
        #expect(try hash(bytes).bytes == bytes)
    }

    @Test func `keys whose digests begin alike and stand in the same place are told apart`() throws {
        var table = KeyTable()
        // The first word is what the dictionary hashes, the last what the shard is taken from.
        let alike = try (0..<100).map { number -> KeyHash in
            var bytes = [UInt8](repeating: 7, count: 32)
            bytes[12] = UInt8(100 + number)
            return try hash(bytes)
        }
        for (number, hash) in alike.enumerated() { table[hash] = principal("key_\(number)") }
        #expect(table.count == 100)
        for (number, hash) in alike.enumerated() { #expect(table[hash]?.keyID == "key_\(number)") }
        #expect(try table[hash([UInt8](repeating: 7, count: 32))] == nil)
        table[alike[5]] = nil
        #expect(table[alike[5]] == nil && table[alike[6]] != nil && table.count == 99)
    }
}
