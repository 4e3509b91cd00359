import Edge
import NIOCore
import ServiceLifecycle
import Settling
import Synchronization

/// Carries the journal into the store; at the end once more, so that a clean stop leaves nothing behind.
struct ShippingService: Service {
    let shipper: JournalShipper
    let journal: Journal

    func run() async throws {
        await cancelWhenGracefulShutdown { await shipper.run(interval: .milliseconds(250)) }
        await shipper.drain()
        journal.shutdown()
    }
}

/// Writes the log lines of calls.
struct CallLogService: Service {
    let log: CallLog

    func run() async throws {
        await withGracefulShutdownHandler {
            await log.run()
        } onGracefulShutdown: {
            log.finish()
        }
    }
}

/// Sees changes that other processes make to keys, well within a second.
struct KeyWatchService: Service {
    let keys: KeyService

    func run() async throws {
        await cancelWhenGracefulShutdown { await keys.watch(interval: .milliseconds(300)) }
    }
}

/// Runs control-plane requests until the last one is answered.
struct ControlService: Service {
    let dispatchers: [ControlDispatcher]

    func run() async throws {
        await withGracefulShutdownHandler {
            await withTaskGroup(of: Void.self) { group in
                for dispatcher in dispatchers { group.addTask { await dispatcher.run() } }
            }
        } onGracefulShutdown: {
            for dispatcher in dispatchers { dispatcher.finish() }
        }
    }
}

/// How many connections the loops have, asked of each on its own thread.
final class ConnectionCount: Sendable {
    private let loops = Mutex<[NIOLoopBound<LaneLoop>]>([])

    func set(_ loops: [NIOLoopBound<LaneLoop>]) {
        self.loops.withLock { $0 = loops }
    }

    func total() async -> Int {
        var total = 0
        for loop in loops.withLock({ $0 }) {
            // A loop that has been shut down has no connections.
            total += (try? await loop.eventLoop.submit { loop.value.connectionCount }.get()) ?? 0
        }
        return total
    }
}
