import Contracts
import Identity
import MartletTestKit
import Testing
import Vocabulary

@Suite struct KeyFormatTests {
    /// CRC-32 as zlib has it, bit by bit, from the polynomial in its normal form: a second way to the same number.
    private func crc32(_ text: some Sequence<UInt8>) -> UInt32 {
        func reversed(_ value: UInt32, _ width: UInt32) -> UInt32 {
            (0..<width).reduce(0) { $0 | (value >> $1 & 1) << (width - 1 - $1) }
        }
        var rest: UInt32 = 0xffff_ffff
        for byte in text {
            rest ^= reversed(UInt32(byte), 8) << 24
            for _ in 0..<8 { rest = rest >> 31 == 1 ? rest << 1 ^ 0x04c1_1db7 : rest << 1 }
        }
        return reversed(~rest, 32)
    }

    private let alphabet = Array("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz".utf8)

    private func isWellFormed(_ bytes: [UInt8]) -> Bool { bytes.withUnsafeBufferPointer { KeyFormat.isWellFormed($0) } }

    @Test func `the last six characters are the CRC-32 of the others in base 62`() {
        // The check value that every CRC-32 is known by.
        #expect(crc32("123456789".utf8) == 0xcbf4_3926)
        var random = SplitMix(seed: 7)
        for _ in 0..<200 {
            let key = Array(KeyFormat.make(using: &random).utf8)
            #expect(key.count == KeyFormat.length && String(decoding: key.prefix(3), as: UTF8.self) == KeyFormat.prefix)
            let value = key.suffix(6).reduce(UInt64(0)) { $0 * 62 + UInt64(alphabet.firstIndex(of: $1) ?? 99) }
            #expect(value == UInt64(crc32(key.dropLast(6))))
            #expect(isWellFormed(key))
        }
    }

    @Test func `every change of one character is noticed`() {
        var random = SplitMix(seed: 8)
        for _ in 0..<20 {
            let key = Array(KeyFormat.make(using: &random).utf8)
            for place in key.indices {
                for letter in alphabet + [UInt8(ascii: "_"), UInt8(ascii: " "), 0, 0xff] where letter != key[place] {
                    var changed = key
                    changed[place] = letter
                    if isWellFormed(changed) { Issue.record("\(String(decoding: changed, as: UTF8.self)) passes") }
                }
            }
            for place in 0..<key.count - 1 where key[place] != key[place + 1] {
                var swapped = key
                swapped.swapAt(place, place + 1)
                #expect(!isWellFormed(swapped))
            }
            #expect(!isWellFormed(Array(key.dropLast())) && !isWellFormed(key + [UInt8(ascii: "0")]) && !isWellFormed([]))
        }
    }

    @Test func `keys and their ids do not repeat`() {
        #expect(Set((0..<2_000).map { _ in KeyFormat.make() }).count == 2_000)
        let ids = (0..<2_000).map { _ in KeyFormat.makeID() }
        #expect(Set(ids).count == 2_000)
        #expect(ids.allSatisfy { $0.hasPrefix("key_") && $0.utf8.count == 15 })
    }
}

@Suite struct KeyIdentifierTests {
    private let expiry = WallTime(microseconds: 1_000_000)

    private func snapshot() -> Snapshot {
        var keys = KeyTable()
        func add(_ credential: String, _ expiresAt: WallTime?) {
            keys[KeyIdentifier.hash(of: credential)] = Principal(
                keyID: "id of " + credential, keyName: "", tenant: "", team: "", agent: "", user: "", rights: .inference, models: [],
                expiresAt: expiresAt)
        }
        add("forever", nil)
        add("until", expiry)
        add("größe", nil)
        return Snapshot(generation: 1, keys: keys, models: [], providers: [])
    }

    private func name(_ credential: String, at time: Int64) -> String {
        switch KeyIdentifier().identify(credential, in: snapshot(), at: WallTime(microseconds: time)) {
        case .success(let principal): principal.keyID
        case .failure(let error): error.code
        }
    }

    @Test func `a key is known by all of its bytes`() {
        #expect(name("forever", at: 0) == "id of forever")
        #expect(name("größe", at: 0) == "id of größe")
        for other in ["", "foreve", "forever ", "Forever", " forever", "forever\0"] { #expect(name(other, at: 0) == "invalid_api_key") }
    }

    @Test func `a key ends at the very moment of its expiry`() {
        #expect(name("until", at: 999_999) == "id of until")
        #expect(name("until", at: 1_000_000) == "expired_api_key")
        #expect(name("until", at: .max) == "expired_api_key")
        #expect(name("forever", at: .max) == "id of forever")
    }

    @Test func `the digest is SHA-256`() {
        // FIPS 180-2, appendix B.1.
        let bytes = KeyIdentifier.hash(of: "abc").bytes
        let text = bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        #expect(text == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    }
}
