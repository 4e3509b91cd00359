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
        let listeners = try await listen()
        parts.health.markStarted()
        let address = "http://\(settings.server.host):\(listeners[0].port)"
        logger.notice("martlet listens", metadata: ["address": "\(address)", "models.count": "\(settings.models.count)"])
        print("martlet listening on \(address)")
        fflush(nil)
        try await gracefulShutdown()
        await drain(listeners)
    }

    private func listen() async throws -> [Listener] {
        var listeners: [Listener] = []
        do {
            listeners.append(
                try await Listener.bind(
                    host: settings.server.host, port: settings.server.port, group: parts.group, loops: LaneLoops(parts.publicLoops)))
        } catch {
            throw cannotListen(settings.server.host, settings.server.port, error)
        }
        if let place = settings.server.privateListener {
            do {
                listeners.append(
                    try await Listener.bind(host: place.host, port: place.port, group: parts.group, loops: LaneLoops(parts.privateLoops)))
            } catch {
                throw cannotListen(place.host, place.port, error)
            }
        }
        return listeners
    }

    private func cannotListen(_ host: String, _ port: Int, _ error: any Error) -> GatewayStartError {
        let reason = (error as? IOError).map { String(cString: strerror($0.errnoCode)) } ?? "\(error)"
        return GatewayStartError("cannot listen on \(host):\(port): \(reason)")
    }

    private func drain(_ listeners: [Listener]) async {
        parts.drain.begin()
        let hurry = Hurry()
        logger.notice("draining", metadata: ["deadline": "\(settings.server.drainDeadline)"])
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                // A second signal, in a task that ends with the drain.
                for await _ in await UnixSignalsSequence(trapping: .sigterm, .sigint) {
                    hurry.begin()
                    break
                }
            }
            await wait(upTo: settings.server.drainDelay) { hurry.isOn }
            for listener in listeners { await listener.close() }
            await onLoops { $0.closeIdle() }
            if await !wait(upTo: settings.server.drainDeadline, until: { if hurry.isOn { true } else { await isEmpty() } }) || hurry.isOn {
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
