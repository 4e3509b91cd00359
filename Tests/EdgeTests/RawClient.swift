import NIOConcurrencyHelpers
import NIOCore
import NIOPosix

/// A client that sends what it is told and keeps what it gets.
final class RawClient: Sendable {
    private let channel: any Channel
    private let inbox: Inbox

    private init(channel: any Channel, inbox: Inbox) {
        self.channel = channel
        self.inbox = inbox
    }

    /// - Parameter reads: whether it reads from the start.
    static func connect(_ port: Int, reads: Bool = true) async throws -> RawClient {
        let inbox = Inbox()
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelOption(.autoRead, value: reads)
            .channelOption(.allowRemoteHalfClosure, value: true)
            .channelOption(.socketOption(.so_rcvbuf), value: 16_384)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(InboxHandler(inbox)) }
            }
            .connect(host: "127.0.0.1", port: port).get()
        return RawClient(channel: channel, inbox: inbox)
    }

    func send(_ text: String) async throws { try await channel.writeAndFlush(ByteBuffer(string: text)).get() }

    /// Everything received, once it has what is asked for; what came until the end, or in twenty seconds, when that never comes.
    @discardableResult
    func receive(_ isEnough: @escaping @Sendable (String) -> Bool) async throws -> String {
        try await inbox.wait(isEnough, on: channel.eventLoop).get()
    }

    @discardableResult
    func receive(until text: String) async throws -> String { try await receive { $0.contains(text) } }

    /// Everything received until the connection ended.
    func receiveToEnd() async throws -> String { try await receive { _ in false } }

    var received: String { inbox.text }
    /// Whether the server has ended the connection.
    var isEnded: Bool { inbox.isEnded }

    func startReading() async throws { try await channel.setOption(.autoRead, value: true).get() }
    func leave() async throws { try await channel.close().get() }
    func closeOutput() async throws { try await channel.close(mode: .output).get() }
}

private final class Inbox: Sendable {
    private struct State {
        var text = ""
        var isEnded = false
        var waiters: [(isEnough: @Sendable (String) -> Bool, promise: EventLoopPromise<String>)] = []
    }

    private let state = NIOLockedValueBox(State())

    var text: String { state.withLockedValue { $0.text } }
    var isEnded: Bool { state.withLockedValue { $0.isEnded } }

    func wait(_ isEnough: @escaping @Sendable (String) -> Bool, on loop: any EventLoop) -> EventLoopFuture<String> {
        let promise = loop.makePromise(of: String.self)
        state.withLockedValue { $0.waiters.append((isEnough, promise)) }
        let limit = loop.scheduleTask(in: .seconds(20)) { promise.succeed(self.text) }
        promise.futureResult.whenComplete { _ in limit.cancel() }
        look()
        return promise.futureResult
    }

    func take(_ bytes: ByteBuffer) {
        state.withLockedValue { $0.text += String(buffer: bytes) }
        look()
    }

    func end() {
        state.withLockedValue { $0.isEnded = true }
        look()
    }

    private func look() {
        let (text, ready) = state.withLockedValue { state in
            let ready = state.waiters.filter { state.isEnded || $0.isEnough(state.text) }
            if !ready.isEmpty { state.waiters = state.isEnded ? [] : state.waiters.filter { !$0.isEnough(state.text) } }
            return (state.text, ready)
        }
        for waiter in ready { waiter.promise.succeed(text) }
    }
}

private final class InboxHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let inbox: Inbox

    init(_ inbox: Inbox) { self.inbox = inbox }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) { inbox.take(unwrapInboundIn(data)) }
    func channelInactive(context: ChannelHandlerContext) { inbox.end() }
    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let event = event as? ChannelEvent, event == .inputClosed {
            inbox.end()
            context.close(promise: nil)
        }
    }
}
