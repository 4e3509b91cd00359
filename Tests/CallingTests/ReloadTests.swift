import Calling
import Contracts
import Testing
import Vocabulary

@Suite struct ReloadTests {
    @Test func `a provider that stays keeps its connection, one that leaves loses it`() async throws {
        let bench = try await Bench { _, _ in [.send(plainAnswer)] }
        let other = bench.another(id: "q")
        _ = try await bench.call()
        _ = try await bench.call(at: other)
        try await bench.reload([bench.provider])
        try await bench.server.wait(for: .closed(1))
        #expect(try await bench.call().ends == 1)
        #expect(try await bench.server.connectionCount() == 2)
        #expect(try await bench.poolCount() == 1)
        try await bench.shutdown()
    }

    @Test func `a call that runs while its provider leaves ends in peace, and its connection with it`() async throws {
        let bench = try await Bench { _, _ in [] }
        let running = try await bench.start()
        try await bench.server.wait(for: .accepted(0))
        try await bench.reload([bench.another()])
        try await bench.server.send(plainAnswer, on: 0)
        #expect(try await bench.end(of: running).ends == 1)
        try await bench.server.wait(for: .closed(0))
        try await bench.shutdown()
    }

    @Test func `a call that began before a reload still reaches the provider that has left, and nothing stays behind`() async throws {
        let bench = try await Bench { _, _ in [.send(plainAnswer)] }
        try await bench.reload([bench.another()])
        #expect(try await bench.call().ends == 1)
        try await bench.server.wait(for: .closed(0))
        #expect(try await bench.poolCount() == 0)
        try await bench.shutdown()
    }

    @Test func `a lowered limit counts the calls that are running, a raised one wakes those that wait`() async throws {
        let bench = try await Bench(concurrencyMax: 3, queueMax: 1) { _, _ in [] }
        let running = [try await bench.start(), try await bench.start(), try await bench.start()]
        try await bench.server.wait(for: .accepted(2))
        let narrow = bench.another(concurrencyMax: 1, queueMax: 1)
        try await bench.reload([narrow])
        #expect(bench.shared.permitsFree(ofProvider: "p") == -2)
        let waiting = try await bench.start(at: narrow)
        #expect(try await bench.call(at: narrow).fault == .queueFull)
        // Two ends only bring the count down to the limit; the third makes room.
        for connection in 0..<2 {
            try await bench.server.send(plainAnswer, on: connection)
            #expect(try await bench.end(of: running[connection]).ends == 1)
        }
        try await bench.turn()
        #expect(try await bench.on(waiting) { $0.heard.starts } == 0)
        try await bench.server.send(plainAnswer, on: 2)
        #expect(try await bench.end(of: running[2]).ends == 1)
        try await bench.started(waiting)
        let second = try await bench.start(at: narrow)
        try await bench.turn()
        #expect(try await bench.on(second) { $0.heard.starts } == 0)
        // The one that waits belongs to the configuration before; its place comes all the same.
        try await bench.reload([bench.another(concurrencyMax: 2, queueMax: 1)])
        try await bench.started(second)
        #expect(bench.shared.permitsFree(ofProvider: "p") == 0)
        try await bench.on(waiting) { $0.attempt?.cancel() }
        try await bench.on(second) { $0.attempt?.cancel() }
        #expect(bench.shared.permitsFree(ofProvider: "p") == 2)
        try await bench.shutdown()
    }

    /// Holds an object without keeping it.
    private struct Weak: Sendable {
        weak let provider: Provider?
    }

    @Test func `a thousand reloads leave one provider, one pool and one connection`() async throws {
        let bench = try await Bench { _, _ in [.send(plainAnswer)] }
        var gone: [Weak] = []
        for round in 0..<1_000 {
            let provider = bench.another(id: "p\(round % 7)", concurrencyMax: 1 + round % 5)
            try await bench.reload([provider])
            if round % 10 == 0 { #expect(try await bench.call(at: provider).ends == 1) }
            gone.append(Weak(provider: provider))
        }
        try await bench.until { bench.shared.counts.connectionsOpen <= 1 }
        let left = gone.dropLast().count { $0.provider != nil }
        #expect(left == 0, "\(left) providers of earlier configurations are still held")
        #expect(try await bench.poolCount() <= 1)
        #expect((0..<7).count { bench.shared.permitsFree(ofProvider: "p\($0)") != nil } <= 1)
        try await bench.shutdown()
    }

    @Test func `certificates that cannot be used refuse the reload and change nothing`() async throws {
        let bench = try await Bench { _, _ in [.send(plainAnswer)] }
        _ = try await bench.call()
        let broken = Bench.provider(
            id: "q", port: 1, isTLS: true, egress: Egress(clientCertificateFile: "/no/such/file.pem", clientKeyFile: "/no/such/file.pem"))
        #expect(throws: CertificateFileError.self) { try bench.shared.prepare([bench.provider, broken]) }
        #expect(try await bench.call().ends == 1)
        #expect(try await bench.server.connectionCount() == 1)
        #expect(try await bench.call(at: broken).fault == .unreachable)
        #expect(bench.troubles.all == ["q: /no/such/file.pem cannot be read: No such file or directory"])
        try await bench.shutdown()
    }
}
