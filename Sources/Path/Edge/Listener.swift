package import NIOCore
import NIOHTTP1
package import NIOPosix

/// A public listener: accepts connections and puts a lane behind each.
package final class Listener: Sendable {
    private let channel: any Channel

    /// Where it listens; the real port when 0 was asked for.
    package var port: Int { channel.localAddress?.port ?? 0 }

    private init(channel: any Channel) {
        self.channel = channel
    }

    /// Binds and begins to accept.
    ///
    /// - Parameter loops: by the identity of its event loop, what the lanes of a loop share.
    /// - Throws: when the address cannot be bound.
    package static func bind(host: String, port: Int, group: MultiThreadedEventLoopGroup, loops: LaneLoops) async throws -> Listener {
        let channel = try await ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 1024)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            // Not the megabytes that the kernel would grow to: a client that stops reading must be seen, and its stream paused, soon.
            .childChannelOption(.socketOption(.so_sndbuf), value: 512 << 10)
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .childChannelOption(.writeBufferWaterMark, value: ChannelOptions.Types.WriteBufferWaterMark(low: 64 << 10, high: 256 << 10))
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    try pipeline.addHandler(ByteToMessageHandler(HTTPRequestDecoder(leftOverBytesStrategy: .dropBytes)))
                    try pipeline.addHandler(Lane(loop: loops.loop(of: channel.eventLoop)))
                }
            }
            .bind(host: host, port: port)
            .get()
        return Listener(channel: channel)
    }

    /// Accepts no more; what has been accepted goes on.
    package func close() async {
        try? await channel.close().get()
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
