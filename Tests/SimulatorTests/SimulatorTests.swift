import NIOCore
import NIOPosix
import Simulator
import Testing

@Suite struct SimulatorTests {
    /// One request on a connection of its own; the answer up to the connection's end.
    private func answer(port: Int, _ request: String) async throws -> String {
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .connect(host: "127.0.0.1", port: port) { channel in
                channel.eventLoop.makeCompletedFuture { try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel) }
            }
        return try await channel.executeThenClose { inbound, outbound in
            try await outbound.write(ByteBuffer(string: request))
            var received = ""
            for try await part in inbound { received += String(buffer: part) }
            return received
        }
    }

    private func chat(_ body: String, headers: String = "") -> String {
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer k\r\n\(headers)content-length: \(body.utf8.count)\r\n\r\n\(body)"
    }

    @Test func `it starts on a free port, answers, and stops`() async throws {
        var options = SimulatorOptions()
        options.port = 0
        options.loops = 1
        let simulator = Simulator(options)
        let port = try await simulator.start()
        let received = try await answer(port: port, chat(#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#))
        #expect(received.hasPrefix("HTTP/1.1 200 OK\r\n"))
        let body = try #require(received.split(separator: "\r\n\r\n").last.flatMap { JSONValue(parsing: String($0)) })
        #expect(body["choices"]?.arrayValue?.first?["message"]?["role"] == .string("assistant"))
        await simulator.shutdown()
        await #expect(throws: (any Error).self) { try await answer(port: port, chat("{}")) }
    }

    @Test func `a stream that is cut has no end`() async throws {
        var options = SimulatorOptions()
        options.port = 0
        options.loops = 1
        let simulator = Simulator(options)
        let port = try await simulator.start()
        let body = #"{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}"#
        let whole = try await answer(port: port, chat(body, headers: "x-sim-tokens: 9\r\n"))
        #expect(whole.contains("data: [DONE]") && whole.split(separator: "\"content\":\"").count == 9 + 2)
        let cut = try await answer(port: port, chat(body, headers: "x-sim-tokens: 9\r\nx-sim-cut-after: 4\r\n"))
        #expect(!cut.contains("data: [DONE]") && cut.split(separator: "\"content\":\"").count == 4 + 2)
        await simulator.shutdown()
    }

    @Test func `a port that is taken is told in words`() async throws {
        var options = SimulatorOptions()
        options.port = 0
        options.loops = 1
        let first = Simulator(options)
        options.port = try await first.start()
        let taken = Simulator(options)
        let error = await #expect(throws: SimulatorError.self) { try await taken.start() }
        #expect(error?.description.contains("the port is in use") ?? false)
        await first.shutdown()
    }

    @Test func `options out of range are told before anything starts`() {
        var options = SimulatorOptions()
        #expect(options.problem == nil)
        options.errorRate = 0.6
        options.cutRate = 0.6
        #expect(options.problem == "the rates together must not exceed 1")
        options.cutRate = -0.1
        #expect(options.problem?.contains("--cut-rate") ?? false)
    }
}
