import Simulator
import Testing

/// What a script says wrong; what its rules do is tested over HTTP in `Tests/Clients/test_simulator.py`.
@Suite struct ScriptTests {
    private func mistakes(_ text: String) -> [String] {
        do throws(ScriptError) {
            _ = try Script(text, file: "s.yaml")
            return []
        } catch {
            return error.description.split(separator: "\n").map(String.init)
        }
    }

    @Test func `a header that would end its line is refused where it stands`() {
        let found = mistakes(
            #"""
            rules:
              - then:
                  body: {}
                  headers:
                    x-good: "fine\tand tabbed"
                    x-bad: "a\r\nset-cookie: b"
                    "x-worse\r\nhost": c
                    "x worst": d
            """#)
        #expect(found.map { String($0.prefix { $0 != " " }) } == ["s.yaml:6:", "s.yaml:7:", "s.yaml:8:"], "\(found)")
        #expect(found.first?.contains("rules[0].then.headers.x-bad: has a line break") == true)
    }

    @Test func `every mistake is told with its line and its path`() {
        let found = mistakes(
            """
            seed: lots
            rules:
              - match: { model: gpt-*, color: red }
                then: { fault: no-dune, tokens: -1 }
              - match: { calls: 5-2, every: 0, probability: 2, after: soon }
              - then:
                  text: hello
                  body: {}
                  status: 200
                  limit: {}
              - match: { model: x }
                then: { fault: slow-reader }
            """)
        #expect(
            found.map { String($0.prefix { $0 != " " }) } == [
                "s.yaml:1:", "s.yaml:3:", "s.yaml:4:", "s.yaml:4:", "s.yaml:5:", "s.yaml:5:", "s.yaml:5:", "s.yaml:5:", "s.yaml:5:", "s.yaml:8:",
                "s.yaml:10:", "s.yaml:12:",
            ], "\(found.joined(separator: "\n"))")
        #expect(found.contains { $0.contains("rules[0].match.color: is no known key") })
        #expect(found.contains { $0.contains("there is no fault 'no-dune'") })
        #expect(found.contains { $0.contains("rules[1].then: is missing") })
        #expect(found.contains { $0.contains("cannot stand beside text") })
    }

    @Test(arguments: [
        "rules: 5", "- a", "rules: [{then: {fault: [no-done, [x]]}}]", "rules:\n  - then: {tokens: 3}\n    then: {tokens: 4}", "rules: [",
        "rules: {a: &x 1, b: *y}", "rules: [{then: {text: a, tool_calls: []}}]", "rules: [{then: {raw_base64: '###'}}]",
        "rules: [{then: {status: 404}}]", "rules: [{then: {finish_reason: stop}}]", "rules: [{then: {ttft_ms: 'uniform(9,3)'}}]", "more: true",
        "rules: [{then: {limit: {}}}]", "rules: [{match: {after: 2s, until: 1s}, then: {tokens: 1}}]",
        "rules: [{match: {stream: yes please}, then: {}}]",
    ]) func `what is no script is refused`(text: String) {
        #expect(!mistakes(text).isEmpty)
    }

    @Test(arguments: ["", "rules: []", #"{"rules":[{"name":"a","match":{"model":"m"},"then":{"tokens":3}}]}"#, "seed: -4"])
    func `nothing, and JSON, are scripts too`(text: String) {
        #expect(mistakes(text).isEmpty)
    }

    @Test func `a few lines that stand for billions are refused`() {
        let bomb = (1...9).reduce("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n") { text, level in
            text + "a\(level): &a\(level) [" + Array(repeating: "*a\(level - 1)", count: 10).joined(separator: ", ") + "]\n"
        }
        #expect(mistakes(bomb).first?.contains("more than 100000 values") ?? false)
    }

    @Test(arguments: [
        ("*", "", true), ("a*c", "abbc", true), ("a*c", "abb", false), ("?", "x", true), ("?", "", false), ("**x*", "yx", true),
        ("gpt-4*", "gpt-3", false), ("a*b*c", "aXbXbXc", true), ("", "", true), ("", "a", false),
    ]) func `patterns`(pattern: String, text: String, matches: Bool) {
        #expect(glob(pattern, text) == matches)
    }
}
