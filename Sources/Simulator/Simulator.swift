import Foundation
import NIOConcurrencyHelpers
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL

/// Why a simulator could not start, in words for a person.
package struct SimulatorError: Error, CustomStringConvertible {
    /// What is wrong and with what.
    package var description: String
}

/// A model provider that answers without a model: OpenAI's API over HTTP, seeded answers, and faults on demand.
///
/// `start` once, `shutdown` once; several simulators can live in one process.
package final class Simulator: Sendable {
    private struct Running {
        var group: MultiThreadedEventLoopGroup
        var channel: any Channel
    }

    private let options: SimulatorOptions
    private let responder: Responder
    private let running = NIOLockedValueBox<Running?>(nil)

    /// Opens nothing yet.
    package init(_ options: SimulatorOptions = SimulatorOptions()) {
        self.options = options
        responder = Responder(options)
    }

    /// Starts to listen.
    ///
    /// - Returns: the port, which matters when the options' port is 0.
    /// - Throws: `SimulatorError`: options out of range, address in use, unusable certificate.
    @discardableResult
    package func start() async throws -> Int {
        if let problem = options.problem { throw SimulatorError(description: problem) }
        ignoreBrokenPipes()
        try readScript()
        let tls = try tlsContext()
        let group = MultiThreadedEventLoopGroup(numberOfThreads: options.loops ?? System.coreCount)
        do {
            let channel = try await bootstrap(group, tls).bind(host: options.host, port: options.port).get()
            running.withLockedValue { $0 = Running(group: group, channel: channel) }
            return channel.localAddress?.port ?? options.port
        } catch {
            try? await group.shutdownGracefully()
            throw SimulatorError(description: "cannot listen on \(options.host):\(options.port): \(Self.reason(error))")
        }
    }

    /// Reads the script's file and puts it in force for calls from now on.
    ///
    /// - Throws: `SimulatorError` with every mistake; what was in force stays.
    package func readScript() throws {
        guard let file = options.scriptFile else { return }
        let text: String
        do { text = try String(contentsOfFile: file, encoding: .utf8) } catch {
            throw SimulatorError(description: "cannot read the script \(file): there is no such file, or it is no UTF-8")
        }
        do throws(ScriptError) { responder.use(try Script(text, file: file)) } catch { throw SimulatorError(description: error.description) }
    }

    /// Closes every connection, in the middle of answers too, and returns when all is closed.
    package func shutdown() async {
        let stopped = running.withLockedValue { state in
            defer { state = nil }
            return state
        }
        guard let stopped else { return }
        try? await stopped.channel.close()
        // Only a second shutdown of the same group throws, and the group was taken out above.
        try? await stopped.group.shutdownGracefully()
    }

    private func bootstrap(_ group: MultiThreadedEventLoopGroup, _ tls: NIOSSLContext?) -> ServerBootstrap {
        let responder = responder
        return ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 1024)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            // A request is one read; a second one would only find nothing, and large bodies come back by the next readiness.
            .childChannelOption(.maxMessagesPerRead, value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    if let tls { try pipeline.addHandler(NIOSSLServerHandler(context: tls)) }
                    // The decoder alone: answers are written as bytes, so NIO's encoder and pipelining handler would only cost time.
                    try pipeline.addHandler(ByteToMessageHandler(HTTPRequestDecoder(leftOverBytesStrategy: .dropBytes)))
                    try pipeline.addHandler(SimulatorHandler(responder))
                }
            }
    }

    private func tlsContext() throws -> NIOSSLContext? {
        guard let tls = options.tls else { return nil }
        do {
            let chain = try NIOSSLCertificate.fromPEMFile(tls.certificateFile).map { NIOSSLCertificateSource.certificate($0) }
            let key = try NIOSSLPrivateKey(file: tls.keyFile, format: .pem)
            var configuration = TLSConfiguration.makeServerConfiguration(certificateChain: chain, privateKey: .privateKey(key))
            configuration.applicationProtocols = ["http/1.1"]
            return try NIOSSLContext(configuration: configuration)
        } catch {
            throw SimulatorError(description: "cannot use \(tls.certificateFile) with \(tls.keyFile) for TLS: \(error)")
        }
    }

    private static func reason(_ error: any Error) -> String {
        guard let error = error as? IOError else { return "\(error)" }
        return switch error.errnoCode {
        case addressInUse: "the port is in use"
        case accessDenied: "permission denied"
        default: "\(error)"
        }
    }
}
