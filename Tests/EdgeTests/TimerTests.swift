import Contracts
import Edge
import NIOCore
import Testing
import Vocabulary

@Suite struct TimerTests {
    private let short = TimeAmount.milliseconds(250)

    @Test func `a provider that never answers is a timeout`() async throws {
        try await Bench.run(EdgeOptions(totalTimeout: short)) { bench in
            let client = try await bench.client()
            try await client.send(chat())
            #expect(try await client.receive(until: "}}").statuses == [504])
            try await bench.cancelled(0)
            #expect(try await bench.records(1).map(\.outcome) == [.timeout])
        }
    }

    @Test(arguments: [true, false]) func `the provider's own limits count before and between bytes`(hasAnswered: Bool) async throws {
        let timeouts = ProviderTimeouts(
            connectMilliseconds: 9_000, firstByteMilliseconds: hasAnswered ? 9_000 : 200, idleMilliseconds: hasAnswered ? 200 : 9_000)
        try await Bench.run(timeouts: timeouts) { bench in
            let client = try await bench.client()
            try await client.send(chat("both", stream: hasAnswered))
            if hasAnswered {
                try await bench.attempt(0) {
                    $0.head(type: "text/event-stream"); $0.stream("x")
                }
            }
            try await bench.cancelled(0)
            if hasAnswered {
                #expect(try await client.receive(until: "0\r\n\r\n").contains("upstream_timeout"))
            } else {
                try await bench.attempt(1) { $0.answer("late") }
                try await client.receive(until: "late")
                #expect(try await bench.records(1).map(\.fallbackReason) == ["timeout"])
            }
        }
    }

    @Test func `a stream that lasts too long is broken off`() async throws {
        try await Bench.run(EdgeOptions(totalTimeout: short)) { bench in
            let client = try await bench.client()
            try await client.send(chat(stream: true))
            try await bench.attempt(0) {
                $0.head(type: "text/event-stream"); $0.stream("x")
            }
            let answer = try await client.receive(until: "0\r\n\r\n")
            #expect(answer.contains("upstream_timeout") && !answer.contains("[DONE]"))
            try await bench.cancelled(0)
        }
    }

    @Test func `a head that is not completed is answered and ends`() async throws {
        try await Bench.run(EdgeOptions(headTimeout: short)) { bench in
            let client = try await bench.client()
            try await client.send("GET /x HTTP/1.1\r\nhost:")
            let answer = try await client.receiveToEnd()
            #expect(answer.statuses == [408] && answer.contains("x-should-retry: false"))
        }
    }

    @Test(arguments: [20, 200_000]) func `a body that does not come is answered and ends`(length: Int) async throws {
        try await Bench.run(EdgeOptions(bodyTimeout: short)) { bench in
            let client = try await bench.client()
            try await client.send("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer good\r\ncontent-length: \(length)\r\n\r\n{")
            #expect(try await client.receiveToEnd().statuses == [408])
            #expect(try await bench.records(1).map(\.errorCode) == ["request_timeout"])
        }
    }

    @Test func `a call whose body takes all of its time is answered`() async throws {
        try await Bench.run(EdgeOptions(totalTimeout: short)) { bench in
            let client = try await bench.client()
            try await client.send(String(chat().dropLast(3)))
            #expect(try await client.receive(until: "}}").statuses == [408])
        }
    }

    @Test func `an idle connection is closed`() async throws {
        try await Bench.run(EdgeOptions(keepAlive: short)) { bench in
            let client = try await bench.client()
            #expect(try await client.receiveToEnd().isEmpty && client.isEnded)
            try await bench.until { try await bench.connections() == 0 }
        }
    }

    // MARK: The memory budget

    /// The head of a chat request that says that it is this long, and a first byte.
    private func opening(_ length: Int) -> String {
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer good\r\ncontent-length: \(length)\r\n\r\n{"
    }

    @Test func `a body waits for room and goes on when there is some`() async throws {
        try await Bench.run(budget: 2_000, script: { _, attempt in attempt.answer("ok") }) { bench in
            let first = try await bench.client()
            try await first.send(opening(1_990))
            try await bench.connected(1)
            let second = try await bench.client()
            try await second.send(chat())
            try await bench.connected(2)
            #expect(try await bench.attemptCount() == 0)
            try await first.leave()
            #expect(try await second.receive(until: "}}").statuses == [200])
        }
    }

    @Test func `a body that waits too long for room is refused, and may be tried again`() async throws {
        try await Bench.run(EdgeOptions(budgetWait: short), budget: 2_000, script: { _, attempt in attempt.answer("ok") }) { bench in
            let first = try await bench.client()
            try await first.send(opening(1_990))
            try await bench.connected(1)
            let second = try await bench.client()
            try await second.send(chat())
            let answer = try await second.receive(until: "}}")
            #expect(answer.statuses == [503] && answer.contains("overloaded") && answer.contains("retry-after: 1\r\n"))
            try await first.leave()
            _ = try await bench.records(2)
            try await second.send(chat())
            #expect(try await second.receive { $0.statuses.count == 2 }.statuses == [503, 200])
        }
    }

    @Test func `the pieces of a body keep their order while they wait for room`() async throws {
        try await Bench.run(EdgeOptions(controlBodyMaxBytes: 1 << 20), budget: 300_000, script: { _, attempt in attempt.answer("ok") }) { bench in
            let second = try await bench.client()
            // A large body before it, so that the next one is read in large pieces, too.
            let warmUp = String(repeating: "x", count: 250_000)
            try await second.send("POST /x HTTP/1.1\r\nhost: x\r\ncontent-length: \(warmUp.utf8.count)\r\n\r\n\(warmUp)")
            let warm = try await second.receive(until: "control POST")
            #expect(warm.statuses == [200], "\(warm.prefix(400))")
            let large = try await bench.client()
            try await large.send(opening(230_000))
            let small = try await bench.client()
            try await small.send(opening(69_990))
            try await bench.connected(3)
            for _ in 0..<50 { try await bench.onLoop { _ in } }
            let pieces = (0..<40).map { number in String(repeating: Character(Unicode.Scalar(UInt8(65 + number % 26))), count: 5_000) }
            let body = [#"{"model":"m","messages":[{"content":""#] + pieces + [#""}]}"#]
            let chunks = body.map { String($0.utf8.count, radix: 16) + "\r\n\($0)\r\n" }.joined() + "0\r\n\r\n"
            try await second.send(
                "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer good\r\ntransfer-encoding: chunked\r\n\r\n" + chunks)
            for _ in 0..<50 { try await bench.onLoop { _ in } }
            // Room for some of the pieces that are waiting by now, and at the next ticks of the lanes' timer for all of them.
            try await small.leave()
            try await bench.loop.scheduleTask(in: .milliseconds(350)) {}.futureResult.get()
            try await large.leave()
            let answer = try await second.receive { $0.statuses.count == 2 }
            #expect(answer.statuses == [200, 200], "\(answer.suffix(200))")
            let count = try await bench.attemptCount()
            guard count == 1 else { return }
            #expect(try await bench.attempt(0) { $0.body } == body.joined().replacing("\"m\"", with: "\"m@one\""))
        }
    }

    // MARK: Drain

    @Test func `a drain closes what is idle and ends what runs`() async throws {
        try await Bench.run { bench in
            let idle = try await bench.client()
            try await idle.send(get("/x"))
            try await idle.receive(until: "/x")
            let streaming = try await bench.client()
            try await streaming.send(chat(stream: true))
            try await bench.attempt(0) {
                $0.head(type: "text/event-stream"); $0.stream("x")
            }
            try await streaming.receive(until: "x\"")
            let waiting = try await bench.client()
            try await waiting.send(chat())
            try await bench.attempt(1)
            let reading = try await bench.client()
            try await reading.send(String(chat().dropLast(3)))
            try await bench.connected(4)
            bench.drainState.begin()
            try await bench.onLoop { $0.closeIdle() }
            #expect(try await idle.receiveToEnd().statuses == [200])
            try await bench.onLoop { $0.endRunningCalls() }
            let broken = try await streaming.receiveToEnd()
            #expect(broken.contains("\"draining\"") && !broken.contains("[DONE]"))
            #expect(try await waiting.receiveToEnd().statuses == [503])
            #expect(try await reading.receive(until: "draining").statuses == [503])
            #expect(Set(try await bench.records(3).map(\.outcome)) == [.drained])
        }
    }

    @Test func `what is answered during a drain is told to leave`() async throws {
        try await Bench.run(script: { _, attempt in attempt.answer("ok") }) { bench in
            bench.drainState.begin()
            let client = try await bench.client()
            try await client.send(chat())
            let answer = try await client.receiveToEnd()
            #expect(answer.statuses == [200] && answer.contains("connection: close\r\n"))
        }
    }
}
