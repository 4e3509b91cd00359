internal import Contracts
import NIOCore
import Synchronization

/// One connection to a provider: reads answers, and carries one call at a time.
final class UpstreamConnection: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let caller: UpstreamCaller
    /// Where the connection waits between calls.
    let pool: ProviderPool
    let openedAt = NIODeadline.now()
    private(set) var idleSince = NIODeadline.now()
    private var parser = AnswerParser()
    private var attempt: Attempt?
    private var context: ChannelHandlerContext?
    private var callsCarried = 0
    private var isPaused = false
    private var isReadWanted = false
    private var isEnded = false
    private var quietBytes = 0

    /// What a call that has all it wants may still have coming before the connection is given up.
    private static let quietMaxBytes = 64 * 1024
    private static let quietMax = TimeAmount.seconds(1)

    init(caller: UpstreamCaller, pool: ProviderPool) {
        self.caller = caller
        self.pool = pool
    }

    var isUsable: Bool { context?.channel.isActive ?? false }

    /// Whether a call before this one has gone over the connection.
    private var isReused: Bool { callsCarried > 1 }

    // MARK: For the pool and the attempt

    /// Sends a request. The connection belongs to the attempt until its answer is over.
    func carry(_ attempt: Attempt, request: [ByteBuffer]) {
        self.attempt = attempt
        callsCarried += 1
        parser.reset()
        isEnded = false
        isPaused = false
        quietBytes = 0
        guard let context else { return }
        for part in request { context.write(wrapOutboundOut(part), promise: nil) }
        context.flush()
    }

    func pause() { isPaused = true }

    func resume() {
        isPaused = false
        guard isReadWanted, let context else { return }
        isReadWanted = false
        context.read()
    }

    /// Ends the connection; the attempt has already forgotten it.
    func abandon() {
        attempt = nil
        context?.close(promise: nil)
    }

    /// The attempt wants no more; what is left of the answer is waited for, but not for long.
    func waitQuietly() {
        resume()
        guard let context, !isEnded else { return }
        let carried = callsCarried
        context.eventLoop.assumeIsolated().scheduleTask(in: UpstreamConnection.quietMax) {
            if self.callsCarried == carried, self.attempt != nil { self.fail(context) }
        }
    }

    func becameIdle() { idleSince = .now() }

    // MARK: Channel events

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        caller.shared.open.wrappingAdd(1, ordering: .relaxed)
        caller.shared.opened.wrappingAdd(1, ordering: .relaxed)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        caller.shared.open.wrappingSubtract(1, ordering: .relaxed)
    }

    func read(context: ChannelHandlerContext) {
        if isPaused { isReadWanted = true } else { context.read() }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let bytes = unwrapInboundIn(data)
        guard let attempt else {
            // An idle connection has nothing to say.
            context.close(promise: nil)
            return
        }
        do {
            try parser.feed(bytes) { event in
                // The attempt may have been cancelled by an event before this one.
                guard self.attempt === attempt else { return }
                switch event {
                case .head(let head): attempt.answered(head)
                case .body(let part):
                    quietBytes += attempt.isQuiet ? part.readableBytes : 0
                    attempt.received(part)
                case .end: isEnded = true
                }
            }
        } catch {
            guard self.attempt === attempt else { return }
            self.attempt = nil
            context.close(promise: nil)
            attempt.failed(.invalid)
            return
        }
        guard self.attempt === attempt else { return }
        if isEnded {
            end(attempt, context: context)
        } else if quietBytes > UpstreamConnection.quietMaxBytes {
            fail(context)
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        attempt?.readComplete()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let event = event as? ChannelEvent, event == .inputClosed {
            connectionEnded(context)
        }
        context.fireUserInboundEventTriggered(event)
    }

    func channelInactive(context: ChannelHandlerContext) {
        connectionEnded(context)
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        fail(context)
    }

    // MARK: Ends

    private func connectionEnded(_ context: ChannelHandlerContext) {
        caller.forget(self)
        guard let attempt else { return }
        if parser.endOfInput() {
            end(attempt, context: context)
            return
        }
        fail(context)
    }

    private func fail(_ context: ChannelHandlerContext) {
        caller.forget(self)
        let failed = attempt
        attempt = nil
        context.close(promise: nil)
        guard let failed else { return }
        if parser.hasBegun {
            failed.failed(.cut)
        } else if isReused {
            caller.shared.staleConnections.wrappingAdd(1, ordering: .relaxed)
            failed.failed(.staleConnection)
        } else {
            failed.failed(.unreachable)
        }
    }

    private func end(_ attempt: Attempt, context: ChannelHandlerContext) {
        self.attempt = nil
        // First the connection, then the news: the next call that the news sets off may use it.
        if parser.keepsAlive, context.channel.isActive {
            caller.keep(self)
        } else {
            context.close(promise: nil)
        }
        attempt.ended()
    }
}
