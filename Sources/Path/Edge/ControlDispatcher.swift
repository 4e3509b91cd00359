package import Contracts
import NIOCore
import Synchronization

/// Runs control-plane requests as children of one task group, so that none outlives the process's shutdown, and no more than a bounded
/// number at a time.
package final class ControlDispatcher: Sendable {
    private struct Job: Sendable {
        var request: ControlRequest
        var writer: LaneControlWriter
    }

    private let plane: any ControlPlane
    private let jobs: AsyncStream<Job>
    private let queue: AsyncStream<Job>.Continuation
    private let running = Atomic<Int>(0)

    /// Requests that may be running or waiting; more are refused with 503.
    package static let runningMax = 512

    package init(plane: any ControlPlane) {
        self.plane = plane
        (jobs, queue) = AsyncStream.makeStream(bufferingPolicy: .bufferingOldest(ControlDispatcher.runningMax))
    }

    /// Hands a request over; `false` when there are too many.
    func submit(_ request: ControlRequest, to writer: LaneControlWriter) -> Bool {
        if running.wrappingAdd(1, ordering: .relaxed).newValue > ControlDispatcher.runningMax {
            running.wrappingSubtract(1, ordering: .relaxed)
            return false
        }
        guard case .enqueued = queue.yield(Job(request: request, writer: writer)) else {
            running.wrappingSubtract(1, ordering: .relaxed)
            return false
        }
        return true
    }

    /// Serves until ``finish()``, and returns when the last answer is out.
    package func run() async {
        await withDiscardingTaskGroup { group in
            for await job in jobs {
                group.addTask {
                    do {
                        try await self.plane.answer(job.request, to: job.writer)
                    } catch {
                        // The answer cannot be completed, so it must not look complete; or the client has left, and this changes nothing.
                        job.writer.abandon()
                    }
                    self.running.wrappingSubtract(1, ordering: .relaxed)
                }
            }
        }
    }

    /// Takes no more requests.
    package func finish() { queue.finish() }
}

/// Writes a control-plane answer to the connection that asked, from whatever thread the answer is made on.
struct LaneControlWriter: ControlResponseWriter {
    private let lane: NIOLoopBound<Lane>
    private let loop: any EventLoop
    /// The request that is answered; a lane that has gone on to another takes nothing more for this one.
    private let ticket: UInt64

    init(lane: Lane, loop: any EventLoop, ticket: UInt64) {
        self.lane = NIOLoopBound(lane, eventLoop: loop)
        self.loop = loop
        self.ticket = ticket
    }

    func head(status: Int, headers: [(name: String, value: String)], contentLength: Int?) async throws {
        let (lane, ticket) = (lane, ticket)
        try await loop.submit { try lane.value.controlHead(ticket, status: status, headers: headers, contentLength: contentLength) }.get()
    }

    func write(_ bytes: ByteBuffer) async throws {
        let (lane, ticket) = (lane, ticket)
        try await loop.flatSubmit { lane.value.controlBody(ticket, bytes) }.get()
    }

    func end() async throws {
        let (lane, ticket) = (lane, ticket)
        try await loop.submit { try lane.value.controlEnd(ticket) }.get()
    }

    /// Breaks the connection off, if it still waits for this answer.
    func abandon() {
        let (lane, ticket) = (lane, ticket)
        loop.execute { lane.value.controlAbandoned(ticket) }
    }
}
