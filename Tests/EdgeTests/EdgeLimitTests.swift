import Contracts
import Edge
import NIOCore
import Testing
import Vocabulary

@Suite struct EdgeLimitTests {
    /// Far longer than the pauses of a trickle, even where the machine is busy: else it is the pause that ends a body, and not its rate.
    private let window = TimeAmount.seconds(2)

    private func opening(_ length: Int) -> String {
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer good\r\ncontent-length: \(length)\r\n\r\n"
    }

    @Test func `a body that comes too slowly is answered and ends, and counted`() async throws {
        try await Bench.run(EdgeOptions(bodyTimeout: window, bodyRateMin: 100_000)) { bench in
            let client = try await bench.client()
            try await client.send(opening(100_000))
            let trickle = Task {
                for _ in 0..<400 {
                    try await client.send("x")
                    try await bench.loop.scheduleTask(in: .milliseconds(20)) {}.futureResult.get()
                }
            }
            #expect(try await client.receiveToEnd().statuses == [408])
            trickle.cancel()
            _ = await trickle.result
            #expect(try await bench.records(1).map(\.errorCode) == ["request_timeout"])
            #expect(bench.counters.ended(.bodyRate) == 1)
        }
    }

    @Test func `without a least rate a trickle will do`() async throws {
        try await Bench.run(EdgeOptions(bodyTimeout: window, bodyRateMin: 0), script: { _, attempt in attempt.answer("ok") }) { bench in
            let client = try await bench.client()
            let body = #"{"model":"m","messages":[]}"#
            try await client.send(opening(body.utf8.count))
            for character in body {
                try await client.send(String(character))
                try await bench.loop.scheduleTask(in: .milliseconds(100)) {}.futureResult.get()
            }
            #expect(try await client.receive(until: "}}").statuses == [200])
        }
    }

    @Test func `a connection without a place hears why`() async throws {
        let gate = ConnectionGate(connectionsMax: 1)
        try await Bench.run(gate: gate, script: { _, attempt in attempt.answer("ok") }) { bench in
            let first = try await bench.client()
            try await first.send(chat())
            try await first.receive(until: "}}")
            let answer = try await bench.client().receiveToEnd()
            #expect(answer.statuses == [503] && answer.contains("too_many_connections") && answer.contains("retry-after: 1\r\n"))
            #expect(bench.counters.refused(.connections) == 1)
            try await first.leave()
            try await bench.until { gate.openCount == 0 }
            let second = try await bench.client()
            try await second.send(chat())
            #expect(try await second.receive(until: "}}").statuses == [200])
        }
        #expect(gate.openCount == 0)
    }

    @Test(arguments: [true, false]) func `a plain answer is passed on as it comes where there is no memory to keep it`(hasRoom: Bool) async throws {
        try await Bench.run(answerBudget: hasRoom ? 1 << 20 : 0) { bench in
            let client = try await bench.client()
            try await client.send(chat())
            let text = String(repeating: "y", count: 150_000)
            try await bench.attempt(0) { attempt in
                attempt.head()
                attempt.bytes(#"{"choices":[{"message":{"content":""#)
                for start in 0..<3 { attempt.bytes(String(text.dropFirst(start * 50_000).prefix(50_000))) }
                attempt.bytes(#""}}],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#)
                attempt.end()
            }
            let answer = try await client.receive(until: "completion_tokens\":2}}")
            #expect(answer.statuses == [200])
            #expect(answer.contains("x-martlet-cost-usd: ") == hasRoom && answer.contains("transfer-encoding: chunked") == !hasRoom)
            #expect(answer.utf8.count { $0 == UInt8(ascii: "y") } >= 150_000)
            // What was held is given back: the next answer finds the same room.
            try await client.send(chat())
            try await bench.attempt(1) { attempt in
                attempt.head()
                attempt.bytes(#"{"choices":[{"message":{"content":""# + text)
                attempt.bytes(#""}}],"usage":{"prompt_tokens":3,"completion_tokens":4}}"#)
                attempt.end()
            }
            let both = try await client.receive(until: "completion_tokens\":4}}")
            #expect(both.components(of: "x-martlet-cost-usd: ") == (hasRoom ? 2 : 0))
        }
    }

    @Test func `the client of a trusted balancer is who it says, and its requests follow in the same bytes`() async throws {
        let proxies = ProxyRules(trusted: [CIDR("127.0.0.1")].compactMap { $0 })
        try await Bench.run(EdgeOptions(proxies: proxies), readsProxyProtocol: true, script: { _, attempt in attempt.answer("ok") }) { bench in
            let client = try await bench.client()
            try await client.send("PROXY TCP4 203.0.113.7 10.0.0.1 51000 443\r\n" + chat())
            #expect(try await client.receive(until: "}}").statuses == [200])
            #expect(try await bench.records(1).map(\.clientAddress) == ["203.0.113.7"])
            let liar = try await bench.client()
            try await liar.send("PROXY TCP4 300.0.113.7 10.0.0.1 51000 443\r\n" + chat())
            #expect(try await liar.receiveToEnd().isEmpty)
        }
        try await Bench.run(readsProxyProtocol: true) { bench in
            let stranger = try await bench.client()
            #expect(try await stranger.receiveToEnd().isEmpty && stranger.isEnded)
            #expect(bench.counters.refused(.proxyProtocol) == 1)
        }
    }
}

extension String {
    fileprivate func components(of text: String) -> Int { ranges(of: text).count }
}
