import NIOCore
import NIOPosix

/// A raw TCP server whose every byte the test decides; it reads whole requests and knows nothing else of HTTP.
///
/// It lives on the loop of the caller under test: what it sends in two turns arrives in two reads.
final class ScriptedServer: Sendable {
    enum Event: Sendable, Equatable {
        case accepted(Int)
        case request(Int, String)
        case closed(Int)
    }

    /// What is done with a request by itself.
    enum Step: Sendable {
        case send(String)
        /// One byte a turn of the loop.
        case trickle(String)
        case close
    }

    private let channel: any Channel
    private let connections: NIOLoopBound<Connections>
    let port: Int

    init(loop: any EventLoop, script: @escaping @Sendable (_ connection: Int, _ request: Int) -> [Step]) async throws {
        let connections = try await loop.submit { NIOLoopBound(Connections(), eventLoop: loop) }.get()
        channel = try await ServerBootstrap(group: loop)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(ScriptedConnection(connections.value, script: script))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        self.connections = connections
        port = channel.localAddress?.port ?? 0
    }

    /// Everything that has happened so far.
    func events() async throws -> [Event] { try await onLoop { $0.events } }

    /// Waits for something to happen that may have happened already.
    func wait(for event: Event) async throws {
        try await channel.eventLoop.flatSubmit { [connections] in connections.value.wait(for: event) }.get()
    }

    func connectionCount() async throws -> Int { try await onLoop { $0.channels.count } }

    func send(_ text: String, on connection: Int) async throws {
        try await onLoop { $0.channels[connection].writeAndFlush(ByteBuffer(string: text), promise: nil) }
    }

    func close(_ connection: Int) async throws {
        try await onLoop { $0.channels[connection].close(promise: nil) }
    }

    func stop() async throws { try await channel.close().get() }

    private func onLoop<Value: Sendable>(_ work: @escaping @Sendable (Connections) -> Value) async throws -> Value {
        try await channel.eventLoop.submit { [connections] in work(connections.value) }.get()
    }
}

/// An event that was waited for and did not come in ten seconds.
private struct NeverHappened: Error {
    var event: ScriptedServer.Event
}

/// What all connections of a server share; confined to its loop.
private final class Connections {
    var channels: [any Channel] = []
    private(set) var events: [ScriptedServer.Event] = []
    private var waiters: [(event: ScriptedServer.Event, promise: EventLoopPromise<Void>)] = []

    func happened(_ event: ScriptedServer.Event) {
        events.append(event)
        for waiter in waiters where waiter.event == event { waiter.promise.succeed() }
        waiters.removeAll { $0.event == event }
    }

    func wait(for event: ScriptedServer.Event) -> EventLoopFuture<Void> {
        let promise = (channels.first?.eventLoop ?? MultiThreadedEventLoopGroup.singleton.any()).makePromise(of: Void.self)
        if events.contains(event) { promise.succeed() } else { waiters.append((event, promise)) }
        let limit = promise.futureResult.eventLoop.scheduleTask(in: .seconds(10)) { promise.fail(NeverHappened(event: event)) }
        promise.futureResult.whenComplete { _ in limit.cancel() }
        return promise.futureResult
    }
}

private final class ScriptedConnection: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let connections: Connections
    private let script: @Sendable (Int, Int) -> [ScriptedServer.Step]
    private var number = 0
    private var requests = 0
    private var received = ""

    init(_ connections: Connections, script: @escaping @Sendable (Int, Int) -> [ScriptedServer.Step]) {
        self.connections = connections
        self.script = script
    }

    func channelActive(context: ChannelHandlerContext) {
        number = connections.channels.count
        connections.channels.append(context.channel)
        connections.happened(.accepted(number))
    }

    func channelInactive(context: ChannelHandlerContext) { connections.happened(.closed(number)) }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        received += String(buffer: unwrapInboundIn(data))
        guard let headEnd = received.firstRange(of: "\r\n\r\n"), let length = contentLength(received[..<headEnd.lowerBound]),
            received[headEnd.upperBound...].utf8.count >= length
        else { return }
        let request = received
        received = ""
        requests += 1
        connections.happened(.request(number, request))
        play(script(number, requests - 1)[...], context)
    }

    private func contentLength(_ head: Substring) -> Int? {
        // A request for a tunnel has no body.
        if head.hasPrefix("CONNECT ") { return 0 }
        return head.lowercased().split(separator: "\r\n").first { $0.hasPrefix("content-length: ") }.flatMap { Int($0.dropFirst(16)) }
    }

    private func play(_ steps: ArraySlice<ScriptedServer.Step>, _ context: ChannelHandlerContext) {
        guard let step = steps.first else { return }
        switch step {
        case .send(let text):
            context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: text)), promise: nil)
            play(steps.dropFirst(), context)
        case .trickle(let text):
            trickle(Array(text.utf8)[...], context) { self.play(steps.dropFirst(), context) }
        case .close: context.close(promise: nil)
        }
    }

    private func trickle(_ bytes: ArraySlice<UInt8>, _ context: ChannelHandlerContext, _ done: @escaping () -> Void) {
        guard let byte = bytes.first, context.channel.isActive else { return done() }
        // A timer and not a task: tasks run until there are none left, and only then is anything read.
        context.eventLoop.assumeIsolated().scheduleTask(in: .microseconds(100)) {
            context.writeAndFlush(self.wrapOutboundOut(ByteBuffer(bytes: [byte])), promise: nil)
            self.trickle(bytes.dropFirst(), context, done)
        }
    }
}
