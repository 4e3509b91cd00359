import NIOCore
import NIOPosix
import NIOSSL
import NIOTLS

/// Shakes hands with a server to see its certificate.
enum TLSProbe {
    struct NoCertificate: Error, CustomStringConvertible {
        let description = "the server closed the connection during the handshake"
    }

    /// - Returns: the certificate, after it has been verified.
    static func certificate(
        of place: (host: String, port: Int), context: NIOSSLContext, serverName: String, timeout: TimeAmount
    ) async throws -> NIOSSLCertificate {
        let group = MultiThreadedEventLoopGroup.singleton
        let shaken = group.next().makePromise(of: NIOSSLCertificate.self)
        let timer = group.next().scheduleTask(in: timeout) { shaken.fail(ChannelError.connectTimeout(timeout)) }
        let isAddress = serverName.contains(":") || serverName.allSatisfy { $0.isNumber || $0 == "." }
        let connecting = ClientBootstrap(group: group)
            .connectTimeout(timeout)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    // An address is no name to ask for; it is verified all the same.
                    let tls = try NIOSSLClientHandler(context: context, serverHostname: isAddress ? nil : serverName)
                    try channel.pipeline.syncOperations.addHandlers(tls, Watcher(shaken))
                }
            }
            .connect(host: place.host, port: place.port)
        connecting.whenFailure { shaken.fail($0) }
        defer {
            timer.cancel()
            connecting.whenSuccess { $0.close(promise: nil) }
        }
        return try await shaken.futureResult.get()
    }

    private final class Watcher: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer

        private let shaken: EventLoopPromise<NIOSSLCertificate>

        init(_ shaken: EventLoopPromise<NIOSSLCertificate>) {
            self.shaken = shaken
        }

        func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
            guard case TLSUserEvent.handshakeCompleted = event else { return }
            do {
                guard let certificate = try context.pipeline.syncOperations.nioSSL_peerCertificate() else { throw NoCertificate() }
                shaken.succeed(certificate)
            } catch {
                shaken.fail(error)
            }
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) {
            shaken.fail(error)
            context.close(promise: nil)
        }

        func channelInactive(context: ChannelHandlerContext) {
            shaken.fail(NoCertificate())
        }
    }
}
