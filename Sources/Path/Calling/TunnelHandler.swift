import NIOCore
import NIOTLS

/// Asks a proxy for a way through to a provider (CONNECT, RFC 9110 §9.3.6), and is out of the way once it is granted.
final class TunnelHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let request: ByteBuffer
    /// Whether TLS with the proxy itself comes first.
    private let waitsForTLS: Bool
    private let granted: EventLoopPromise<Void>
    private var gathered = ByteBuffer()
    private var hasAsked = false
    private var isOpen = false

    private static let headMax = 16 * 1024

    /// - Parameters:
    ///   - request: the whole head, the empty line included.
    ///   - granted: done when the bytes of the connection are the provider's; fails with a ``ConnectTrouble``.
    init(request: ByteBuffer, waitsForTLS: Bool, granted: EventLoopPromise<Void>) {
        self.request = request
        self.waitsForTLS = waitsForTLS
        self.granted = granted
    }

    func handlerAdded(context: ChannelHandlerContext) {
        if context.channel.isActive, !waitsForTLS { ask(context) }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        granted.fail(ConnectTrouble.closed)
    }

    func channelActive(context: ChannelHandlerContext) {
        if !waitsForTLS { ask(context) }
        context.fireChannelActive()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        // The handshake of the connection to the provider is not ours: it comes when we have stepped aside.
        if !isOpen, let event = event as? TLSUserEvent, case .handshakeCompleted = event { ask(context) }
        context.fireUserInboundEventTriggered(event)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if isOpen {
            context.fireChannelRead(data)
            return
        }
        var bytes = unwrapInboundIn(data)
        gathered.writeBuffer(&bytes)
        do {
            while let status = try readHead() {
                // What a proxy may say before its answer; the size of all of it is bounded below.
                if status < 200 { continue }
                guard status < 300 else { throw ConnectTrouble.proxyRefused(status: status) }
                // In TLS the client speaks first: bytes that are here already are not the provider's.
                guard gathered.readableBytes == 0 else { throw ConnectTrouble.proxyUnreadable }
                isOpen = true
                granted.succeed()
                context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
                return
            }
            guard gathered.readableBytes <= TunnelHandler.headMax else { throw ConnectTrouble.proxyUnreadable }
        } catch {
            granted.fail(error)
            context.close(promise: nil)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        granted.fail(ConnectTrouble.closed)
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        granted.fail(ConnectTrouble(error))
        context.fireErrorCaught(error)
        context.close(promise: nil)
    }

    private func ask(_ context: ChannelHandlerContext) {
        guard !hasAsked else { return }
        hasAsked = true
        context.writeAndFlush(wrapOutboundOut(request), promise: nil)
    }

    /// Takes a whole head out of what has come, and returns its status.
    private func readHead() throws -> Int? {
        let end = gathered.readableBytesView.firstRange(of: "\r\n\r\n".utf8)
        guard let end, let head = gathered.readSlice(length: end.upperBound - gathered.readerIndex) else { return nil }
        var facts = AnswerFacts()
        guard head.readableBytes <= TunnelHandler.headMax, head.withUnsafeReadableBytes({ facts.read($0) }) else {
            throw ConnectTrouble.proxyUnreadable
        }
        return facts.status
    }
}
