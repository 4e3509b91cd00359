import Dispatch
import Synchronization

/// Runs what may block on a disk away from the few threads of Swift's pool.
///
/// - Parameter queue: a serial one for work that is to be done in the order in which it comes, one piece at a time.
func offPool<Value: Sendable>(
    on queue: DispatchQueue = .global(qos: .utility), _ work: @escaping @Sendable () -> Value
) async -> Value {
    await withCheckedContinuation { continuation in
        queue.async { continuation.resume(returning: work()) }
    }
}

/// The same for reading what may never come, as from a share that hangs: whoever waits is let go once its task is cancelled, and the thread is
/// left to itself.
///
/// - Returns: `nil` when the task was cancelled first.
func offPoolUntilCancelled<Value: Sendable>(_ work: @escaping @Sendable () -> Value) async -> Value? {
    let wait = Wait<Value>()
    return await withTaskCancellationHandler {
        await withCheckedContinuation { continuation in
            guard wait.begin(continuation) else { return }
            DispatchQueue.global(qos: .utility).async { wait.end(with: work()) }
        }
    } onCancel: {
        wait.end(with: nil)
    }
}

/// Somebody who waits for one value, and gets it or nothing, whichever is there first.
private final class Wait<Value: Sendable>: Sendable {
    private enum State {
        case idle
        case waiting(CheckedContinuation<Value?, Never>)
        case over
    }

    private let state = Mutex(State.idle)

    /// - Returns: whether there still is something to wait for.
    func begin(_ continuation: CheckedContinuation<Value?, Never>) -> Bool {
        let waits = state.withLock { state in
            guard case .idle = state else { return false }
            state = .waiting(continuation)
            return true
        }
        if !waits { continuation.resume(returning: nil) }
        return waits
    }

    func end(with value: Value?) {
        let waiting: CheckedContinuation<Value?, Never>? = state.withLock { state in
            defer { state = .over }
            if case .waiting(let continuation) = state { return continuation }
            return nil
        }
        waiting?.resume(returning: value)
    }
}
