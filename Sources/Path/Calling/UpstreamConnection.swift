internal import Contracts
import NIOCore
import NIOTLS
import Synchronization
internal import Vocabulary

/// One connection to a provider: reads answers, and carries one call at a time.
final class UpstreamConnection: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let caller: UpstreamCaller
    /// Where the connection waits between calls.
    let pool: ProviderPool
    /// ``ProviderPool/generation`` when this connection was made.
    let generation: Int
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
    /// Whether the connection has waited for a call: one that then ends without a byte was most likely closed while it waited.
    private var hasWaited = false
    /// Whether a request is being handed to the socket; what fails then is told after `carry` has returned.
    private var isCarrying = false
    /// The status with which a proxy has answered in the provider's place.
    private var proxyStatus: Int?
    private var handshake: EventLoopPromise<Void>?

    /// What a call that has all it wants may still have coming before the connection is given up.
    private static let quietMaxBytes = 64 * 1024
    private static let quietMax = TimeAmount.seconds(1)

    /// - Parameter generation: of the pool when the certificates were taken that the connection is made with.
    init(caller: UpstreamCaller, pool: ProviderPool, generation: Int) {
        self.caller = caller
        self.pool = pool
        self.generation = generation
    }

    var isUsable: Bool { context?.channel.isActive ?? false }

    /// A promise for the end of the TLS handshake, to be asked for before it can have ended.
    func handshakeEnd(on loop: any EventLoop) -> EventLoopFuture<Void> {
        let promise = handshake ?? loop.makePromise(of: Void.self)
        handshake = promise
        return promise.futureResult
    }

    // MARK: For the pool and the attempt

    /// Sends a request. The connection belongs to the attempt until its answer is over.
    func carry(_ attempt: Attempt, request: UpstreamRequest) {
        self.attempt = attempt
        callsCarried += 1
        parser.reset()
        isEnded = false
        quietBytes = 0
        resume()
        guard let context else { return }
        isCarrying = true
        if request.rest.isEmpty {
            context.writeAndFlush(wrapOutboundOut(request.head), promise: nil)
        } else {
            context.write(wrapOutboundOut(request.head), promise: nil)
            for part in request.rest { context.write(wrapOutboundOut(part), promise: nil) }
            context.flush()
        }
        isCarrying = false
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

    func becameIdle(at now: NIODeadline) {
        idleSince = now
        hasWaited = true
    }

    // MARK: Channel events

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        caller.shared.open.wrappingAdd(1, ordering: .relaxed)
        caller.shared.opened.wrappingAdd(1, ordering: .relaxed)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        handshake?.fail(ChannelError.eof)
        handshake = nil
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
                guard self.attempt === attempt, proxyStatus == nil else { return }
                switch event {
                case .head(let head, let isMarked):
                    if isProxyAnswer(head.status, isMarked: isMarked) { proxyStatus = head.status } else { attempt.answered(head) }
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
        if let proxyStatus {
            caller.shared.report(.proxyRefused(status: proxyStatus), of: pool.provider)
            self.attempt = nil
            context.close(promise: nil)
            attempt.failed(.unreachable)
        } else if isEnded {
            end(attempt, context: context)
        } else if quietBytes > UpstreamConnection.quietMaxBytes {
            fail(context)
        }
    }

    /// Whether a proxy that was given the whole request answers in the provider's place: 407 is nobody else's, and some mark their errors.
    private func isProxyAnswer(_ status: Int, isMarked: Bool) -> Bool {
        (status == 407 || isMarked) && pool.provider.egress.proxy != nil && !pool.provider.isTLS
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        attempt?.readComplete()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let event = event as? ChannelEvent, event == .inputClosed { connectionEnded(context) }
        if let event = event as? TLSUserEvent, case .handshakeCompleted = event {
            handshake?.succeed()
            handshake = nil
        }
        context.fireUserInboundEventTriggered(event)
    }

    func channelInactive(context: ChannelHandlerContext) {
        connectionEnded(context)
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        handshake?.fail(error)
        handshake = nil
        fail(context, error)
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

    private func fail(_ context: ChannelHandlerContext, _ error: (any Error)? = nil) {
        caller.forget(self)
        let failed = attempt
        attempt = nil
        context.close(promise: nil)
        guard let failed else { return }
        let fault: UpstreamFault
        if parser.hasBegun {
            fault = .cut
        } else if hasWaited {
            caller.shared.staleConnections.wrappingAdd(1, ordering: .relaxed)
            fault = .staleConnection
        } else {
            // A TLS server that wants another certificate of ours says so only after we have taken the handshake for done.
            caller.shared.report(error.map { ConnectTrouble($0) } ?? .closed, of: pool.provider)
            fault = .unreachable
        }
        // A write that fails at once must not be told from within the call that ordered it.
        if isCarrying { context.eventLoop.assumeIsolated().execute { failed.failed(fault) } } else { failed.failed(fault) }
    }

    private func end(_ attempt: Attempt, context: ChannelHandlerContext) {
        self.attempt = nil
        // A slow client may have had it paused; it must be read again, or the next call would never hear of its answer.
        resume()
        // First the connection, then the news: the next call that the news sets off may use it.
        if parser.keepsAlive, context.channel.isActive {
            caller.keep(self)
        } else {
            context.close(promise: nil)
        }
        attempt.ended()
    }
}
