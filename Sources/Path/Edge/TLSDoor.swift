import NIOCore

/// Stands before TLS and looks at the first byte: a client that speaks plain HTTP to a listener for TLS is told so and let go, without a
/// handshake that could only fail. Gone after that byte.
final class TLSDoor: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let counters: EdgeCounters
    private var isRefused = false

    /// The record type of a handshake (RFC 8446 §5.1).
    private static let handshake: UInt8 = 0x16

    init(counters: EdgeCounters) {
        self.counters = counters
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isRefused else { return }
        let bytes = unwrapInboundIn(data)
        guard let first = bytes.readableBytesView.first else { return }
        if first == TLSDoor.handshake {
            context.fireChannelRead(data)
            context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
            return
        }
        isRefused = true
        counters.count(.notTLS)
        // Letters are most likely a method of HTTP; anything else would not understand the answer.
        if (0x41...0x5a).contains(first) { context.writeAndFlush(wrapOutboundOut(TLSDoor.answer), promise: nil) }
        context.close(promise: nil)
    }

    private static let answer = ByteBuffer(
        string: {
            let body =
                #"{"error":{"message":"This port takes HTTPS only.","type":"invalid_request_error","param":null,"code":"https_required"}}"#
            return
                "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: \(body.utf8.count)\r\n\r\n\(body)"
        }())
}
