import NIOCore
import NIOPosix
import NIOSSL
internal import Vocabulary

/// One connection on its way to a provider: TCP, a proxy's consent, TLS, all within one limit of time. Confined to its loop.
final class Dialing {
    private let caller: UpstreamCaller
    private let pool: ProviderPool
    private let loop: any EventLoop
    private let tls: ProviderTLS
    private let done: (Result<UpstreamConnection, ConnectTrouble>) -> Void
    /// Of the pool as it was when this began: what a reload replaces meanwhile carries this one call and no other.
    private let generation: Int
    private var channel: (any Channel)?
    /// What is awaited on each channel. A name with several addresses is tried on several channels, and only the one that is chosen counts: the
    /// others are closed, and their ends are no news.
    private var awaited: [ObjectIdentifier: Awaited] = [:]
    private var limit: Scheduled<Void>?
    private var isOver = false

    private var provider: Provider { pool.provider }

    private init(
        _ pool: ProviderPool, tls: ProviderTLS, for caller: UpstreamCaller, on loop: any EventLoop,
        _ done: @escaping (Result<UpstreamConnection, ConnectTrouble>) -> Void
    ) {
        self.caller = caller
        self.pool = pool
        self.loop = loop
        self.tls = tls
        self.done = done
        generation = pool.generation
    }

    private enum Awaited {
        case tunnel(EventLoopFuture<Void>)
        case handshake(UpstreamConnection, EventLoopFuture<Void>)
        case nothing(UpstreamConnection)
    }

    /// Opens a connection that is ready for a request.
    ///
    /// - Parameter done: called once, on the loop; at once when nothing can even be tried.
    static func dial(
        _ pool: ProviderPool, for caller: UpstreamCaller, on loop: any EventLoop,
        _ done: @escaping (Result<UpstreamConnection, ConnectTrouble>) -> Void
    ) {
        do throws(CertificateFileError) {
            Dialing(pool, tls: try pool.tls(), for: caller, on: loop, done).start()
        } catch {
            done(.failure(.certificateFiles(error.description)))
        }
    }

    private func start() {
        let time = TimeAmount.milliseconds(provider.timeouts.connectMilliseconds)
        limit = loop.assumeIsolated().scheduleTask(in: time) { self.fail(.timeout) }
        if let proxy = provider.egress.proxy {
            // What the provider's name resolves to is the proxy's business; an address can be checked.
            if let address = GuardedResolver.numericAddress(provider.host), !provider.egress.addresses.allows(address) {
                return fail(.denied("\(address)"))
            }
            connect(host: proxy.host, port: proxy.port, time, rules: nil) { try self.addProxyHandlers(to: $0, proxy) }
        } else {
            connect(host: provider.host, port: provider.port, time, rules: provider.egress.addresses) { try self.addHandlers(to: $0) }
        }
    }

    private func connect(
        host: String, port: Int, _ time: TimeAmount, rules: AddressRules?, _ initializer: @escaping (any Channel) throws -> Void
    ) {
        let bound = NIOLoopBound(initializer, eventLoop: loop)
        ClientBootstrap(group: loop)
            .resolver(rules.map { GuardedResolver(rules: $0, loop: loop) })
            .connectTimeout(time)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelOption(.socketOption(.so_keepalive), value: 1)
            .channelInitializer { channel in channel.eventLoop.makeCompletedFuture { try bound.value(channel) } }
            .connect(host: host, port: port)
            .assumeIsolated()
            .whenComplete { result in
                switch result {
                case .success(let channel): self.connected(channel)
                case .failure(let error): self.fail(ConnectTrouble(error))
                }
            }
    }

    // MARK: Handlers, which stand there before the connection is made

    private func addHandlers(to channel: any Channel) throws {
        if let context = tls.provider { try addTLS(context, name: provider.egress.serverName ?? provider.host, to: channel) }
        try addConnection(to: channel)
    }

    private func addProxyHandlers(to channel: any Channel, _ proxy: OutboundProxy) throws {
        if let context = tls.proxy { try addTLS(context, name: proxy.host, to: channel) }
        guard tls.provider != nil else { return try addConnection(to: channel) }
        let granted = loop.makePromise(of: Void.self)
        try channel.pipeline.syncOperations.addHandler(
            TunnelHandler(request: connectRequest(proxy), waitsForTLS: tls.proxy != nil, granted: granted))
        awaited[ObjectIdentifier(channel)] = .tunnel(granted.futureResult)
    }

    private func addConnection(to channel: any Channel) throws {
        let connection = UpstreamConnection(caller: caller, pool: pool, generation: generation)
        let isEncrypted = tls.provider != nil || tls.proxy != nil
        awaited[ObjectIdentifier(channel)] = isEncrypted ? .handshake(connection, connection.handshakeEnd(on: loop)) : .nothing(connection)
        try channel.pipeline.syncOperations.addHandler(connection)
    }

    private func addTLS(_ context: NIOSSLContext, name: String, to channel: any Channel) throws {
        let serverHostname = isNumeric(name) ? nil : name
        let handler: NIOSSLClientHandler
        if context === tls.provider, provider.isAddressBehindProxy {
            let wanted = IPAddress(provider.host)
            handler = try ._makeSSLClientHandler(context: context, serverHostname: nil) { certificate, channel in
                channel.eventLoop.makeCompletedFuture {
                    guard let wanted, certificate.bears(wanted) else { throw ConnectTrouble.tls("the certificate is for another address") }
                }
            }
        } else {
            handler = try NIOSSLClientHandler(context: context, serverHostname: serverHostname)
        }
        try channel.pipeline.syncOperations.addHandler(handler)
    }

    // MARK: The way

    private func connected(_ channel: any Channel) {
        guard !isOver else {
            channel.close(promise: nil)
            return
        }
        self.channel = channel
        watch(channel)
    }

    private func watch(_ channel: any Channel) {
        switch awaited[ObjectIdentifier(channel)] {
        case .tunnel(let granted):
            granted.assumeIsolated().whenComplete { result in
                switch result {
                case .success: self.tunnelOpened(channel)
                case .failure(let error): self.fail(ConnectTrouble(error))
                }
            }
        case .handshake(let connection, let end):
            end.assumeIsolated().whenComplete { result in
                switch result {
                case .success: self.finish(connection)
                case .failure(let error): self.fail(ConnectTrouble(error))
                }
            }
        case .nothing(let connection): finish(connection)
        case nil: fail(.closed)
        }
    }

    private func tunnelOpened(_ channel: any Channel) {
        guard !isOver else { return }
        do {
            guard let context = tls.provider else { return }
            // A handler that is added to an open connection starts its handshake at once.
            try addTLS(context, name: provider.egress.serverName ?? provider.host, to: channel)
            try addConnection(to: channel)
            watch(channel)
        } catch {
            fail(ConnectTrouble(error))
        }
    }

    private func connectRequest(_ proxy: OutboundProxy) -> ByteBuffer {
        let host = provider.host.contains(":") ? "[\(provider.host)]" : provider.host
        var head = "CONNECT \(host):\(provider.port) HTTP/1.1\r\nhost: \(host):\(provider.port)\r\n"
        if let authorization = proxy.authorization { head += "proxy-authorization: \(authorization)\r\n" }
        return ByteBuffer(string: head + "user-agent: martlet/\(MartletVersion.current)\r\n\r\n")
    }

    private func finish(_ connection: UpstreamConnection) {
        guard !isOver else { return connection.abandon() }
        end()
        done(.success(connection))
    }

    private func fail(_ trouble: ConnectTrouble) {
        guard !isOver else { return }
        end()
        channel?.close(promise: nil)
        done(.failure(trouble))
    }

    private func end() {
        isOver = true
        limit?.cancel()
        awaited.removeAll()
    }
}

extension NIOSSLCertificate {
    /// Whether one of the certificate's alternative names is this address (RFC 9110 §4.3.5).
    fileprivate func bears(_ address: IPAddress) -> Bool {
        _subjectAlternativeNames().contains { name in
            name.nameType == .ipAddress && IPAddress(networkBytes: Array(name.contents)) == address
        }
    }
}
