import NIOCore
import NIOHTTP1
import Testing

@testable import Simulator

@Suite struct ScriptTests {
    private func mistakes(_ text: String) -> [String] {
        do throws(ScriptError) {
            _ = try Script(text, file: "s.yaml")
            return []
        } catch {
            return error.description.split(separator: "\n").map(String.init)
        }
    }

    private func call(
        _ model: String = "m", path: String = "/v1/chat/completions", key: String = "k", stream: Bool = false, headers: HTTPHeaders = [:]
    ) -> ScriptMatch.Call {
        ScriptMatch.Call(path: path, key: key, headers: headers, body: (model, stream))
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
        "rules: {a: &x 1, b: *y}",
        "rules: [{then: {text: a, tool_calls: []}}]", "rules: [{then: {raw_base64: '###'}}]", "rules: [{then: {status: 404}}]",
        "rules: [{then: {finish_reason: stop}}]", "rules: [{then: {ttft_ms: 'uniform(9,3)'}}]", "more: true",
    ]) func `what is no script is refused`(text: String) {
        #expect(!mistakes(text).isEmpty)
    }

    @Test func `JSON is read as well, and nothing is a script without rules`() throws {
        let script = try Script(#"{"rules":[{"name":"a","match":{"model":"m"},"then":{"tokens":3}}]}"#, file: "s")
        #expect(script.rule(for: call())?.name == "a")
        #expect(script.rule(for: call("other")) == nil)
        #expect(try Script("", file: "s").rule(for: call()) == nil)
    }

    @Test func `the first rule that means a call decides`() throws {
        let script = try Script(
            """
            rules:
              - { name: by-key, match: { key: "sk-1*" }, then: { tokens: 1 } }
              - { name: by-header, match: { headers: { X-Tenant: "ac*" } }, then: { tokens: 1 } }
              - { name: streams, match: { stream: true, path: "/v1/chat/*" }, then: { tokens: 1 } }
              - { name: third, match: { model: "gpt-*", calls: [3, 5-6] }, then: { tokens: 1 } }
              - { name: even, match: { model: "gpt-*", every: 2 }, then: { tokens: 1 } }
              - { name: rest, then: { tokens: 1 } }
            """, file: "s")
        #expect(script.rule(for: call(key: "sk-12"))?.name == "by-key")
        #expect(script.rule(for: call(headers: ["x-tenant": "acme"]))?.name == "by-header")
        #expect(script.rule(for: call(stream: true))?.name == "streams")
        #expect(script.rule(for: call(path: "/v1/completions", stream: true))?.name == "rest")
        // `even` counts only what the rules before it left.
        #expect((1...8).map { _ in script.rule(for: call("gpt-4o"))?.name } == ["rest", "even", "third", "rest", "third", "third", "even", "rest"])
        script.reset()
        #expect((1...3).map { _ in script.rule(for: call("gpt-4o"))?.name } == ["rest", "even", "third"])
    }

    @Test func `a probability draws the same calls for the same seed`() throws {
        func drawn(_ seed: Int) throws -> [Bool] {
            let script = try Script("{seed: \(seed), rules: [{match: {probability: 0.3}, then: {error: 500}}]}", file: "s")
            return (0..<400).map { _ in script.rule(for: call()) != nil }
        }
        let first = try drawn(1)
        #expect(try first == drawn(1))
        #expect(try first != drawn(2))
        #expect((80...160).contains(first.count { $0 }))
    }

    @Test func `a window of time opens and closes`() throws {
        let script = try Script("{rules: [{match: {after: 1h}, then: {tokens: 1}}, {name: now, match: {until: 1h}, then: {tokens: 1}}]}", file: "s")
        #expect(script.rule(for: call())?.name == "now")
    }

    @Test func `settings are those of the headers`() throws {
        let script = try Script(
            "{rules: [{then: {tokens: 7, ttft_ms: 'normal(100, 5)', no_usage: true, fault: [no-done, stall=4], error_code: x, retry_after: 2.5}}]}",
            file: "s")
        var controls = RequestControls(SimulatorOptions())
        try #require(script.rule(for: call())).apply(&controls)
        #expect(controls.tokens == 7 && controls.omitsUsage && controls.errorCode == "x" && controls.retryAfter == "2.5")
        #expect(controls.firstTokenDelay == .normal(mean: 100, deviation: 5))
        #expect(controls.faults.map(\.text) == ["no-done", "stall=4"])
    }

    @Test func `tool calls, bodies and bytes are what the script says`() throws {
        let script = try Script(
            """
            rules:
              - match: { calls: 1 }
                then: { tool_calls: [{ name: f, arguments: { city: Oslo, days: 3, "quoted": "3" } }, { name: g, arguments: "{broken" }] }
              - match: { calls: 1 }
                then: { status: 418, headers: { X-A: b }, body: { error: { message: teapot } } }
              - match: { calls: 1 }
                then: { raw: "HTTP/1.1 200 OK\\r\\n\\r\\n" }
              - then: { raw_base64: aGVsbG8= }
            """, file: "s")
        let calls = try #require(script.rule(for: call())?.fixed?.toolCalls)
        #expect(calls.map(\.arguments) == [#"{"city":"Oslo","days":3,"quoted":"3"}"#, "{broken"])
        let body = try #require(script.rule(for: call())?.fixed)
        #expect(body.status == 418 && body.headers.first?.name == "x-a" && body.body == ByteBuffer(string: #"{"error":{"message":"teapot"}}"#))
        #expect(script.rule(for: call())?.fixed?.raw == ByteBuffer(string: "HTTP/1.1 200 OK\r\n\r\n"))
        #expect(script.rule(for: call())?.fixed?.raw == ByteBuffer(string: "hello"))
    }

    @Test(arguments: [
        ("*", "", true), ("a*c", "abbc", true), ("a*c", "abb", false), ("?", "x", true), ("?", "", false), ("**x*", "yx", true),
        ("gpt-4*", "gpt-3", false), ("a*b*c", "aXbXbXc", true), ("", "", true), ("", "a", false),
    ]) func `patterns`(pattern: String, text: String, matches: Bool) {
        #expect(glob(pattern, text) == matches)
    }
}
