import Calling
import Edge
import Glibc
import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle
import Settings
import UnixSignals

/// Serves what comes in at the doors, and drains (ARCHITECTURE §2): first the news that we are leaving, then the listener and idle connections, then the patience with
/// what still runs. A second signal ends the patience.
struct EdgeService: Service {
    let parts: GatewayParts
    let settings: Settings
    let logger: Logger
    let doors: EdgeDoors

    /// How long the ends of broken-off streams may take to be written.
    private static let lastWords = Duration.seconds(2)

    func run() async throws {
        parts.health.markStarted()
        for address in doors.addresses {
            logger.notice("martlet listens", metadata: ["address": "\(address)", "models.count": "\(settings.models.count)"])
            print("martlet listening on \(address)")
        }
        fflush(nil)
        try await gracefulShutdown()
        await drain(doors.listeners)
        // The clients are gone, and a reload that waits for a disk would keep the process from ending.
        parts.reloader.giveUp()
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
