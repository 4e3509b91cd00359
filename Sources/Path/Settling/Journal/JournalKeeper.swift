import Dispatch
import Synchronization

/// The thread that syncs segments and makes new ones: at an interval, and at once when woken.
///
/// A queue of its own and not the cooperative pool, because a sync can take as long as a disk likes.
final class JournalKeeper: Sendable {
    private let queue = DispatchQueue(label: "martlet.journal")
    /// Only `start` and `stop` touch it, and both run under the lock of `work`; a dispatch source itself may be used from any thread.
    nonisolated(unsafe) private var timer: (any DispatchSourceTimer)?
    private let isWoken = Atomic<Bool>(false)
    private let work: Mutex<(@Sendable () -> Void)?> = Mutex(nil)

    func start(intervalMilliseconds: Int64, _ round: @escaping @Sendable () -> Void) {
        work.withLock { work in
            work = round
            let source = DispatchSource.makeTimerSource(queue: queue)
            let interval = DispatchTimeInterval.milliseconds(Int(intervalMilliseconds))
            source.schedule(deadline: .now() + interval, repeating: interval, leeway: .milliseconds(5))
            source.setEventHandler(handler: round)
            source.activate()
            timer = source
        }
    }

    /// Has a round run as soon as the thread is free.
    func wake() {
        guard !isWoken.exchange(true, ordering: .acquiringAndReleasing), let round = work.withLock({ $0 }) else { return }
        queue.async { [weak self] in
            self?.isWoken.store(false, ordering: .releasing)
            round()
        }
    }

    /// Ends the interval and waits for a round that is running.
    func stop() {
        work.withLock { work in
            timer?.cancel()
            timer = nil
            work = nil
        }
        queue.sync {}
    }
}
