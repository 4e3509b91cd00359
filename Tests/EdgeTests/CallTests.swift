import Contracts
import Edge
import Testing
import Vocabulary

@Suite struct CallTests {
    @Test func `a plain answer carries what the call was`() async throws {
        try await Bench.run(script: { _, attempt in attempt.answer("hello") }) { bench in
            let client = try await bench.client()
            try await client.send(chat(headers: "x-request-id: mine\r\nx-martlet-session: s\r\n"))
            let answer = try await client.receive(until: "}}")
            for line in [
                "HTTP/1.1 200 OK\r\n", "x-request-id: mine\r\n", "x-martlet-provider: one\r\n", "x-martlet-model: m@one\r\n",
                "x-martlet-cache: off\r\n",
                "x-martlet-attempts: 1\r\n", "x-martlet-cost-usd: 0.000007\r\n", "x-martlet-latency-ms: ", "x-martlet-overhead-ms: ", "\"hello\"",
            ] { #expect(answer.contains(line), "\(line) is not in \(answer)") }
            let record = try #require(try await bench.records(1).first)
            #expect(record.outcome == .success && record.status == 200 && record.requestID == "mine" && record.session == "s" && record.attempts == 1)
            #expect(record.tokens == TokenUsage(input: 3, output: 2) && record.cost == Money(nanodollars: 7_000) && record.keyID == "key_good")
            #expect(try await bench.attempt(0) { $0.body }.contains("\"model\":\"m@one\""))
        }
    }

    @Test func `a stream is passed on event by event, and ends when its record is written`() async throws {
        try await Bench.run { bench in
            let client = try await bench.client()
            try await client.send(chat(stream: true))
            try await bench.attempt(0) {
                $0.head(type: "text/event-stream"); $0.stream("one")
            }
            let first = try await client.receive(until: "one")
            #expect(
                first.contains("transfer-encoding: chunked\r\n") && first.contains("content-type: text/event-stream\r\n")
                    && !first.contains("cost-usd"))
            #expect(bench.books.now.records.isEmpty)
            try await bench.attempt(0) {
                $0.stream("two"); $0.streamUsage(); $0.streamDone()
            }
            let whole = try await client.receive(until: "0\r\n\r\n")
            #expect(whole.contains("two") && whole.contains("data: [DONE]\n\n") && !whole.contains("usage"))
            let record = try #require(try await bench.records(1).first)
            #expect(record.outcome == .success && record.isStream && record.tokens == TokenUsage(input: 3, output: 2))
            #expect(try await bench.attempt(0) { $0.isQuiet })
            #expect(try await bench.attempt(0) { $0.body }.contains(#""stream_options":{"include_usage":true}"#))
        }
    }

    @Test func `the cost of a stream comes as its last event for who asks`() async throws {
        try await Bench.run(script: { _, attempt in
            attempt.head(type: "text/event-stream")
            attempt.stream("x")
            attempt.streamUsage()
            attempt.streamDone()
        }) { bench in
            let client = try await bench.client()
            try await client.send(chat(stream: true, headers: "x-martlet-stream-cost: true\r\n"))
            let answer = try await client.receive(until: "0\r\n\r\n")
            let cost = try #require(answer.firstRange(of: #""martlet":{"cost_usd":0.000007,"#))
            let done = try #require(answer.firstRange(of: "[DONE]"))
            #expect(cost.upperBound < done.lowerBound)
        }
    }

    @Test func `another deployment answers when the first one does not`() async throws {
        try await Bench.run(script: { number, attempt in
            if number == 0 {
                attempt.head(503)
                attempt.bytes(#"{"error":{}}"#)
                attempt.end()
            } else {
                attempt.answer("second")
            }
        }) { bench in
            let client = try await bench.client()
            try await client.send(chat("both"))
            let answer = try await client.receive(until: "second")
            #expect(answer.contains("x-martlet-provider: two\r\n") && answer.contains("x-martlet-attempts: 2\r\n"))
            let record = try #require(try await bench.records(1).first)
            #expect(record.fallbackReason == "status_503" && record.attempts == 2 && record.deployment == "two/m@two")
            #expect(try await bench.attempt(0) { $0.isCancelled })
        }
    }

    @Test func `a stale connection is tried again on a fresh one`() async throws {
        try await Bench.run(script: { number, attempt in number == 0 ? attempt.fail(.staleConnection) : attempt.answer("again") }) { bench in
            let client = try await bench.client()
            try await client.send(chat())
            try await client.receive(until: "again")
            #expect(try await bench.attempt(0) { $0.order.needsFreshConnection } == false)
            #expect(try await bench.attempt(1) { $0.order.needsFreshConnection })
        }
    }

    @Test(arguments: [(UpstreamFault.unreachable, 502), (.cut, 502), (.invalid, 502), (.timeout, 504), (.queueFull, 503)])
    func `a fault of the provider's becomes an error of ours`(fault: UpstreamFault, status: Int) async throws {
        try await Bench.run(script: { _, attempt in attempt.fail(fault) }) { bench in
            let client = try await bench.client()
            try await client.send(chat() + chat())
            let answer = try await client.receive { $0.statuses.count == 2 }
            #expect(answer.statuses == [status, status])
            #expect(try await bench.records(2).allSatisfy { $0.status == status && $0.outcome != .success })
        }
    }

    @Test func `a stream that dies says so in the stream`() async throws {
        try await Bench.run(script: { _, attempt in
            attempt.head(type: "text/event-stream")
            attempt.stream("x")
            attempt.fail(.cut)
        }) { bench in
            let client = try await bench.client()
            try await client.send(chat(stream: true))
            let answer = try await client.receive(until: "0\r\n\r\n")
            #expect(answer.contains("stream_interrupted") && !answer.contains("[DONE]"))
            #expect(try await bench.records(1).map(\.outcome) == [.streamCut])
        }
    }

    @Test func `without its record no answer becomes complete`() async throws {
        try await Bench.run { bench in
            bench.books.change { $0.journalFails = true }
            let client = try await bench.client()
            try await client.send(chat())
            try await bench.attempt(0) { $0.answer("secret") }
            let plain = try await client.receive(until: "journal_unavailable")
            #expect(plain.statuses == [503] && !plain.contains("secret"))
            try await client.send(chat(stream: true))
            try await bench.attempt(1) {
                $0.head(type: "text/event-stream"); $0.stream("x"); $0.streamDone()
            }
            let both = try await client.receive(until: "0\r\n\r\n")
            #expect(both.statuses == [503, 200] && !both.contains("[DONE]"))
        }
    }

    @Test func `an answer larger than what is kept goes out as it comes`() async throws {
        try await Bench.run(EdgeOptions(plainAnswerMaxBytes: 1_000)) { bench in
            let client = try await bench.client()
            try await client.send(chat())
            let text = String(repeating: "y", count: 5_000)
            try await bench.attempt(0) {
                $0.head(); $0.bytes(#"{"choices":[{"message":{"content":""# + text)
            }
            try await client.receive(until: "transfer-encoding: chunked")
            try await bench.attempt(0) {
                $0.bytes(#""}}],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#); $0.end()
            }
            let answer = try await client.receive(until: "0\r\n\r\n")
            #expect(answer.contains("completion_tokens"))
            #expect(try await bench.records(1).map(\.tokens) == [TokenUsage(input: 3, output: 2)])
        }
    }
}
