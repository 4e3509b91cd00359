package import NIOCore
package import Vocabulary

/// Reads the header of the PROXY protocol, versions 1 and 2 (haproxy.org/download/3.2/doc/proxy-protocol.txt), by which a load balancer says
/// whose connection it brings.
package enum ProxyProtocol {
    package enum Reading: Equatable, Sendable {
        /// More bytes are needed.
        case incomplete
        /// Whole, in so many bytes; no address for a connection of the load balancer's own (`LOCAL`, `UNKNOWN`).
        case header(length: Int, client: IPAddress?)
        case invalid
    }

    private static let signature: [UInt8] = [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a]
    /// The longest line of version 1, its end included.
    private static let lineMaxBytes = 107
    /// Addresses and extensions of version 2 take less than this wherever they are used; the format would allow 65 535.
    private static let blockMaxBytes = 4096

    package static func read(_ bytes: ByteBufferView) -> Reading {
        guard let first = bytes.first else { return .incomplete }
        return first == signature[0] ? binary(bytes) : line(bytes)
    }

    private static func line(_ bytes: ByteBufferView) -> Reading {
        guard bytes.starts(with: "PROXY ".utf8.prefix(bytes.count)) else { return .invalid }
        guard let end = bytes.prefix(lineMaxBytes).firstIndex(of: 0x0a) else { return bytes.count < lineMaxBytes ? .incomplete : .invalid }
        let length = end - bytes.startIndex + 1
        guard length >= 2, bytes[end - 1] == 0x0d else { return .invalid }
        let words = String(decoding: bytes[bytes.startIndex..<(end - 1)], as: UTF8.self).split(separator: " ", omittingEmptySubsequences: false)
        guard words.count >= 2 else { return .invalid }
        if words[1] == "UNKNOWN" { return .header(length: length, client: nil) }
        guard words.count == 6, let source = IPAddress(String(words[2])), let target = IPAddress(String(words[3])), UInt16(words[4]) != nil,
            UInt16(words[5]) != nil, source.isIPv4 == target.isIPv4
        else { return .invalid }
        // `::ffff:a.b.c.d` in a TCP6 line is an IPv4 client of a socket for both.
        guard words[1] == "TCP6" || (words[1] == "TCP4" && source.isIPv4) else { return .invalid }
        return .header(length: length, client: source)
    }

    private static func binary(_ bytes: ByteBufferView) -> Reading {
        guard bytes.starts(with: signature.prefix(bytes.count)) else { return .invalid }
        guard bytes.count >= 16 else { return .incomplete }
        let start = bytes.startIndex
        let (command, family) = (bytes[start + 12], bytes[start + 13])
        let blockLength = Int(bytes[start + 14]) << 8 | Int(bytes[start + 15])
        guard command >> 4 == 2, command & 15 <= 1, blockLength <= blockMaxBytes else { return .invalid }
        let length = 16 + blockLength
        guard bytes.count >= length else { return .incomplete }
        guard command & 15 == 1 else { return .header(length: length, client: nil) }
        let block = bytes[(start + 16)..<(start + length)]
        switch family {
        case 0x11: return blockLength >= 12 ? .header(length: length, client: IPAddress(networkBytes: block.prefix(4))) : .invalid
        case 0x21: return blockLength >= 36 ? .header(length: length, client: IPAddress(networkBytes: block.prefix(16))) : .invalid
        // Unspecified, datagrams, sockets in the file system: a connection whose client has no address for us.
        default: return .header(length: length, client: nil)
        }
    }
}

/// Told to the lane when the load balancer has said whom it brings; the balancer's own connections bring nobody.
struct ProxiedClient {
    var address: IPAddress?
}

/// Takes the header of the PROXY protocol off a connection, then leaves the pipeline.
final class ProxyProtocolHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private let counters: EdgeCounters
    private var gathered = ByteBuffer()
    private var isRefused = false
    /// Whether the header has been read, and whether anything behind it was passed on since the last end of a read.
    private var isDone = false
    private var hasPassedOn = false

    init(counters: EdgeCounters) {
        self.counters = counters
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isRefused else { return }
        var bytes = unwrapInboundIn(data)
        guard !isDone else { return passOn(bytes, context) }
        gathered.writeBuffer(&bytes)
        switch ProxyProtocol.read(gathered.readableBytesView) {
        case .incomplete: return
        case .invalid:
            isRefused = true
            counters.count(EdgeCounters.Refused.proxyProtocol)
            context.close(promise: nil)
        case .header(let length, let client):
            isDone = true
            gathered.moveReaderIndex(forwardBy: length)
            let rest = gathered
            gathered = ByteBuffer()
            context.fireUserInboundEventTriggered(ProxiedClient(address: client))
            if rest.readableBytes > 0 { passOn(rest, context) }
        }
    }

    private func passOn(_ bytes: ByteBuffer, _ context: ChannelHandlerContext) {
        hasPassedOn = true
        context.fireChannelRead(wrapInboundOut(bytes))
    }

    /// A read that brought only the header is none for the lane, which would take it for the begin of a request.
    func channelReadComplete(context: ChannelHandlerContext) {
        if hasPassedOn { context.fireChannelReadComplete() }
        hasPassedOn = false
        if isDone { context.pipeline.syncOperations.removeHandler(context: context, promise: nil) }
    }
}
