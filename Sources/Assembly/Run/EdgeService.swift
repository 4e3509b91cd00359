import Calling
import Edge
import Glibc
import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle
import Settings
import UnixSignals

/// Listens, and drains (ARCHITECTURE §2): first the news that we are leaving, then the listener and idle connections, then the patience with
/// what still runs. A second signal ends the patience.
struct EdgeService: Service {
    let parts: GatewayParts
    let settings: Settings
    let logger: Logger

    /// How long the ends of broken-off streams may take to be written.
    private static let lastWords = Duration.seconds(2)

    func run() async throws {
        let (listeners, addresses) = try await listen()
        parts.health.markStarted()
        for address in addresses {
            logger.notice("martlet listens", metadata: ["address": "\(address)", "models.count": "\(settings.models.count)"])
            print("martlet listening on \(address)")
        }
        fflush(nil)
        try await gracefulShutdown()
        await drain(listeners)
    }

    /// - Returns: the listeners, and where calls can be sent to.
    private func listen() async throws -> ([Listener], addresses: [String]) {
        let server = settings.server
        let loops = LaneLoops(parts.publicLoops)
        var listeners: [Listener] = []
        var addresses: [String] = []
        if server.listensOnTCP {
            let options = options(tls: parts.edge.tls, readsProxyProtocol: server.proxyProtocol == .required)
            listeners.append(try await bind(.tcp(host: server.host, port: server.port), loops, options))
            let host = server.host.contains(":") ? "[\(server.host)]" : server.host
            addresses.append("\(server.tls == nil ? "http" : "https")://\(host):\(listeners[0].port)")
        }
        if let path = server.unixSocket {
            listeners.append(try await bind(.unix(path: path, mode: UInt32(server.unixSocketMode)), loops, options(tls: nil)))
            addresses.append("unix:\(path)")
        }
        if let place = server.privateListener {
            let options = options(tls: place.isTLS ? parts.edge.tls : nil)
            listeners.append(try await bind(.tcp(host: place.host, port: place.port), LaneLoops(parts.privateLoops), options))
        }
        return (listeners, addresses)
    }

    private func options(tls: ServerTLS?, readsProxyProtocol: Bool = false) -> Listener.Options {
        Listener.Options(tls: tls, readsProxyProtocol: readsProxyProtocol, counters: parts.edge.counters) { [logger] reason in
            logger.warning("connections cannot be accepted for now", metadata: ["reason": "\(reason)"])
        }
    }

    private func bind(_ place: Listener.Place, _ loops: LaneLoops, _ options: Listener.Options) async throws -> Listener {
        do throws(ListenError) {
            return try await Listener.bind(place, group: parts.group, loops: loops, options: options)
        } catch {
            switch place {
            case .tcp(let host, let port): throw GatewayStartError("cannot listen on \(host):\(port): \(error)")
            case .unix(let path, _): throw GatewayStartError("cannot listen on \(path): \(error)")
            }
        }
    }

    private func drain(_ listeners: [Listener]) async {
        parts.drain.begin()
        let hurry = Hurry()
        let server = parts.reloader.settings.server
        logger.notice("draining", metadata: ["deadline": "\(server.drainDeadline)"])
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                // A second signal, in a task that ends with the drain.
                for await _ in await UnixSignalsSequence(trapping: .sigterm, .sigint) {
                    hurry.begin()
                    break
                }
            }
            await wait(upTo: server.drainDelay) { hurry.isOn }
            for listener in listeners { await listener.close() }
            await onLoops { $0.closeIdle() }
            if await !wait(upTo: server.drainDeadline, until: { if hurry.isOn { true } else { await isEmpty() } }) || hurry.isOn {
                logger.warning("the drain's deadline ends what still runs")
                await onLoops { $0.endRunningCalls() }
                await wait(upTo: EdgeService.lastWords) { await isEmpty() }
            }
            group.cancelAll()
        }
        await onLoops { $0.finish() }
        for caller in parts.callers { try? await caller.eventLoop.submit { caller.value.shutdown() }.get() }
    }

    private func isEmpty() async -> Bool {
        // Connections that became idle since the last look go as well.
        await onLoops { $0.closeIdle() }
        for loop in parts.publicLoops + parts.privateLoops {
            if let isEmpty = try? await loop.eventLoop.submit({ loop.value.isEmpty }).get(), !isEmpty { return false }
        }
        return true
    }

    private func onLoops(_ work: @escaping @Sendable (LaneLoop) -> Void) async {
        for loop in parts.publicLoops + parts.privateLoops { try? await loop.eventLoop.submit { work(loop.value) }.get() }
    }

    /// Looks every few milliseconds whether it is time; says whether it was before the limit.
    @discardableResult
    private func wait(upTo limit: Duration, until isTime: () async -> Bool) async -> Bool {
        let deadline = ContinuousClock.now + limit
        while ContinuousClock.now < deadline {
            if await isTime() { return true }
            try? await Task.sleep(for: .milliseconds(20))
        }
        return false
    }
}
