package import Contracts
package import NIOCore
internal import NIOPosix
internal import NIOSSL
internal import Vocabulary

/// Reaches providers from one loop, over connections that it keeps for the next call. Confined to its loop.
package final class UpstreamCaller: UpstreamCalling {
    let shared: UpstreamShared
    private let loop: any EventLoop
    private var pools: [ObjectIdentifier: ProviderPool] = [:]
    /// The pool that was used last: most calls in a row go to the same provider.
    private var lastPool: ProviderPool?
    private var idleCount = 0
    private var sweep: RepeatedTask?
    private var isShutDown = false

    /// Some servers close an idle connection after five seconds; one that is younger is most likely still open.
    private static let idleMax = TimeAmount.seconds(4)
    /// After that a connection is made anew, so that a changed DNS record is followed.
    private static let ageMax = TimeAmount.minutes(5)
    /// Bodies up to here are copied behind the head, which is cheaper than a second piece in the write.
    private static let copyMax = 16 * 1024

    package init(loop: any EventLoop, shared: UpstreamShared) {
        self.loop = loop
        self.shared = shared
    }

    package func start(_ order: UpstreamOrder, for listener: any UpstreamListener) -> any UpstreamAttempt {
        let pool = pool(of: order.provider)
        let permits = pool.permits
        let attempt = Attempt(order: order, listener: listener, permits: permits)
        if permits.takeNow() {
            attempt.permitGranted()
            connect(attempt, pool)
            return attempt
        }
        let bound = NIOLoopBound((self, attempt), eventLoop: loop)
        switch permits.take(
            on: loop,
            wake: {
                let (caller, attempt) = bound.value
                caller.permitCame(attempt, permits)
            })
        {
        case .granted:
            attempt.permitGranted()
            connect(attempt, pool)
        case .waiting(let ticket): attempt.queued(ticket: ticket)
        case .full: loop.assumeIsolated().execute { attempt.failed(.queueFull) }
        }
        return attempt
    }

    private func permitCame(_ attempt: Attempt, _ permits: PermitPool) {
        if attempt.isOver {
            permits.giveBack()
            return
        }
        attempt.permitGranted()
        connect(attempt, pool(of: attempt.order.provider))
    }

    private func pool(of provider: Provider) -> ProviderPool {
        if let lastPool, lastPool.provider === provider { return lastPool }
        let key = ObjectIdentifier(provider)
        let pool = pools[key] ?? ProviderPool(provider: provider, permits: shared.permits(of: provider))
        pools[key] = pool
        lastPool = pool
        return pool
    }

    // MARK: Connections

    private func connect(_ attempt: Attempt, _ pool: ProviderPool) {
        let provider = attempt.order.provider
        if !attempt.order.needsFreshConnection {
            while let connection = pool.idle.popLast() {
                idleCount -= 1
                guard connection.isUsable, NIODeadline.now() - connection.idleSince < UpstreamCaller.idleMax else {
                    connection.abandon()
                    continue
                }
                attempt.run(on: connection, request: request(attempt.order))
                return
            }
        }
        do {
            let tls = provider.isTLS ? try shared.tlsContext(of: provider) : nil
            open(provider, pool, tls: tls, for: attempt)
        } catch {
            loop.assumeIsolated().execute { attempt.failed(.unreachable) }
        }
    }

    private func open(_ provider: Provider, _ pool: ProviderPool, tls: NIOSSLContext?, for attempt: Attempt) {
        let bound = NIOLoopBound((self, pool), eventLoop: loop)
        let host = provider.host
        ClientBootstrap(group: loop)
            .connectTimeout(.milliseconds(provider.timeouts.connectMilliseconds))
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelOption(.socketOption(.so_keepalive), value: 1)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    if let tls {
                        // Server Name Indication takes names only; an address goes without.
                        let name = host.contains(":") || host.allSatisfy { $0.isNumber || $0 == "." } ? nil : host
                        try channel.pipeline.syncOperations.addHandler(NIOSSLClientHandler(context: tls, serverHostname: name))
                    }
                    let (caller, pool) = bound.value
                    try channel.pipeline.syncOperations.addHandler(UpstreamConnection(caller: caller, pool: pool))
                }
            }
            .connect(host: host, port: provider.port)
            .assumeIsolated()
            .whenComplete { result in
                guard let channel = try? result.get(),
                    let connection = try? channel.pipeline.syncOperations.handler(type: UpstreamConnection.self)
                else {
                    if !attempt.isOver { attempt.failed(.unreachable) }
                    return
                }
                guard tls != nil else {
                    self.opened(connection, for: attempt)
                    return
                }
                self.awaitHandshake(connection, channel, for: attempt)
            }
    }

    /// The time to connect covers TLS too: a server that accepts and then says nothing is one that cannot be reached.
    private func awaitHandshake(_ connection: UpstreamConnection, _ channel: any Channel, for attempt: Attempt) {
        let limit = TimeAmount.milliseconds(attempt.order.provider.timeouts.connectMilliseconds)
        let timer = loop.scheduleTask(in: limit) { channel.close(promise: nil) }
        connection.handshakeEnd(on: loop).assumeIsolated().whenComplete { result in
            timer.cancel()
            switch result {
            case .success: self.opened(connection, for: attempt)
            case .failure: if !attempt.isOver { attempt.failed(.unreachable) }
            }
        }
    }

    private func opened(_ connection: UpstreamConnection, for attempt: Attempt) {
        if attempt.isOver {
            keep(connection)
        } else {
            attempt.run(on: connection, request: request(attempt.order))
        }
    }

    /// Takes a connection back for the next call.
    func keep(_ connection: UpstreamConnection) {
        guard !isShutDown, NIODeadline.now() - connection.openedAt < UpstreamCaller.ageMax else {
            connection.abandon()
            return
        }
        connection.becameIdle()
        connection.pool.idle.append(connection)
        idleCount += 1
        if sweep == nil {
            let bound = NIOLoopBound(self, eventLoop: loop)
            sweep = loop.scheduleRepeatedTask(initialDelay: .seconds(1), delay: .seconds(1)) { _ in bound.value.sweepIdle() }
        }
    }

    /// A connection has ended by itself.
    func forget(_ connection: UpstreamConnection) {
        guard let index = connection.pool.idle.firstIndex(where: { $0 === connection }) else { return }
        connection.pool.idle.remove(at: index)
        idleCount -= 1
    }

    private func sweepIdle() {
        let now = NIODeadline.now()
        for pool in pools.values {
            // The oldest stand first, since the last one back is the first one out.
            let stale = pool.idle.prefix { now - $0.idleSince >= UpstreamCaller.idleMax }
            guard !stale.isEmpty else { continue }
            pool.idle.removeFirst(stale.count)
            idleCount -= stale.count
            for connection in stale { connection.abandon() }
        }
        if idleCount == 0 {
            sweep?.cancel()
            sweep = nil
        }
    }

    /// Closes what is idle; running calls go on.
    package func shutdown() {
        isShutDown = true
        sweep?.cancel()
        sweep = nil
        for pool in pools.values {
            for connection in pool.idle { connection.abandon() }
            pool.idle.removeAll()
        }
        idleCount = 0
    }

    // MARK: The request's bytes

    private func request(_ order: UpstreamOrder) -> [ByteBuffer] {
        let length = order.body.reduce(0) { $0 + $1.readableBytes }
        let head = order.provider.requestHeads[Int(order.endpoint.rawValue)]
        let isSmall = length <= UpstreamCaller.copyMax
        var first = ByteBufferAllocator().buffer(capacity: head.count + order.extraHeaders.readableBytes + 64 + (isSmall ? length : 0))
        first.writeBytes(head)
        first.writeImmutableBuffer(order.extraHeaders)
        first.writeStaticString("content-length: ")
        first.writeString(String(length))
        first.writeStaticString("\r\n\r\n")
        guard isSmall else { return [first] + order.body }
        for part in order.body { first.writeImmutableBuffer(part) }
        return [first]
    }
}
