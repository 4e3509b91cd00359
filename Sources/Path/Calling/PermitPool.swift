import NIOCore
import Synchronization

/// How many calls may run at one provider at once, over all loops, and the bounded queue of those that wait.
///
/// Taking and giving back without a queue is one short lock; a waiting call is woken on its own loop.
final class PermitPool: Sendable {
    enum Answer {
        case granted
        case waiting(ticket: UInt64)
        case full
    }

    private struct Waiter {
        var ticket: UInt64
        var loop: any EventLoop
        var wake: @Sendable () -> Void
    }

    private struct State {
        /// Negative while more calls run than a lowered limit allows.
        var free: Int
        var concurrencyMax: Int
        var queueMax: Int
        var waiters: CircularBuffer<Waiter> = []
        var nextTicket: UInt64 = 0
    }

    private let state: Mutex<State>

    init(concurrencyMax: Int, queueMax: Int) {
        state = Mutex(State(free: concurrencyMax, concurrencyMax: concurrencyMax, queueMax: queueMax))
    }

    var free: Int { state.withLock { $0.free } }

    /// Sets other limits. Running calls go on and count; who waits already keeps the place in the queue.
    func resize(concurrencyMax: Int, queueMax: Int) {
        let woken = state.withLock { state -> [Waiter] in
            state.free += concurrencyMax - state.concurrencyMax
            state.concurrencyMax = concurrencyMax
            state.queueMax = queueMax
            var woken: [Waiter] = []
            while state.free > 0, !state.waiters.isEmpty {
                state.free -= 1
                woken.append(state.waiters.removeFirst())
            }
            return woken
        }
        for waiter in woken { waiter.loop.execute(waiter.wake) }
    }

    /// - Parameter wake: run on `loop` when the permit has come; the caller then owns it.
    func take(on loop: any EventLoop, wake: @escaping @Sendable () -> Void) -> Answer {
        state.withLock { state in
            if state.free > 0 {
                state.free -= 1
                return .granted
            }
            guard state.waiters.count < state.queueMax else { return .full }
            state.nextTicket += 1
            state.waiters.append(Waiter(ticket: state.nextTicket, loop: loop, wake: wake))
            return .waiting(ticket: state.nextTicket)
        }
    }

    /// Without a queue: whether a permit was free.
    func takeNow() -> Bool {
        state.withLock { state in
            guard state.free > 0 else { return false }
            state.free -= 1
            return true
        }
    }

    func giveBack() {
        let next = state.withLock { state -> Waiter? in
            // Below zero, a lowered limit takes the permit back first.
            guard state.free >= 0, !state.waiters.isEmpty else {
                state.free += 1
                return nil
            }
            return state.waiters.removeFirst()
        }
        if let next { next.loop.execute(next.wake) }
    }

    /// Leaves the queue.
    ///
    /// - Returns: `false` when the permit has already been given to this ticket, and will arrive.
    func leave(ticket: UInt64) -> Bool {
        state.withLock { state in
            guard let index = state.waiters.firstIndex(where: { $0.ticket == ticket }) else { return false }
            state.waiters.remove(at: index)
            return true
        }
    }
}
