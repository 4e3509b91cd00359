internal import Contracts
internal import Dialects
import NIOCore
import NIOPosix
internal import Vocabulary
internal import Walk

/// One model call: the shell of its ``Walk``. It reports what happens, and does what the walk says.
///
/// Confined to the loop of its lane. What the provider says comes in by `ModelCall+Upstream`, what the
/// client gets is in `ModelCall+Answers`, the record in `ModelCall+Record`.
final class ModelCall {
    /// How the answer in hand is passed on.
    enum Passing {
        case nothing
        /// Kept whole, then sent with every header final.
        case whole
        /// Server-sent events, as they come through `stream`.
        case events
        /// A large plain answer, as it comes; the last piece is held back until the record is written.
        case raw(held: ByteBuffer)
    }

    /// What the answer tells of the record.
    struct Recorded {
        var cost: Money
        var tokens: TokenUsage
        var latencyMicroseconds: Int64
        var overheadMicroseconds: Int64
    }

    let lane: Lane
    let loop: LaneLoop
    let endpoint: Endpoint
    let requestID: String
    let facts: RequestFacts
    let startedAt = WallTime.now
    let began = NIODeadline.now()
    private let snapshot: Snapshot
    private(set) var walk: Walk

    var principal: Principal?
    private(set) var request: OpenAIRequest?
    private(set) var model: Model?
    private var candidates: [Deployment] = []
    private(set) var deployment: Deployment?
    private(set) var bodyBytes = 0
    private var body = ByteBuffer()
    var hold: Hold?
    var attempt: (any UpstreamAttempt)?

    var answerHead: UpstreamHead?
    var passing = Passing.nothing
    /// Reads the events of a stream. It stands by itself, since taking it out of `passing` and back would copy it for each frame.
    var stream = OpenAIStreamScanner(hidesUsage: false)
    var gathered = ByteBuffer()
    var meter = OpenAIAnswerMeter()
    /// The error object of an attempt whose status spoke of success.
    var providersError: ByteBuffer?
    var fallbackReason = ""
    /// Why a client counts as gone that has not left by itself.
    var leaveReason = ""
    /// When the attempt in hand was ordered, and when its request went out.
    var orderedAt = NIODeadline.distantPast
    var sentAt: NIODeadline?
    var lastByteAt = NIODeadline.distantPast
    private var pausedAt: NIODeadline?
    /// Time spent waiting for providers, all attempts together, in nanoseconds.
    private(set) var waitedNanoseconds: Int64 = 0
    var firstByteAt: NIODeadline?
    var isOver = false
    /// What has come and is being reported: the walk says what becomes of it.
    var incoming: ByteBuffer?
    var recorded: Recorded?

    init(lane: Lane, endpoint: Endpoint, snapshot: Snapshot, requestID: String, facts: RequestFacts) {
        self.lane = lane
        loop = lane.loop
        self.endpoint = endpoint
        self.snapshot = snapshot
        self.requestID = requestID
        self.facts = facts
        walk = Walk(rules: Walk.Rules(continuesWithoutJournal: lane.loop.options.continuesWithoutJournal))
    }

    // MARK: What the lane reports

    func begin(_ principal: Principal) {
        self.principal = principal
        report(.head)
    }

    func refuse(_ error: GatewayError) { report(.denied(error)) }

    /// The body is complete. A large one is read on another thread, so that no other call of the loop waits for it.
    func bodyIsHere(_ body: ByteBuffer) {
        self.body = body
        bodyBytes = body.readableBytes
        guard bodyBytes > loop.options.scanOnLoopMaxBytes else {
            do throws(GatewayError) {
                scanned(.success(try loop.scanner.scan(body, endpoint: endpoint)))
            } catch {
                scanned(.failure(error))
            }
            return
        }
        let endpoint = endpoint
        NIOThreadPool.singleton.runIfActive(eventLoop: loop.loop) { () -> Result<OpenAIRequest, GatewayError> in
            do throws(GatewayError) {
                return .success(try OpenAIRequestScanner().scan(body, endpoint: endpoint))
            } catch {
                return .failure(error)
            }
        }.assumeIsolated().whenComplete { result in
            switch result {
            case .success(let scanned): self.scanned(scanned)
            case .failure: self.scanned(.failure(.internalFault))
            }
        }
    }

    private func scanned(_ result: Result<OpenAIRequest, GatewayError>) {
        switch result {
        case .failure(let error): report(.denied(error))
        case .success(let request):
            self.request = request
            report(.body)
        }
    }

    func clientWritability(_ isWritable: Bool) { report(isWritable ? .clientWritable : .clientUnwritable) }
    func clientLeft() { report(.clientGone) }

    /// The client is there, but takes nothing.
    func clientStalled() {
        leaveReason = "client_stalled"
        report(.clientGone)
    }

    func drain() { report(.drain) }
    func bodyIsLate() { report(.deadline) }

    func tick(_ now: NIODeadline) {
        if now - began > loop.options.totalTimeout {
            if case .reading = walk.state { lane.giveUpInput() }
            report(.deadline)
            return
        }
        guard attempt != nil, let timeouts = deployment?.provider.timeouts else { return }
        let isLate: Bool
        if answerHead == nil {
            // The time in the queue and for the connection counts too: the client waits all the same.
            isLate = now - (sentAt ?? orderedAt) > .milliseconds(timeouts.firstByteMilliseconds)
        } else {
            isLate = pausedAt == nil && now - lastByteAt > .milliseconds(timeouts.idleMilliseconds)
        }
        if isLate { attemptFailed(.timeout) }
    }

    // MARK: The walk

    func report(_ event: WalkEvent) {
        let actions = walk.handle(event)
        if let action = actions.first { perform(action) }
        if let action = actions.second { perform(action) }
        if let action = actions.third { perform(action) }
    }

    private func perform(_ action: WalkAction) {
        switch action {
        // The lane reads it in any case: a body that is not wanted has to be read past.
        case .readBody: break
        case .ask: ask()
        case .call, .retry: call(needsFreshConnection: action == .retry)
        case .fallBack(let reason):
            if fallbackReason.isEmpty { fallbackReason = reason.name }
            call(needsFreshConnection: false)
        case .cancelUpstream: cancelUpstream()
        case .pauseUpstream:
            pausedAt = .now()
            attempt?.pause()
        case .resumeUpstream:
            pausedAt = nil
            lastByteAt = .now()
            attempt?.resume()
        case .gather: if let bytes = incoming.take() { gather(bytes) }
        case .forwardHead: sendStreamHead()
        case .forward: if let bytes = incoming.take() { forward(bytes) }
        case .record(let outcome, let error): writeRecord(outcome, error)
        case .release: finish { release() }
        case .refuse(let error): finish { refuseCall(error) }
        case .breakOff(let error): finish { breakOff(error) }
        case .close:
            finish {
                lane.releaseBody()
                lane.context?.close(promise: nil)
            }
        }
    }

    /// The last thing that a call does: what it held is let go before the lane goes on to the next request.
    private func finish(_ last: () -> Void) {
        guard !isOver else { return }
        isOver = true
        body = ByteBuffer()
        attempt = nil
        last()
    }

    private func ask() {
        guard let name = request?.model, let principal else { return report(.denied(.internalFault)) }
        guard let model = snapshot.model(named: name) else { return report(.denied(.unknownModel(name))) }
        self.model = model
        switch loop.admission.ask(AdmissionQuestion(principal: principal, model: model, endpoint: endpoint)) {
        case .denied(let error): report(.denied(error))
        case .granted(let hold):
            self.hold = consume hold
            loop.settler.callBegan()
            candidates = loop.router.candidates(for: model, endpoint: endpoint)
            report(.granted(candidates: candidates.count))
        }
    }

    private func call(needsFreshConnection: Bool) {
        guard walk.candidate < candidates.count else { return }
        let deployment = candidates[walk.candidate]
        let provider = deployment.provider
        let forcesUsage = provider.acceptsStreamOptions && endpoint != .embeddings
        guard let body = request?.body(self.body, modelJSON: deployment.modelJSON, forcesUsage: forcesUsage) else { return }
        self.deployment = deployment
        walk.provider = provider.id
        walk.retriesStaleConnections = provider.retriesStaleConnections
        answerHead = nil
        providersError = nil
        passing = .nothing
        gathered = ByteBuffer()
        meter = OpenAIAnswerMeter()
        orderedAt = .now()
        sentAt = nil
        let order = UpstreamOrder(
            provider: provider, endpoint: endpoint, extraHeaders: facts.passedOn, requestID: requestID, body: body,
            needsFreshConnection: needsFreshConnection)
        attempt = loop.caller.start(order, for: self)
    }

    func cancelUpstream() {
        attempt?.cancel()
        attemptIsOver()
    }

    /// The attempt in hand has come to its end, in whatever way.
    func attemptIsOver() {
        if let sentAt { waitedNanoseconds += (NIODeadline.now() - sentAt).nanoseconds }
        sentAt = nil
        attempt = nil
    }
}
