package import Contracts
package import NIOCore
package import Vocabulary

/// Reaches providers from one loop, over connections that it keeps for the next call. Confined to its loop.
package final class UpstreamCaller: UpstreamCalling {
    let shared: UpstreamShared
    private let loop: any EventLoop
    private var pools: [ObjectIdentifier: ProviderPool] = [:]
    /// The pool that was used last: most calls in a row go to the same provider.
    private var lastPool: ProviderPool?
    /// The providers in force since the last reload; `nil` before the first.
    private var retained: [Provider]?
    private var idleCount = 0
    private var sweep: RepeatedTask?
    private var isShutDown = false

    /// How long a connection may wait for a call.
    private let idleMax: TimeAmount
    /// After that a connection is made anew, so that a changed DNS record is followed.
    private static let ageMax = TimeAmount.minutes(5)
    /// Bodies up to here are copied behind the head, which is cheaper than a second piece in the write.
    private static let copyMax = 16 * 1024

    /// - Parameter idleMax: some servers close an idle connection after five seconds; one that is younger is most likely still open.
    package init(loop: any EventLoop, shared: UpstreamShared, idleMax: TimeAmount = .seconds(4)) {
        self.loop = loop
        self.shared = shared
        self.idleMax = idleMax
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
        if let known = pools[key] {
            lastPool = known
            return known
        }
        // A call that began before a reload may still need a provider that has left; nothing is kept for it, so nothing stays behind.
        let isRetired = retained.map { !$0.contains { $0 === provider } } ?? false
        let pool = ProviderPool(provider: provider, shared: shared, isRetired: isRetired)
        guard !isRetired else { return pool }
        pools[key] = pool
        lastPool = pool
        return pool
    }

    // MARK: Reload

    /// Keeps pools only for these providers, the very objects, and takes the certificates that ``UpstreamShared/adopt(_:)`` has put in force.
    /// Idle connections to others are closed; calls that run at them end in peace, and their connections with them.
    package func retain(only providers: [Provider]) {
        retained = providers
        lastPool = nil
        for (key, pool) in pools {
            if providers.contains(where: { $0 === pool.provider }) {
                let before = pool.generation
                pool.refreshTLS()
                if pool.generation == before { continue }
            } else {
                pools[key] = nil
                pool.outdate()
            }
            idleCount -= pool.idle.count
            for connection in pool.idle { connection.abandon() }
            pool.idle.removeAll()
        }
    }

    /// How many providers this loop keeps connections for.
    package var poolCount: Int { pools.count }

    // MARK: Connections

    private func connect(_ attempt: Attempt, _ pool: ProviderPool) {
        let provider = attempt.order.provider
        if !attempt.order.needsFreshConnection {
            while let connection = pool.idle.popLast() {
                idleCount -= 1
                guard connection.isUsable, NIODeadline.now() - connection.idleSince < idleMax else {
                    connection.abandon()
                    continue
                }
                attempt.run(on: connection, request: request(attempt.order))
                return
            }
        }
        Dialing.dial(pool, for: self, on: loop) { result in
            switch result {
            case .success(let connection): self.opened(connection, for: attempt)
            case .failure(let trouble):
                self.shared.report(trouble, of: provider)
                guard !attempt.isOver else { return }
                // A dial that fails at once must not be told from within the call that ordered it.
                self.loop.assumeIsolated().execute { if !attempt.isOver { attempt.failed(.unreachable) } }
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
        let pool = connection.pool
        let now = NIODeadline.now()
        guard !isShutDown, !pool.isRetired, connection.generation == pool.generation, now - connection.openedAt < UpstreamCaller.ageMax
        else {
            connection.abandon()
            return
        }
        connection.becameIdle(at: now)
        pool.idle.append(connection)
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
            let stale = pool.idle.prefix { now - $0.idleSince >= idleMax }
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

    private func request(_ order: UpstreamOrder) -> UpstreamRequest {
        var length = 0
        for part in order.body { length += part.readableBytes }
        let head = order.provider.requestHeads[Int(order.endpoint.rawValue)]
        let isSmall = length <= UpstreamCaller.copyMax
        // 64 bytes hold the names of two headers, the ends of their lines, the empty line and any number.
        let size = head.count + order.extraHeaders.readableBytes + order.requestID.utf8.count + 64 + (isSmall ? length : 0)
        var first = ByteBufferAllocator().buffer(capacity: size)
        first.writeWithUnsafeMutableBytes(minimumWritableBytes: size) { target in
            var writer = RequestWriter(target)
            head.withUnsafeBytes { writer.put($0) }
            order.extraHeaders.withUnsafeReadableBytes { writer.put($0) }
            if !order.requestID.isEmpty {
                writer.put("x-request-id: ")
                writer.put(text: order.requestID)
                writer.put("\r\n")
            }
            writer.put("content-length: ")
            writer.put(decimal: length)
            writer.put("\r\n\r\n")
            if isSmall { for part in order.body { part.withUnsafeReadableBytes { writer.put($0) } } }
            return writer.count
        }
        return UpstreamRequest(head: first, rest: isSmall ? [] : order.body)
    }
}

/// The bytes of a request, in order.
struct UpstreamRequest {
    /// The head, and a small body behind it.
    let head: ByteBuffer
    /// A large body, piece by piece.
    let rest: [ByteBuffer]
}

/// Writes a request into memory of the right size, without a check of the buffer in between.
private struct RequestWriter {
    private let target: UnsafeMutableRawBufferPointer
    private(set) var count = 0

    init(_ target: UnsafeMutableRawBufferPointer) { self.target = target }

    mutating func put(_ bytes: UnsafeRawBufferPointer) {
        guard let from = bytes.baseAddress, let start = target.baseAddress else { return }
        precondition(bytes.count <= target.count - count)
        (start + count).copyMemory(from: from, byteCount: bytes.count)
        count += bytes.count
    }

    mutating func put(_ text: StaticString) {
        put(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    mutating func put(text: String) {
        var text = text
        text.withUTF8 { put(UnsafeRawBufferPointer($0)) }
    }

    /// A number that is not negative.
    mutating func put(decimal number: Int) {
        var digits = 1
        var bound = 10
        while digits < 18, number >= bound {
            digits += 1
            bound *= 10
        }
        var rest = number
        for place in stride(from: digits - 1, through: 0, by: -1) {
            target[count + place] = UInt8(truncatingIfNeeded: rest % 10) + 0x30
            rest /= 10
        }
        count += digits
    }
}
