import Contracts
import Edge
import NIOCore
import Testing
import Vocabulary

@Suite struct LaneTests {
    @Test func `answers of both planes come in the order of their requests`() async throws {
        try await Bench.run { bench in
            let client = try await bench.client()
            try await client.send(
                chat(text: "a") + get("/first") + chat(text: "b") + get("/wait") + get("/v1/models") + get("/v1/nothing") + get("/chunked")
                    + chat("none")
                    + get("/last"))
            try await bench.attempt(0) { $0.answer("answer-a") }
            try await bench.attempt(1)
            #expect(try await bench.attemptCount() == 2)
            try await bench.attempt(1) { $0.answer("answer-b") }
            try await bench.waitingRequest()
            #expect(!client.received.contains("\"list\""))
            bench.plane.open()
            let answer = try await client.receive(until: "control GET /last")
            var at = answer.startIndex
            for text in [
                "answer-a", "control GET /first", "answer-b", "control GET /wait", "\"object\":\"list\"", "unknown_url", "control GET /chunked",
                "model_not_found",
                "control GET /last",
            ] {
                let found = try #require(answer[at...].firstRange(of: text), "\(text) is not in its place")
                at = found.upperBound
            }
            #expect(answer.statuses == [200, 200, 200, 200, 200, 404, 200, 404, 200])
        }
    }

    @Test func `a request cut at every byte is the same request`() async throws {
        try await Bench.run(script: { _, attempt in attempt.answer("ok") }) { bench in
            let request = chat() + get("/x")
            let client = try await bench.client()
            for byte in request { try await client.send(String(byte)) }
            #expect(try await client.receive(until: "control GET /x").statuses == [200, 200])
        }
    }

    // MARK: Refusals

    @Test(arguments: [
        ("GET /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer good\r\n\r\n", 405, "allow: POST"),
        ("POST /v1/models HTTP/1.1\r\nhost: x\r\nauthorization: Bearer good\r\ncontent-length: 0\r\n\r\n", 405, "allow: GET"),
        (chat(key: "wrong"), 401, "www-authenticate: Bearer"), (chat(key: "poor"), 403, "insufficient_permissions"),
        ("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}", 401, "missing_api_key"),
        (chat(headers: "content-encoding: gzip\r\n"), 415, "gzip"), (chat("none"), 404, "model_not_found"),
        ("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer good\r\ncontent-length: 2\r\n\r\n[]", 400, "invalid_json"),
        ("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer good\r\ncontent-length: 0\r\n\r\n", 400, "invalid_json"),
        ("POST /v1/unknown HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhello", 404, "unknown_url"),
        ("GET /v1/models/none HTTP/1.1\r\nhost: x\r\nauthorization: Bearer good\r\n\r\n", 404, "model_not_found"),
    ])
    func `a refusal leaves the connection for the next request`(request: String, status: Int, text: String) async throws {
        try await Bench.run { bench in
            let client = try await bench.client()
            try await client.send(request + get("/next"))
            let answer = try await client.receive(until: "control GET /next")
            #expect(answer.statuses == [status, 200] && answer.contains(text), "\(answer)")
            #expect(try await bench.attemptCount() == 0)
        }
    }

    @Test(arguments: [
        ("nonsense\r\n\r\n", 400), ("GET / HTTP/1.1\r\nbad header\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nx: " + String(repeating: "a", count: 100_000) + "\r\n\r\n", 431),
        ("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer good\r\ncontent-length: 99999999\r\n\r\n{", 413),
        ("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer good\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n", 400),
        (chat(headers: "expect: magic\r\n"), 417),
        (
            "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer good\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            400
        ),
    ])
    func `what cannot go on is answered and then ends`(request: String, status: Int) async throws {
        try await Bench.run { bench in
            let client = try await bench.client()
            try await client.send(request)
            let answer = try await client.receiveToEnd()
            #expect(answer.statuses == [status] && answer.lowercased().contains("connection: close\r\n"), "\(answer)")
        }
    }

    @Test func `a body in chunks is bounded, too`() async throws {
        try await Bench.run(EdgeOptions(bodyMaxBytes: 1_000)) { bench in
            let client = try await bench.client()
            try await client.send("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer good\r\ntransfer-encoding: chunked\r\n\r\n")
            try await client.send("320\r\n" + String(repeating: " ", count: 800) + "\r\n" + "320\r\n" + String(repeating: " ", count: 800) + "\r\n")
            #expect(try await client.receiveToEnd().statuses == [413])
            #expect(try await bench.records(1).map(\.errorCode) == ["request_too_large"])
        }
    }

    // MARK: HTTP's corners

    @Test func `who expects to be told to go on is told once`() async throws {
        try await Bench.run(script: { _, attempt in attempt.answer("ok") }) { bench in
            let request = chat(headers: "expect: 100-continue\r\n")
            let split = try #require(request.firstRange(of: "\r\n\r\n"))
            let client = try await bench.client()
            try await client.send(String(request[..<split.upperBound]))
            #expect(try await client.receive(until: "\r\n\r\n") == "HTTP/1.1 100 Continue\r\n\r\n")
            try await client.send(String(request[split.upperBound...]))
            #expect(try await client.receive(until: "}}").statuses == [100, 200])
            let refused = try await bench.client()
            try await refused.send(chat(key: "wrong", headers: "expect: 100-continue\r\n").prefix { $0 != "{" } + "")
            #expect(try await refused.receiveToEnd().statuses == [401])
        }
    }

    @Test func `HTTP 1.0 gets no chunks`() async throws {
        try await Bench.run(script: { _, attempt in
            attempt.head(type: "text/event-stream")
            attempt.stream("x")
            attempt.streamDone()
        }) { bench in
            let client = try await bench.client()
            try await client.send(chat(stream: true, headers: "connection: keep-alive\r\n", version: "1.0"))
            let answer = try await client.receiveToEnd()
            #expect(answer.statuses == [200] && !answer.lowercased().contains("transfer-encoding") && answer.hasSuffix("data: [DONE]\n\n"))
        }
    }

    @Test func `HTTP 1.0 keeps its connection only when it asks`() async throws {
        try await Bench.run(script: { _, attempt in attempt.answer("ok") }) { bench in
            let client = try await bench.client()
            try await client.send(chat(headers: "connection: keep-alive\r\n", version: "1.0"))
            #expect(try await client.receive(until: "}}").lowercased().contains("connection: keep-alive\r\n"))
            try await client.send(chat(version: "1.0"))
            let whole = try await client.receiveToEnd()
            #expect(whole.statuses == [200, 200] && whole.lowercased().contains("connection: close\r\n"))
        }
    }

    @Test func `a connection that is to close is closed after the answer`() async throws {
        try await Bench.run(script: { _, attempt in attempt.answer("ok") }) { bench in
            let client = try await bench.client()
            try await client.send(chat(headers: "connection: close\r\n") + get("/never"))
            let answer = try await client.receiveToEnd()
            #expect(!answer.contains("/never") && (answer.isEmpty || answer.statuses == [200]))
        }
    }

    @Test func `HEAD gets a head and no body`() async throws {
        try await Bench.run { bench in
            let client = try await bench.client()
            try await client.send(get("/thing", method: "HEAD") + get("/v1/nothing", method: "HEAD") + get("/after"))
            let answer = try await client.receive(until: "control GET /after")
            #expect(answer.statuses == [200, 404, 200] && !answer.contains("control HEAD") && !answer.contains("unknown_url"))
        }
    }

    // MARK: Clients that leave

    @Test func `a client that leaves while it sends its body is recorded as gone`() async throws {
        try await Bench.run { bench in
            let client = try await bench.client()
            try await client.send(String(chat().dropLast(5)))
            try await bench.connected(1)
            try await client.leave()
            let outcomes = try await bench.records(1).map(\.outcome)
            #expect(outcomes == [.clientGone])
            #expect(try await bench.attemptCount() == 0)
        }
    }

    @Test(arguments: ["calling", "gathering", "streaming"]) func `a client that leaves ends its attempt`(phase: String) async throws {
        try await Bench.run { bench in
            let client = try await bench.client()
            try await client.send(chat(stream: phase == "streaming"))
            try await bench.attempt(0) { attempt in
                switch phase {
                case "gathering": attempt.head(); attempt.bytes("{")
                case "streaming": attempt.head(type: "text/event-stream"); attempt.stream("x")
                default: break
                }
            }
            if phase == "streaming" { try await client.receive(until: "x\"") }
            try await client.leave()
            try await bench.cancelled(0)
            let record = try #require(try await bench.records(1).first)
            #expect(record.outcome == .clientGone && record.status == (phase == "streaming" ? 200 : 0))
            #expect((record.tokens.output > 0) == (phase == "streaming"))
        }
    }

    @Test func `a client that leaves while the control plane works changes nothing for others`() async throws {
        try await Bench.run { bench in
            let client = try await bench.client()
            try await client.send(get("/wait"))
            try await bench.waitingRequest()
            try await client.leave()
            bench.plane.open()
            let other = try await bench.client()
            try await other.send(get("/other"))
            #expect(try await other.receive(until: "/other").statuses == [200])
        }
    }

    @Test func `a client that stops taking bytes is paused for, and dropped in the end`() async throws {
        try await Bench.run(EdgeOptions(writeStall: .milliseconds(300))) { bench in
            let client = try await bench.client(reads: false)
            try await client.send(chat(stream: true))
            let text = String(repeating: "z", count: 1 << 20)
            try await bench.attempt(0) { attempt in
                attempt.head(type: "text/event-stream")
                for _ in 0..<8 where !attempt.isPaused { attempt.stream(text) }
            }
            #expect(try await bench.attempt(0) { $0.pauses } >= 1)
            try await bench.cancelled(0)
            #expect(try await bench.records(1).map(\.outcome) == [.clientGone])
        }
    }

    @Test func `a client that is only slow gets all of it`() async throws {
        try await Bench.run { bench in
            let client = try await bench.client(reads: false)
            try await client.send(chat(stream: true))
            let text = String(repeating: "z", count: 1 << 20)
            let sent = try await bench.attempt(0) { attempt in
                attempt.head(type: "text/event-stream")
                var sent = 0
                while !attempt.isPaused, sent < 16 {
                    attempt.stream(text)
                    sent += 1
                }
                return sent
            }
            #expect(sent < 16)
            try await client.startReading()
            try await bench.until { try await !bench.attempt(0) { $0.isPaused } }
            try await bench.attempt(0) { $0.streamDone() }
            let answer = try await client.receive { $0.hasSuffix("0\r\n\r\n") }
            #expect(answer.utf8.count { $0 == UInt8(ascii: "z") } == sent << 20 && answer.contains("[DONE]"))
        }
    }

    @Test func `a stream that begins behind an unread answer waits from its start`() async throws {
        try await Bench.run(EdgeOptions(plainAnswerMaxBytes: 16 << 20)) { bench in
            let client = try await bench.client(reads: false)
            try await client.send(chat() + chat(stream: true))
            let text = String(repeating: "z", count: 4 << 20)
            try await bench.attempt(0) { $0.answer(text) }
            let isPaused = try await bench.attempt(1) { attempt in
                attempt.head(type: "text/event-stream")
                attempt.stream("first")
                return attempt.isPaused
            }
            #expect(isPaused, "the client has megabytes to read, and the provider is not told to wait")
            try await client.startReading()
            try await bench.until { try await !bench.attempt(1) { $0.isPaused } }
            try await bench.attempt(1) { $0.streamDone() }
            let answer = try await client.receive { $0.hasSuffix("0\r\n\r\n") }
            #expect(answer.suffix(1_000).contains("first"))
        }
    }
}
