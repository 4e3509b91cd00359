import Settings
import Testing

@Suite struct `A file with random damage` {
    /// A small generator of our own (SplitMix64), so that a failing seed is a reproduction.
    private struct Generator: RandomNumberGenerator {
        var state: UInt64

        mutating func next() -> UInt64 {
            state &+= 0x9e37_79b9_7f4a_7c15
            var mixed = state
            mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
            mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
            return mixed ^ (mixed >> 31)
        }
    }

    private static let seed = """
        x-base: &base { kind: openai, timeouts: { connect: 3s, first_byte: 500ms } }
        server: { host: 127.0.0.1, port: 8000, max_body: 10MiB, private: { port: 9000 }, drain: { delay: 1s } }
        data: ./data
        log: { level: info, calls: failures }
        journal: { on_failure: refuse, sync_interval: 100ms, segment_size: 1MiB }
        providers:
          - { <<: *base, id: sim, base_url: "http://127.0.0.1:9900/v1", api_key: "env://SIM_KEY", headers: { X-A: "b" } }
          - id: two
            base_url: https://two.example/v1
            api_key: literal
        models:
          - name: gpt-4o-mini
            deployments: [{ provider: sim, model: gpt-4o-mini }, { provider: two }]
            price: { input: 0.15, output: 0.60, cached_input: 0.075 }
        pricing: { unknown: { input: 10, output: 30 } }

        """

    private static let fragments = [
        "\n", "  ", "\t", ":", ": ", "- ", "{", "}", "[", "]", "&a ", "*a", "<<: ", "!!int ", "!x ", "\"", "'", "|", ">", "#", "%", "@", "`", "~",
        "null", "0", "-1", "1e999", "99999999999999999999", "\u{0}", "\u{7f}", "\u{85}", "\u{2028}", "\u{feff}", "é", "🦉", "env://", "file://",
        "---\n", "...\n", "? ", "\\x", "\\ud800", ".inf",
    ]

    @Test func `is either read or refused with places inside it, two thousand times`() {
        var accepted = 0
        for seed in 0..<2000 {
            var generator = Generator(state: UInt64(seed))
            var text = Array(Self.seed.utf8)
            for _ in 0..<Int.random(in: 1...4, using: &generator) {
                mutate(&text, &generator)
            }
            let yaml = String(decoding: text, as: UTF8.self)
            let lineCount = yaml.unicodeScalars.count { ["\n", "\r", "\u{85}", "\u{2028}", "\u{2029}"].contains($0) } + 1
            let found = problems(yaml, environment: ["SIM_KEY": "k"], overrides: seed % 2 == 0 ? [] : [("server.port", "1")])
            if found.isEmpty { accepted += 1 }
            for problem in found where problem.file != nil {
                #expect((1...lineCount).contains(problem.line ?? 1), "seed \(seed): \(problem)")
                #expect(!problem.reason.isEmpty, "seed \(seed)")
            }
        }
        // Much damage is to comments, names and numbers; if nothing or everything passed, the test would show nothing.
        #expect((20...1500).contains(accepted))
    }

    private func mutate(_ text: inout [UInt8], _ generator: inout Generator) {
        let at = Int.random(in: 0..<text.count, using: &generator)
        let length = min(Int.random(in: 1...12, using: &generator), text.count - at)
        switch Int.random(in: 0..<5, using: &generator) {
        case 0:
            text.removeSubrange(at..<at + length)
        case 1:
            text.insert(contentsOf: (Self.fragments.randomElement(using: &generator) ?? "").utf8, at: at)
        case 2:
            text[at] = UInt8.random(in: 0...255, using: &generator)
        case 3:
            let from = Int.random(in: 0...(text.count - length), using: &generator)
            text.insert(contentsOf: text[from..<from + length], at: at)
        default:
            text.replaceSubrange(at..<at + length, with: (Self.fragments.randomElement(using: &generator) ?? "").utf8)
        }
    }
}
