import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import Synchronization

/// One connection to a gateway, on which several things can be asked.
///
/// One, not one a request: what is found out about the other end holds for everything that is said on it afterwards.
final class GatewayConnection: Sendable {
    /// What the other end of an encrypted connection has to show.
    enum Proof: Sendable {
        /// Nothing; whether it shows one of these certificates is told.
        case none(expected: [NIOSSLCertificate])
        /// A certificate for the host, signed by an authority that is trusted; without it, nothing is answered.
        case full(TLSConfiguration, host: String)
    }

    struct Answer: Sendable {
        var status: Int
        var body: [UInt8]
    }

    private struct Refused: Error {}

    let channel: any Channel
    private let asker: NIOLoopBound<Asker>
    private let seen: Seen

    /// Whether the other end holds the key of a certificate that was expected, as far as is known when it has answered.
    var showedExpected: Bool { seen.isExpected.load(ordering: .acquiring) }

    private final class Seen: Sendable {
        let isExpected = Atomic(false)
    }

    /// How long connecting takes at most, and then each answer.
    private static let patience = TimeAmount.seconds(3)
    private static let answerMaxBytes = 1 << 20

    private init(channel: any Channel, asker: NIOLoopBound<Asker>, seen: Seen) {
        self.channel = channel
        self.asker = asker
        self.seen = seen
    }

    /// - Parameter proof: `nil` without TLS.
    /// - Throws: when nobody can be reached there; a handshake that fails is found by the first request.
    static func open(host: String, port: Int, proof: Proof?) async throws -> GatewayConnection {
        try await open(proof: proof) { try await $0.connect(host: host, port: port).get() }
    }

    /// - Throws: when nobody listens on that socket.
    static func open(unixSocket path: String) async throws -> GatewayConnection {
        try await open(proof: nil) { try await $0.connect(unixDomainSocketPath: path).get() }
    }

    private static func open(proof: Proof?, connect: (ClientBootstrap) async throws -> any Channel) async throws -> GatewayConnection {
        let seen = Seen()
        let bootstrap = ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .connectTimeout(patience)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    if let proof { try pipeline.addHandler(handshake(proof, seen)) }
                    try pipeline.addHTTPClientHandlers()
                    try pipeline.addHandler(Asker(answerMaxBytes))
                }
            }
        let channel = try await connect(bootstrap)
        let asker = try await channel.eventLoop.submit {
            NIOLoopBound(try channel.pipeline.syncOperations.handler(type: Asker.self), eventLoop: channel.eventLoop)
        }.get()
        return GatewayConnection(channel: channel, asker: asker, seen: seen)
    }

    private static func handshake(_ proof: Proof, _ seen: Seen) throws -> NIOSSLClientHandler {
        switch proof {
        case .full(let configuration, let host):
            let isAddress = (try? SocketAddress(ipAddress: host, port: 0)) != nil
            return try NIOSSLClientHandler(context: NIOSSLContext(configuration: configuration), serverHostname: isAddress ? nil : host)
        case .none(let expected):
            var configuration = TLSConfiguration.makeClientConfiguration()
            // The certificate is for the name that others call it by; the callback looks at it.
            configuration.certificateVerification = .noHostnameVerification
            return try NIOSSLClientHandler(
                context: NIOSSLContext(configuration: configuration), serverHostname: nil,
                customVerificationCallback: { certificates, verdict in
                    // The first is the one whose key the handshake proves.
                    if let first = certificates.first, expected.contains(first) { seen.isExpected.store(true, ordering: .releasing) }
                    verdict.succeed(.certificateVerified)
                })
        }
    }

    /// Asks, after the answer before.
    ///
    /// - Returns: `nil` when no answer comes, or none that is HTTP.
    func get(_ path: String, key: String? = nil) async -> Answer? {
        let loop = channel.eventLoop
        let answered = loop.makePromise(of: Answer.self)
        loop.execute { [channel, asker] in
            let timer = loop.scheduleTask(in: GatewayConnection.patience) { answered.fail(Refused()) }
            answered.futureResult.whenComplete { _ in timer.cancel() }
            asker.value.ask(path, key: key, on: channel, answered)
        }
        return try? await answered.futureResult.get()
    }

    func close() async {
        // It may be closed by now, which is all that is wanted.
        try? await channel.close()
    }

    /// Writes requests and gathers their answers, one at a time.
    private final class Asker: ChannelInboundHandler {
        typealias InboundIn = HTTPClientResponsePart

        private let answerMaxBytes: Int
        private var waiting: EventLoopPromise<Answer>?
        private var answer = Answer(status: 0, body: [])
        private var isOver = false

        init(_ answerMaxBytes: Int) {
            self.answerMaxBytes = answerMaxBytes
        }

        func ask(_ path: String, key: String?, on channel: any Channel, _ promise: EventLoopPromise<Answer>) {
            guard !isOver, waiting == nil else { return promise.fail(Refused()) }
            waiting = promise
            var head = HTTPRequestHead(version: .http1_1, method: .GET, uri: path)
            head.headers.add(name: "host", value: "localhost")
            head.headers.add(name: "user-agent", value: "martlet-doctor")
            if let key { head.headers.add(name: "authorization", value: "Bearer \(key)") }
            channel.write(HTTPClientRequestPart.head(head), promise: nil)
            channel.writeAndFlush(HTTPClientRequestPart.end(nil), promise: nil)
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            switch unwrapInboundIn(data) {
            case .head(let head): answer = Answer(status: Int(head.status.code), body: [])
            case .body(let bytes):
                answer.body += bytes.readableBytesView
                if answer.body.count > answerMaxBytes { context.close(promise: nil) }
            case .end:
                waiting?.succeed(answer)
                waiting = nil
            }
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) {
            end()
            context.close(promise: nil)
        }

        func channelInactive(context: ChannelHandlerContext) { end() }

        private func end() {
            isOver = true
            waiting?.fail(Refused())
            waiting = nil
        }
    }
}
