import Contracts
import NIOConcurrencyHelpers
import NIOCore
import Vocabulary

/// Knows `good`, which may do all, and `poor`, which may do nothing.
final class FakeIdentifier: Identifying {
    func identify(_ credential: String, in snapshot: Snapshot, at now: WallTime) -> Result<Principal, GatewayError> {
        guard ["good", "poor"].contains(credential) else { return .failure(.invalidKey) }
        return .success(
            Principal(
                keyID: "key_" + credential, keyName: "", tenant: "t", team: "", agent: "", user: "", rights: credential == "good" ? .inference : [],
                models: [], expiresAt: nil))
    }
}

/// Grants every call of a key with rights, and counts what becomes of the holds.
final class FakeAdmission: Admitting, HoldKeeping {
    private let books: Books

    init(books: Books) { self.books = books }

    func ask(_ question: AdmissionQuestion) -> AdmissionVerdict {
        guard question.principal.rights.contains(.inference) else { return .denied(.missingRight("inference")) }
        books.change { $0.holdsOpen += 1 }
        return .granted(Hold(keeper: self))
    }

    func holdSettled() { books.change { $0.holdsOpen -= 1 } }
    func holdGivenBack() { books.change { $0.holdsOpen -= 1 } }
    func holdDropped() { books.change { $0.holdsDropped += 1 } }
}

final class FakeRouter: CandidateChoosing {
    func candidates(for model: Model, endpoint: Endpoint) -> [Deployment] { model.deployments }
}

/// Everything that is written down about calls, readable from the test.
final class Books: Sendable {
    struct State {
        var records: [UsageRecord] = []
        var began = 0
        var ended = 0
        var holdsOpen = 0
        var holdsDropped = 0
        var journalFails = false
    }

    private let state = NIOLockedValueBox(State())
    private let waiters = NIOLockedValueBox<[(count: Int, promise: EventLoopPromise<Void>)]>([])

    var now: State { state.withLockedValue { $0 } }
    func change(_ change: (inout State) -> Void) { state.withLockedValue { change(&$0) } }

    func add(_ record: UsageRecord) {
        let count = state.withLockedValue { state in
            state.records.append(record)
            return state.records.count
        }
        let ready = waiters.withLockedValue { waiters in
            defer { waiters.removeAll { $0.count <= count } }
            return waiters.filter { $0.count <= count }
        }
        for waiter in ready { waiter.promise.succeed() }
    }

    /// Done when that many records are written.
    func written(_ count: Int, on loop: any EventLoop) -> EventLoopFuture<Void> {
        let promise = loop.makePromise(of: Void.self)
        waiters.withLockedValue { $0.append((count, promise)) }
        if now.records.count >= count { promise.succeed() }
        return promise.futureResult
    }
}

final class FakeSettler: CallSettling {
    private let books: Books
    private var sequence: UInt64 = 0

    init(books: Books) { self.books = books }

    func nextRecordID() -> RecordID {
        sequence += 1
        return RecordID(boot: 1, loop: 0, sequence: sequence)
    }

    func settle(_ record: UsageRecord, hold: consuming Hold) -> Bool {
        hold.settle()
        books.add(record)
        return !books.now.journalFails
    }

    func refuse(_ record: UsageRecord, isAuthenticated: Bool) { books.add(record) }
    func callBegan() { books.change { $0.began += 1 } }
    func callEnded() { books.change { $0.ended += 1 } }
}

/// A provider in the hands of the test. Confined to its loop.
final class FakeCaller: UpstreamCalling {
    private(set) var attempts: [FakeAttempt] = []
    private var waiters: [(index: Int, promise: EventLoopPromise<Void>)] = []
    private let loop: any EventLoop
    /// What each attempt does by itself, by its number.
    var script: ((Int, FakeAttempt) -> Void)?

    init(loop: any EventLoop) { self.loop = loop }

    func start(_ order: UpstreamOrder, for listener: any UpstreamListener) -> any UpstreamAttempt {
        let attempt = FakeAttempt(order: order, listener: listener, loop: loop)
        attempts.append(attempt)
        listener.upstreamStarted()
        let number = attempts.count - 1
        for waiter in waiters where waiter.index == number { waiter.promise.succeed() }
        waiters.removeAll { $0.index == number }
        if let script { loop.assumeIsolated().execute { script(number, attempt) } }
        return attempt
    }

    /// Done when the attempt of that number has been started.
    func started(_ index: Int) -> EventLoopFuture<Void> {
        let promise = loop.makePromise(of: Void.self)
        if index < attempts.count { promise.succeed() } else { waiters.append((index, promise)) }
        return promise.futureResult
    }
}

final class FakeAttempt: UpstreamAttempt {
    let order: UpstreamOrder
    private var listener: (any UpstreamListener)?
    private(set) var isPaused = false
    private(set) var pauses = 0
    private(set) var isQuiet = false
    /// Done when the attempt is cancelled.
    let cancelled: EventLoopPromise<Void>
    private(set) var isCancelled = false

    init(order: UpstreamOrder, listener: any UpstreamListener, loop: any EventLoop) {
        self.order = order
        self.listener = listener
        cancelled = loop.makePromise()
    }

    var body: String { order.body.map { String(buffer: $0) }.joined() }

    func pause() {
        isPaused = true
        pauses += 1
    }

    func resume() { isPaused = false }

    func cancel() {
        listener = nil
        isCancelled = true
        cancelled.succeed()
    }

    func finishQuietly() {
        listener = nil
        isQuiet = true
    }

    // MARK: For the test

    func head(_ status: Int = 200, type: String = "application/json", length: Int64 = -1) {
        listener?.upstreamHead(
            UpstreamHead(
                status: status, isEventStream: type == "text/event-stream", isJSON: type.contains("json"), contentLength: length,
                contentType: ByteBuffer(string: "content-type: \(type)\r\n"), passedOn: ByteBuffer()))
    }

    func bytes(_ text: String) {
        listener?.upstreamBytes(ByteBuffer(string: text))
        listener?.upstreamReadComplete()
    }

    func end() {
        let told = listener
        listener = nil
        told?.upstreamEnd()
    }

    func fail(_ fault: UpstreamFault) {
        let told = listener
        listener = nil
        told?.upstreamFailed(fault)
    }

    /// A whole plain answer that says `text`.
    func answer(_ text: String) {
        head()
        bytes(#"{"choices":[{"message":{"content":"\#(text)"}}],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#)
        end()
    }

    func stream(_ text: String) { bytes("data: {\"choices\":[{\"delta\":{\"content\":\"\(text)\"}}]}\n\n") }
    func streamUsage() { bytes("data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\n") }
    func streamDone() { bytes("data: [DONE]\n\n") }
}

/// A control plane that answers with the method and the path. `/wait` is answered when the test says so.
final class FakePlane: ControlPlane {
    private let gate: EventLoopPromise<Void>
    /// Done when a request for `/wait` is here.
    let arrived: EventLoopPromise<Void>

    init(loop: any EventLoop) {
        gate = loop.makePromise()
        arrived = loop.makePromise()
    }

    func open() { gate.succeed() }

    func answer(_ request: ControlRequest, to writer: any ControlResponseWriter) async throws {
        if request.uri == "/wait" {
            arrived.succeed()
            try await gate.futureResult.get()
        }
        let text = "control \(request.method) \(request.uri) \(String(buffer: request.body))"
        let isChunked = request.uri == "/chunked"
        try await writer.head(status: 200, headers: [("content-type", "text/plain")], contentLength: isChunked ? nil : text.utf8.count)
        try await writer.write(ByteBuffer(string: text))
        try await writer.end()
    }
}
