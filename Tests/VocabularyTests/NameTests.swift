import MartletTestKit
import Testing
import Vocabulary

@Suite struct GlobTests {
    @Test(arguments: [
        ("gpt-4o", "gpt-4o", true), ("gpt-4o", "gpt-4o-mini", false), ("gpt-*", "gpt-", true), ("gpt-*", "gpt", false), ("*", "", true),
        ("*", "anything", true), ("", "", true), ("", "a", false), ("?", "a", true), ("?", "", false), ("a?c", "abc", true),
        ("*mini", "gpt-4o-mini", true), ("*mini", "mini-x", false), ("a*b*c", "aXbYbZc", true), ("a*b*c", "aXcYb", false), ("**", "x", true),
        ("a.c", "abc", false), ("[ab]", "a", false), ("[ab]", "[ab]", true), ("é", "é", true), ("*é", "café", true), ("A*", "abc", false),
    ])
    func `a pattern fits the whole text or not at all`(pattern: String, text: String, fits: Bool) {
        #expect(Glob(pattern).matches(text) == fits)
    }

    @Test(arguments: [
        ("*", "a*b", true), ("gpt-*", "gpt-*", true), ("gpt-*", "gpt-4o", true), ("gpt-*", "o3", false), ("gpt-*", "gpt-4*", false),
        ("gpt-?", "gpt-4", true), ("gpt-4", "gpt-?", false), ("", "", true), ("a", "*", false),
    ])
    func `a pattern covers what is surely within it`(pattern: String, other: String, covers: Bool) {
        #expect(Glob(pattern).covers(Glob(other)) == covers)
    }

    /// The definition of a match, without any cleverness.
    private func reference(_ pattern: ArraySlice<UInt8>, _ text: ArraySlice<UInt8>) -> Bool {
        guard let first = pattern.first else { return text.isEmpty }
        if first == UInt8(ascii: "*") { return reference(pattern.dropFirst(), text) || (!text.isEmpty && reference(pattern, text.dropFirst())) }
        guard let byte = text.first, first == UInt8(ascii: "?") || first == byte else { return false }
        return reference(pattern.dropFirst(), text.dropFirst())
    }

    @Test func `it agrees with the definition on random patterns`() {
        var random = SplitMix(seed: 5)
        for _ in 0..<20_000 {
            func word(_ letters: String) -> String {
                String((0..<Int.random(in: 0...8, using: &random)).map { _ in letters.randomElement(using: &random) ?? "a" })
            }
            let pattern = word("ab*?")
            let text = word("ab")
            if Glob(pattern).matches(text) != reference(Array(pattern.utf8)[...], Array(text.utf8)[...]) { Issue.record("\(pattern) \(text)") }
        }
    }

    @Test func `a hostile pattern is done in bounded time`() {
        // Naive backtracking would need 2^40 steps here.
        #expect(!Glob(String(repeating: "*a", count: 40) + "b").matches(String(repeating: "a", count: 2_000)))
    }
}

@Suite struct RightsTests {
    @Test func `names and rights are one to one`() {
        for raw in UInt8(0)..<16 {
            let rights = Rights(rawValue: raw)
            #expect(Rights(names: rights.names) == rights)
        }
        #expect(Rights(names: ["admin"]) == .administrator)
        #expect(Rights.administrator.names == ["inference", "usage", "keys", "metrics"])
        #expect(Rights(names: ["keys", "usage"])?.names == ["usage", "keys"])
        #expect(Rights(names: ["Inference"]) == nil && Rights(names: ["inference", ""]) == nil)
        #expect(Rights(names: [])?.isEmpty == true)
    }
}

@Suite struct KeyTableTests {
    private func principal(_ id: String, models: [String] = []) -> Principal {
        Principal(keyID: id, keyName: "", tenant: "", team: "", agent: "", user: "", rights: [], models: models.map { Glob($0) }, expiresAt: nil)
    }

    @Test func `it does what a dictionary does, and a copy stays as it was`() {
        var random = SplitMix(seed: 6)
        var table = KeyTable()
        var reference: [KeyHash: String] = [:]
        let hashes = (0..<600).map { _ in KeyHash(random.next(), random.next(), random.next(), random.next()) }
        for step in 0..<3_000 {
            let hash = hashes[Int.random(in: 0..<600, using: &random)]
            if random.chance(oneIn: 3) {
                table[hash] = nil
                reference[hash] = nil
            } else {
                table[hash] = principal("k\(step)")
                reference[hash] = "k\(step)"
            }
        }
        #expect(table.count == reference.count)
        for hash in hashes { #expect(table[hash]?.keyID == reference[hash]) }
        let before = table
        let count = before.count
        for hash in hashes { table[hash] = nil }
        #expect(table.count == 0 && before.count == count)
    }

    @Test func `a hash differs when any of its bytes does`() throws {
        let bytes = (0..<32).map { UInt8($0) }
        let hash = try #require(KeyHash(bytes: bytes))
        #expect(hash.bytes == bytes)
        for place in 0..<32 {
            var other = bytes
            other[place] ^= 0x10
            #expect(KeyHash(bytes: other) != hash)
        }
        #expect(KeyHash(bytes: bytes.dropLast()) == nil && KeyHash(bytes: bytes + [0]) == nil)
    }

    @Test func `a model is found by its bytes, its whole name, and nothing else`() {
        let models = ["gpt-4o", "gpt-4o-mini", "", "größe"].map {
            Model(name: $0, nameJSON: [], deployments: [], price: Price(input: 0, output: 0), createdAt: WallTime(microseconds: 0))
        }
        let snapshot = Snapshot(generation: 1, keys: KeyTable(), models: models, providers: [])
        for model in models { #expect(snapshot.model(named: model.name) === model) }
        #expect(snapshot.model(named: "gpt-4") == nil && snapshot.model(named: "GPT-4o") == nil)
        #expect(principal("k").mayUse(model: "x"))
        #expect(principal("k", models: ["a*", "b"]).mayUse(model: "abc") && !principal("k", models: ["a*", "b"]).mayUse(model: "bc"))
    }
}

@Suite struct JSONStringTests {
    @Test func `a record id is fixed in its first part`() {
        #expect(RecordID(boot: 0xabc, loop: 3, sequence: 255).text == "0000000000000abc-3-ff")
        #expect(RecordID(boot: .max, loop: .max, sequence: .max).text == "ffffffffffffffff-ffff-ffffffffffffffff")
    }

    @Test func `no text can leave its string or its line`() {
        for scalar in (UInt32(0)...0x3000).compactMap(Unicode.Scalar.init) {
            var output: [UInt8] = []
            appendJSONString("a\(Character(scalar))b", to: &output)
            let text = String(decoding: output, as: UTF8.self)
            #expect(
                text.unicodeScalars.allSatisfy { $0.value >= 0x20 && !(0x7f...0x9f).contains($0.value) && $0.value != 0x2028 && $0.value != 0x2029 })
            #expect(output.starts(with: "\"a".utf8) && output.reversed().starts(with: "\"b".utf8))
        }
    }
}
