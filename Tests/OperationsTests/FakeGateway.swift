import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization

/// A server that keeps what it is asked and answers each request alike.
final class FakeGateway: Sendable {
    /// One request, as it arrived.
    struct Request: Sendable {
        var method: String
        var uri: String
        var authorization: String
        var body: String
    }

    let port: Int
    private let channel: any Channel
    private let seen: RequestLog

    var requests: [Request] { seen.all }

    static func start(status: Int = 200, body: String = "{}") async throws -> FakeGateway {
        let seen = RequestLog()
        let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.configureHTTPServerPipeline()
                    try channel.pipeline.syncOperations.addHandler(Answering(status: status, body: body, seen: seen))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        return FakeGateway(channel: channel, port: channel.localAddress?.port ?? 0, seen: seen)
    }

    private init(channel: any Channel, port: Int, seen: RequestLog) {
        self.channel = channel
        self.port = port
        self.seen = seen
    }

    func stop() async throws {
        try await channel.close()
    }

    private final class RequestLog: Sendable {
        private let requests = Mutex<[Request]>([])

        var all: [Request] { requests.withLock { $0 } }

        func append(_ request: Request) { requests.withLock { $0.append(request) } }
    }

    private final class Answering: ChannelInboundHandler {
        typealias InboundIn = HTTPServerRequestPart
        typealias OutboundOut = HTTPServerResponsePart

        private let status: Int
        private let body: String
        private let seen: RequestLog
        private var request = Request(method: "", uri: "", authorization: "", body: "")

        init(status: Int, body: String, seen: RequestLog) {
            self.status = status
            self.body = body
            self.seen = seen
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            switch unwrapInboundIn(data) {
            case .head(let head):
                request = Request(
                    method: head.method.rawValue, uri: head.uri, authorization: head.headers.first(name: "authorization") ?? "", body: "")
            case .body(let part):
                request.body += String(buffer: part)
            case .end:
                seen.append(request)
                var head = HTTPResponseHead(version: .http1_1, status: HTTPResponseStatus(statusCode: status))
                head.headers.add(name: "content-length", value: String(body.utf8.count))
                context.write(wrapOutboundOut(.head(head)), promise: nil)
                context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(string: body)))), promise: nil)
                context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
            }
        }
    }
}
