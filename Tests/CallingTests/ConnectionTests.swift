import Calling
import Contracts
import NIOCore
import Testing
import Vocabulary

@Suite struct ConnectionTests {
    @Test func `a request is the provider's head, the call's headers, the length and the body in order`() async throws {
        let bench = try await Bench { _, _ in [.send(plainAnswer)] }
        let long = String(repeating: "x", count: 20_000)
        _ = try await bench.call(body: ["{", "\"a\":1", "}"], headers: "x-request-id: r1\r\n")
        _ = try await bench.call(body: [long, "y"])
        let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n"
        #expect(
            try await bench.server.events() == [
                .accepted(0), .request(0, head + "x-request-id: r1\r\ncontent-length: 7\r\n\r\n{\"a\":1}"),
                .request(0, head + "content-length: 20001\r\n\r\n\(long)y"),
            ])
        try await bench.shutdown()
    }

    @Test func `a call that needs a fresh connection gets one`() async throws {
        let bench = try await Bench { _, _ in [.send(plainAnswer)] }
        for fresh in [false, false, true, false] { #expect(try await bench.call(fresh: fresh).ends == 1) }
        #expect(try await bench.server.connectionCount() == 2)
        #expect(bench.shared.counts.connectionsOpened == 2)
        try await bench.shutdown()
    }

    @Test func `nobody there is unreachable`() async throws {
        let gone = try await Bench { _, _ in [] }
        try await gone.shutdown()
        let bench = try await Bench(port: gone.server.port) { _, _ in [] }
        let heard = try await bench.call()
        #expect(heard.fault == .unreachable && heard.starts == 0)
        try await bench.shutdown()
    }

    @Test func `an end without a byte is stale on a used connection and unreachable on a new one`() async throws {
        let bench = try await Bench { connection, request in connection == 0 && request == 0 ? [.send(plainAnswer)] : [.close] }
        #expect(try await bench.call().ends == 1)
        #expect(try await bench.call().fault == .staleConnection)
        #expect(try await bench.call(fresh: true).fault == .unreachable)
        #expect(bench.shared.counts.staleRetries == 1)
        try await bench.until { bench.shared.counts.connectionsOpen == 0 }
        try await bench.shutdown()
    }

    @Test(arguments: [
        "HTTP", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhell",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n", "HTTP/1.1 100 Continue\r\n\r\n",
    ])
    func `an end in the middle is a cut, used connection or not`(text: String) async throws {
        let bench = try await Bench { _, request in request == 0 ? [.send(plainAnswer)] : [.send(text), .close] }
        #expect(try await bench.call().ends == 1)
        #expect(try await bench.call().fault == .cut)
        try await bench.shutdown()
    }

    @Test func `a connection that the provider closes while idle is forgotten`() async throws {
        let bench = try await Bench { _, _ in [.send(plainAnswer)] }
        _ = try await bench.call()
        try await bench.server.close(0)
        try await bench.server.wait(for: .closed(0))
        try await bench.until { bench.shared.counts.connectionsOpen == 0 }
        #expect(try await bench.call().ends == 1)
        #expect(try await bench.server.connectionCount() == 2)
        try await bench.shutdown()
    }

    @Test func `an idle connection is closed after some seconds, and at shutdown at once`() async throws {
        let bench = try await Bench(idleMax: .seconds(1)) { _, _ in [.send(plainAnswer)] }
        _ = try await bench.call()
        // The sweeper closes it; nothing here waits for a clock of its own.
        try await bench.server.wait(for: .closed(0))
        #expect(try await bench.call().ends == 1)
        #expect(try await bench.server.connectionCount() == 2)
        try await bench.shutdown()
        try await bench.server.wait(for: .closed(1))
        try await bench.until { bench.shared.counts.connectionsOpen == 0 }
    }

    // MARK: Permits

    @Test func `permits bound what runs, and the queue what waits`() async throws {
        let bench = try await Bench(concurrencyMax: 2, queueMax: 1) { _, _ in [] }
        let first = try await bench.start()
        let second = try await bench.start()
        try await bench.server.wait(for: .accepted(1))
        let third = try await bench.start()
        #expect(try await bench.call().fault == .queueFull)
        try await bench.turn()
        #expect(try await bench.server.connectionCount() == 2)
        try await bench.server.send(plainAnswer, on: 0)
        #expect(try await bench.end(of: first).ends == 1)
        // The third goes out on the connection that has come free.
        try await bench.started(third)
        try await bench.server.send(plainAnswer, on: 0)
        try await bench.server.send(plainAnswer, on: 1)
        #expect(try await bench.end(of: second).ends == 1)
        #expect(try await bench.end(of: third).ends == 1)
        #expect(try await bench.server.connectionCount() == 2)
        try await bench.shutdown()
    }

    @Test func `who leaves the queue takes no permit along`() async throws {
        let bench = try await Bench(concurrencyMax: 1, queueMax: 1) { _, _ in [] }
        let first = try await bench.start()
        let second = try await bench.start()
        try await bench.on(second) { $0.attempt?.cancel() }
        let third = try await bench.start()
        try await bench.server.wait(for: .accepted(0))
        try await bench.server.send(plainAnswer, on: 0)
        #expect(try await bench.end(of: first).ends == 1)
        try await bench.started(third)
        try await bench.server.send(plainAnswer, on: 0)
        #expect(try await bench.end(of: third).ends == 1)
        #expect(try await bench.on(second) { $0.heard } == Heard())
        try await bench.shutdown()
    }

    @Test func `who leaves as the permit arrives gives it back`() async throws {
        let bench = try await Bench(concurrencyMax: 1, queueMax: 2) { _, _ in [] }
        let first = try await bench.start()
        let second = try await bench.start()
        let third = try await bench.start()
        // In one turn: the permit goes from the first to the second, which is no longer there.
        try await bench.loop.submit {
            first.value.attempt?.cancel()
            second.value.attempt?.cancel()
        }.get()
        try await bench.started(third)
        #expect(try await bench.on(second) { $0.heard } == Heard())
        try await bench.shutdown()
    }

    @Test func `a call that is cancelled while it connects leaves its connection to the next`() async throws {
        let bench = try await Bench(concurrencyMax: 1, queueMax: 0) { _, _ in [.send(plainAnswer)] }
        let recorder = try await bench.start(cancelsAtOnce: true)
        try await bench.server.wait(for: .accepted(0))
        try await bench.turn()
        // The permit is free again, and the connection is ready.
        #expect(try await bench.call().ends == 1)
        #expect(try await bench.server.connectionCount() == 1)
        #expect(try await bench.on(recorder) { $0.heard } == Heard())
        try await bench.shutdown()
    }

    @Test func `a running call that is cancelled ends its connection and frees its permit`() async throws {
        let bench = try await Bench(concurrencyMax: 1, queueMax: 0) { connection, _ in
            connection == 0 ? [.send("HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nhello")] : [.send(plainAnswer)]
        }
        let recorder = try await bench.start()
        try await bench.firstBytes(of: recorder)
        try await bench.on(recorder) { $0.attempt?.cancel() }
        try await bench.server.wait(for: .closed(0))
        #expect(try await bench.call().ends == 1)
        let heard = try await bench.on(recorder) { $0.heard }
        #expect(heard.body == "hello" && heard.ends == 0 && heard.fault == nil)
        try await bench.shutdown()
    }

    @Test func `a call that cancels itself at its first bytes hears nothing more`() async throws {
        let bench = try await Bench { connection, _ in [.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n")] }
        let recorder = try await bench.start { $0.attempt?.cancel() }
        try await bench.server.wait(for: .closed(0))
        let heard = try await bench.on(recorder) { $0.heard }
        #expect(heard.body == "a" && heard.ends == 0 && heard.fault == nil)
        try await bench.shutdown()
    }

    // MARK: Backpressure and quiet ends

    @Test func `a paused call reads nothing until it is resumed`() async throws {
        let size = 8 << 20
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: \(size)\r\n\r\n" + String(repeating: "x", count: size)
        let bench = try await Bench { _, _ in [.send(answer)] }
        let recorder = try await bench.start { recorder in
            recorder.onBytes = nil
            recorder.attempt?.pause()
        }
        try await bench.firstBytes(of: recorder)
        try await bench.turn(5)
        let before = try await bench.on(recorder) { $0.heard.body.utf8.count }
        try await bench.turn(50)
        #expect(try await bench.on(recorder) { $0.heard.body.utf8.count } == before && before < size)
        try await bench.on(recorder) { $0.attempt?.resume() }
        let heard = try await bench.end(of: recorder)
        #expect(heard.body.utf8.count == size && heard.ends == 1)
        try await bench.shutdown()
    }

    @Test func `a call that is paused at its very end leaves a connection that reads`() async throws {
        let bench = try await Bench { _, _ in [.send(plainAnswer)] }
        let recorder = try await bench.start { $0.attempt?.pause() }
        #expect(try await bench.end(of: recorder).ends == 1)
        let next = try await bench.start()
        try await bench.server.wait(for: .accepted(0))
        for _ in 0..<200 where !(try await bench.on(next) { $0.heard.isOver }) { try await bench.turn(5) }
        #expect(try await bench.on(next) { $0.heard.ends } == 1, "the reused connection does not read")
        try await bench.shutdown()
    }

    @Test func `a call that has all it wants lets the rest go by, and the connection is used again`() async throws {
        let bench = try await Bench { _, request in
            request == 0 ? [.send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello"), .trickle("world")] : [.send(plainAnswer)]
        }
        let recorder = try await bench.start { recorder in
            recorder.attempt?.pause()
            recorder.attempt?.finishQuietly()
        }
        try await bench.firstBytes(of: recorder)
        // As long as the rest takes; the connection is given up only after a second.
        try await bench.loop.scheduleTask(in: .milliseconds(100)) {}.futureResult.get()
        #expect(try await bench.call().ends == 1)
        #expect(try await bench.server.connectionCount() == 1)
        let heard = try await bench.on(recorder) { $0.heard }
        #expect(heard.body.hasPrefix("hello") && heard.body != "helloworld" && heard.ends == 0 && heard.fault == nil, "\(heard)")
        try await bench.shutdown()
    }

    @Test func `a rest that is long or never comes costs the connection, and the permit comes back`() async throws {
        let bench = try await Bench(concurrencyMax: 1, queueMax: 1) { _, _ in [.send("HTTP/1.1 200 OK\r\ncontent-length: 10000000\r\n\r\nhello")] }
        let long = try await bench.start { $0.attempt?.finishQuietly() }
        try await bench.firstBytes(of: long)
        try await bench.server.send(String(repeating: "x", count: 200_000), on: 0)
        try await bench.server.wait(for: .closed(0))
        let silent = try await bench.start { $0.attempt?.finishQuietly() }
        try await bench.firstBytes(of: silent)
        // Nothing more is sent: after a moment the connection is given up.
        try await bench.server.wait(for: .closed(1))
        let third = try await bench.start()
        try await bench.firstBytes(of: third)
        try await bench.on(third) { $0.attempt?.cancel() }
        #expect(try await bench.server.connectionCount() == 3)
        try await bench.shutdown()
    }
}
