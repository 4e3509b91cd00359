internal import Contracts
import NIOCore
internal import Vocabulary

/// One attempt at a provider, from the wait for a permit to the last byte. Confined to its loop.
final class Attempt: UpstreamAttempt {
    private enum State {
        case queued(ticket: UInt64)
        case connecting
        case running(UpstreamConnection)
        case over
    }

    private var state: State = .connecting
    private var listener: (any UpstreamListener)?
    private let permits: PermitPool
    private var holdsPermit = false
    let order: UpstreamOrder
    private var isPaused = false

    init(order: UpstreamOrder, listener: any UpstreamListener, permits: PermitPool) {
        self.order = order
        self.listener = listener
        self.permits = permits
    }

    /// Whether the listener has all that it wants.
    var isQuiet: Bool { listener == nil }

    var isOver: Bool { if case .over = state { true } else { false } }

    // MARK: For the caller

    func queued(ticket: UInt64) { state = .queued(ticket: ticket) }

    func permitGranted() {
        holdsPermit = true
        if case .queued = state { state = .connecting }
    }

    /// The request goes out on this connection.
    func run(on connection: UpstreamConnection, request: UpstreamRequest) {
        state = .running(connection)
        listener?.upstreamStarted()
        connection.carry(self, request: request)
        if isPaused { connection.pause() }
    }

    // MARK: For the listener's owner

    func pause() {
        isPaused = true
        if case .running(let connection) = state { connection.pause() }
    }

    func resume() {
        isPaused = false
        if case .running(let connection) = state { connection.resume() }
    }

    func cancel() {
        listener = nil
        let before = state
        close()
        if case .running(let connection) = before { connection.abandon() }
        // A permit that is on its way here already is given back by whoever brings it and finds the attempt over.
        if case .queued(let ticket) = before { _ = permits.leave(ticket: ticket) }
    }

    func finishQuietly() {
        listener = nil
        if case .running(let connection) = state { connection.waitQuietly() } else { cancel() }
    }

    // MARK: From the connection

    func answered(_ head: UpstreamHead) { listener?.upstreamHead(head) }
    func received(_ bytes: ByteBuffer) { listener?.upstreamBytes(bytes) }
    func readComplete() { listener?.upstreamReadComplete() }

    func ended() {
        let told = listener
        close()
        told?.upstreamEnd()
    }

    func failed(_ fault: UpstreamFault) {
        let told = listener
        close()
        told?.upstreamFailed(fault)
    }

    private func close() {
        listener = nil
        state = .over
        if holdsPermit {
            holdsPermit = false
            permits.giveBack()
        }
    }
}
