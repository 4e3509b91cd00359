import Glibc
package import NIOCore
package import NIOPosix
internal import NIOSSL

/// Accepts connections and puts a lane behind each.
package final class Listener: Sendable {
    /// Where a listener listens.
    package enum Place: Sendable, Hashable {
        case tcp(host: String, port: Int)
        /// A socket in the file system; whoever may write to the file may connect.
        case unix(path: String, mode: UInt32)
    }

    /// What a listener does to its connections before the first request.
    package struct Options: Sendable {
        /// `nil` for plain HTTP.
        package var tls: ServerTLS?
        /// Whether every connection begins with a header of the PROXY protocol.
        package var readsProxyProtocol: Bool
        package var counters: EdgeCounters
        /// Told that connections cannot be accepted for now, with the reason; at most every ten seconds.
        package var onAcceptError: @Sendable (String) -> Void

        package init(
            tls: ServerTLS? = nil, readsProxyProtocol: Bool = false, counters: EdgeCounters = EdgeCounters(),
            onAcceptError: @escaping @Sendable (String) -> Void = { _ in }
        ) {
            self.tls = tls
            self.readsProxyProtocol = readsProxyProtocol
            self.counters = counters
            self.onAcceptError = onAcceptError
        }
    }

    private let channel: any Channel
    private let socket: UnixSocket?

    /// The real port when 0 was asked for; 0 for a socket in the file system.
    package var port: Int { channel.localAddress?.port ?? 0 }

    private init(channel: any Channel, socket: UnixSocket?) {
        self.channel = channel
        self.socket = socket
    }

    /// Binds and begins to accept.
    ///
    /// - Parameter loops: by the identity of its event loop, what the lanes of a loop share.
    /// - Throws: ``ListenError`` when the place cannot be taken.
    package static func bind(
        _ place: Place, group: MultiThreadedEventLoopGroup, loops: LaneLoops, options: Options = Options()
    ) async throws(ListenError) -> Listener {
        let isUnix = if case .unix = place { true } else { false }
        let entry = Lane.Entry(isUnix: isUnix, isTLS: options.tls != nil && !isUnix, isProxied: options.readsProxyProtocol && !isUnix)
        var bootstrap = ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: backlog)
            .serverChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(
                        AcceptPauseHandler(counters: options.counters, report: options.onAcceptError))
                }
            }
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            // Small, since each of a thousand slow readers may make us keep that much.
            .childChannelOption(.writeBufferWaterMark, value: ChannelOptions.Types.WriteBufferWaterMark(low: 16 << 10, high: 64 << 10))
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    if entry.isProxied { try pipeline.addHandler(ProxyProtocolHandler(counters: options.counters)) }
                    if entry.isTLS, let tls = options.tls {
                        try pipeline.addHandlers(TLSDoor(counters: options.counters), NIOSSLServerHandler(context: tls.context))
                    }
                    try pipeline.addHandler(Lane(loop: loops.loop(of: channel.eventLoop), entry: entry))
                }
            }
        if !isUnix {
            bootstrap =
                bootstrap
                .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
                .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
                // Not the megabytes that the kernel would grow to: a client that stops reading must be seen, and its stream paused, soon.
                .childChannelOption(.socketOption(.so_sndbuf), value: 512 << 10)
                // Of that, no more than this may wait to be sent: what a client does not take stays with the provider, not in the kernel.
                .childChannelOption(.tcpOption(NIOBSDSocket.Option(rawValue: TCP_NOTSENT_LOWAT)), value: 128 << 10)
        }
        return try await bind(bootstrap, place)
    }

    private static func bind(_ bootstrap: ServerBootstrap, _ place: Place) async throws(ListenError) -> Listener {
        switch place {
        case .tcp(let host, let port):
            do {
                return Listener(channel: try await bootstrap.bind(host: host, port: port).get(), socket: nil)
            } catch {
                throw ListenError(reason: (error as? IOError).map { String(cString: strerror($0.errnoCode)) } ?? "\(error)")
            }
        case .unix(let path, let mode):
            let socket: UnixSocket
            do throws(UnixSocketError) {
                socket = try UnixSocket.bind(path, mode: mode)
            } catch {
                throw ListenError(reason: error.description)
            }
            do {
                let channel = try await bootstrap.withBoundSocket(socket.descriptor).get()
                // NIO has begun to listen with a queue of its own length; asking again sets ours.
                listen(socket.descriptor, backlog)
                return Listener(channel: channel, socket: socket)
            } catch {
                socket.remove()
                throw ListenError(reason: "\(error)")
            }
        }
    }

    private static let backlog: CInt = 1024

    /// Accepts no more; what has been accepted goes on.
    package func close() async {
        socket?.remove()
        try? await channel.close().get()
    }
}

/// Why nothing listens at a place, in words for an operator.
package struct ListenError: Error, CustomStringConvertible {
    package let reason: String
    package var description: String { reason }
}

/// Pauses a listener that cannot accept, for lack of files mostly, counts that and tells of it now and then.
///
/// The connection that could not be accepted is still there, so the loop would be woken for it again and again. NIO's own handler for this
/// holds back the next read only, not the one that has failed, and that one is repeated.
private final class AcceptPauseHandler: ChannelInboundHandler {
    typealias InboundIn = Channel

    private let counters: EdgeCounters
    private let report: @Sendable (String) -> Void
    private var reportedAt: NIODeadline?
    private var isPaused = false

    private static let pause = TimeAmount.milliseconds(500)
    private static let reportInterval = TimeAmount.seconds(10)

    init(counters: EdgeCounters, report: @escaping @Sendable (String) -> Void) {
        self.counters = counters
        self.report = report
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard let error = error as? IOError else { return context.fireErrorCaught(error) }
        counters.countAcceptError()
        let now = NIODeadline.now()
        if reportedAt.map({ now - $0 > AcceptPauseHandler.reportInterval }) ?? true {
            reportedAt = now
            report(String(cString: strerror(error.errnoCode)))
        }
        guard !isPaused else { return }
        isPaused = true
        accepts(false, context)
        context.eventLoop.assumeIsolated().scheduleTask(in: AcceptPauseHandler.pause) {
            self.isPaused = false
            self.accepts(true, context)
        }
    }

    private func accepts(_ isOn: Bool, _ context: ChannelHandlerContext) {
        // Fails on a listener that has been closed, which accepts nothing in any case.
        try? context.channel.syncOptions?.setOption(.autoRead, value: isOn)
    }
}

/// The lane loops of a group, each to be used on its own loop only.
package final class LaneLoops: Sendable {
    private let loops: [ObjectIdentifier: NIOLoopBound<LaneLoop>]

    package init(_ loops: [NIOLoopBound<LaneLoop>]) {
        self.loops = Dictionary(uniqueKeysWithValues: loops.map { (ObjectIdentifier($0.eventLoop), $0) })
    }

    func loop(of eventLoop: any EventLoop) throws -> LaneLoop {
        guard let found = loops[ObjectIdentifier(eventLoop)] else { throw ChannelError.inappropriateOperationForState }
        return found.value
    }
}
