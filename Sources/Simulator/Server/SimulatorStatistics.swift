import NIOCore
import Synchronization

/// What the simulator did since its start or the last `POST /sim/reset`; read by `GET /sim/stats`.
final class SimulatorStatistics: Sendable {
    private let requests: [CallCounter] = Route.Label.allCases.map { _ in CallCounter() }
    private let active = Atomic<Int>(0)
    private let streamsActive = Atomic<Int>(0)
    private let completed = Atomic<Int>(0)
    private let failed = Atomic<Int>(0)
    private let cancelled = Atomic<Int>(0)
    private let cut = Atomic<Int>(0)
    private let stalled = Atomic<Int>(0)
    private let connectionsOpen = Atomic<Int>(0)
    private let connectionsTotal = Atomic<Int>(0)
    private let lastCancelledAtMilliseconds = Atomic<Int>(0)
    private let lastCancelledFrames = Atomic<Int>(0)

    /// Arrays cannot hold atomics themselves.
    private final class CallCounter: Sendable {
        let count = Atomic<Int>(0)
    }

    func connectionOpened() {
        connectionsOpen.add(1, ordering: .relaxed)
        connectionsTotal.add(1, ordering: .relaxed)
    }

    func connectionClosed() { connectionsOpen.subtract(1, ordering: .relaxed) }

    func callBegan(_ label: Route.Label) {
        requests[label.rawValue].count.add(1, ordering: .relaxed)
        active.add(1, ordering: .relaxed)
    }

    func streamBegan() { streamsActive.add(1, ordering: .relaxed) }

    func streamEnded() { streamsActive.subtract(1, ordering: .relaxed) }

    /// The last byte of an answer was handed to the socket.
    func callCompleted(status: Int) {
        if status < 400 {
            completed.add(1, ordering: .relaxed)
        } else {
            failed.add(1, ordering: .relaxed)
        }
        active.subtract(1, ordering: .relaxed)
    }

    /// The client left before its answer's last byte.
    ///
    /// - Parameter frames: content frames it had been sent.
    func callCancelled(frames: Int) {
        lastCancelledFrames.store(frames, ordering: .relaxed)
        lastCancelledAtMilliseconds.store(Clock.unixMilliseconds(), ordering: .relaxed)
        cancelled.add(1, ordering: .relaxed)
        active.subtract(1, ordering: .relaxed)
    }

    func callCut() {
        cut.add(1, ordering: .relaxed)
        active.subtract(1, ordering: .relaxed)
    }

    /// The call stays active until its client leaves, and then counts as cancelled.
    func callStalled() { stalled.add(1, ordering: .relaxed) }

    /// Zeroes what counts events; what is going on (`active`, `streams_active`, `connections_open`) stays true.
    func reset() {
        for counter in requests { counter.count.store(0, ordering: .relaxed) }
        completed.store(0, ordering: .relaxed)
        failed.store(0, ordering: .relaxed)
        cancelled.store(0, ordering: .relaxed)
        cut.store(0, ordering: .relaxed)
        stalled.store(0, ordering: .relaxed)
        connectionsTotal.store(0, ordering: .relaxed)
        lastCancelledAtMilliseconds.store(0, ordering: .relaxed)
        lastCancelledFrames.store(0, ordering: .relaxed)
    }

    func body() -> ByteBuffer {
        let paths = zip(Route.Label.allCases, requests).map {
            JSONMember($0.path, .number(String($1.count.load(ordering: .relaxed))))
        }
        func number(_ value: Int) -> JSONValue { .number(String(value)) }
        let lastCancelledAt = lastCancelledAtMilliseconds.load(ordering: .relaxed)
        let document = JSONValue.object([
            JSONMember("requests", .object(paths)),
            JSONMember("active", number(active.load(ordering: .relaxed))),
            JSONMember("streams_active", number(streamsActive.load(ordering: .relaxed))),
            JSONMember("completed", number(completed.load(ordering: .relaxed))),
            JSONMember("failed", number(failed.load(ordering: .relaxed))),
            JSONMember("cancelled", number(cancelled.load(ordering: .relaxed))),
            JSONMember("cut", number(cut.load(ordering: .relaxed))),
            JSONMember("stalled", number(stalled.load(ordering: .relaxed))),
            JSONMember("connections_open", number(connectionsOpen.load(ordering: .relaxed))),
            JSONMember("connections_total", number(connectionsTotal.load(ordering: .relaxed))),
            JSONMember("last_cancelled_at_ms", lastCancelledAt == 0 ? .null : number(lastCancelledAt)),
            JSONMember("last_cancelled_frames", lastCancelledAt == 0 ? .null : number(lastCancelledFrames.load(ordering: .relaxed))),
            JSONMember("now_ms", number(Clock.unixMilliseconds())),
        ])
        var buffer = ByteBuffer()
        buffer.writeJSON(document)
        return buffer
    }
}
