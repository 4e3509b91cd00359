internal import Contracts
internal import Dialects
import NIOCore
import NIOPosix
internal import Vocabulary
internal import Walk

/// One model call: the shell of its ``Walk``. It reports what happens, and does what the walk says.
///
/// Confined to the loop of its lane. What the answers look like is in `ModelCall+Answers`; the record in `ModelCall+Record`.
final class ModelCall: UpstreamListener {
    /// How the answer in hand is passed on.
    enum Passing {
        case nothing
        /// Kept whole, then sent with every header final.
        case whole
        /// Server-sent events, as they come.
        case events(OpenAIStreamScanner)
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
    private var attempt: (any UpstreamAttempt)?

    var answerHead: UpstreamHead?
    var passing = Passing.nothing
    var gathered = ByteBuffer()
    var meter = OpenAIAnswerMeter()
    var fallbackReason = ""
    /// Why a client counts as gone that has not left by itself.
    var leaveReason = ""
    /// When the attempt in hand was ordered, and when its request went out.
    private var orderedAt = NIODeadline.now()
    private var sentAt: NIODeadline?
    private var lastByteAt = NIODeadline.now()
    private var pausedAt: NIODeadline?
    /// Time spent waiting for providers, all attempts together, in nanoseconds.
    private(set) var waitedNanoseconds: Int64 = 0
    private(set) var firstByteAt: NIODeadline?
    private var isOver = false
    /// What has come and is being reported: the walk says what becomes of it.
    private var incoming: ByteBuffer?
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
        case .refuse(let error): finish { lane.reply(.refusal(error, attempts: walk.attempts)) }
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
        guard let request, let principal else { return report(.denied(.internalFault)) }
        guard let model = snapshot.model(named: request.model) else { return report(.denied(.unknownModel(request.model))) }
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
        guard let request, walk.candidate < candidates.count else { return }
        let deployment = candidates[walk.candidate]
        let provider = deployment.provider
        self.deployment = deployment
        walk.provider = provider.id
        walk.retriesStaleConnections = provider.retriesStaleConnections
        answerHead = nil
        passing = .nothing
        gathered = ByteBuffer()
        meter = OpenAIAnswerMeter()
        orderedAt = .now()
        sentAt = nil
        var headers = facts.passedOn
        headers.writeStaticString("x-request-id: ")
        headers.writeString(requestID)
        headers.writeStaticString("\r\n")
        let order = UpstreamOrder(
            provider: provider, endpoint: endpoint, extraHeaders: headers,
            body: request.body(body, modelJSON: deployment.modelJSON, forcesUsage: provider.acceptsStreamOptions && endpoint != .embeddings),
            needsFreshConnection: needsFreshConnection)
        attempt = loop.caller.start(order, for: self)
    }

    private func cancelUpstream() {
        attempt?.cancel()
        attemptIsOver()
    }

    /// The attempt in hand has come to its end, in whatever way.
    private func attemptIsOver() {
        if let sentAt { waitedNanoseconds += (NIODeadline.now() - sentAt).nanoseconds }
        sentAt = nil
        attempt = nil
    }

    // MARK: What the provider says

    func upstreamStarted() { sentAt = .now() }

    func upstreamHead(_ head: UpstreamHead) {
        guard !isOver else { return }
        let now = NIODeadline.now()
        lastByteAt = now
        if firstByteAt == nil { firstByteAt = now }
        answerHead = head
        switch head.status {
        case _ where head.isEncoded: attemptFailed(.invalid)
        case 200..<300 where head.isEventStream:
            // Nothing goes out before the first event is here: a stream that dies before it can still become an error or a fallback.
            passing = .events(OpenAIStreamScanner(hidesUsage: !(request?.wantsUsageChunk ?? false)))
        case 200..<300 where head.isJSON:
            passing = .whole
            report(.upstreamHead(.plain))
            if head.contentLength > Int64(loop.options.plainAnswerMaxBytes) { passRaw() }
        case 400...599:
            passing = .whole
            report(.upstreamHead(.error(status: head.status)))
        default: attemptFailed(.invalid)
        }
    }

    func upstreamBytes(_ bytes: ByteBuffer) {
        guard !isOver else { return }
        lastByteAt = .now()
        switch passing {
        case .nothing: break
        case .whole, .raw:
            meter.feed(bytes)
            incoming = bytes
            report(.upstreamBytes)
        case .events: pass(events: bytes)
        }
    }

    private func gather(_ bytes: ByteBuffer) {
        if gathered.readableBytes == 0 {
            gathered = bytes
        } else {
            if let length = answerHead?.contentLength, length > 0, gathered.capacity < Int(length) {
                gathered.reserveCapacity(min(Int(length), loop.options.plainAnswerMaxBytes + 65_536))
            }
            gathered.writeImmutableBuffer(bytes)
        }
        if gathered.readableBytes > loop.options.plainAnswerMaxBytes {
            // An error of that size is no message for anybody.
            if let status = answerHead?.status, status >= 400 { attemptFailed(.invalid) } else { passRaw() }
        }
    }

    /// Sends on what has come; of a large plain answer all but the newest piece, which waits for the record.
    private func forward(_ bytes: ByteBuffer) {
        if case .raw(let held) = passing {
            lane.writeChunk(held)
            passing = .raw(held: bytes)
        } else {
            lane.writeChunk(bytes)
        }
    }

    private func passRaw() {
        passing = .raw(held: gathered)
        gathered = ByteBuffer()
        report(.answerTooLarge)
    }

    private func pass(events bytes: ByteBuffer) {
        guard case .events(var scanner) = passing else { return }
        // Taken out while it works: a second reference would have it copy its buffers.
        passing = .nothing
        let output = scanner.feed(bytes)
        let isDone = scanner.isDone
        passing = .events(scanner)
        if scanner.hasError, scanner.contentEvents == 0, !walk.hasForwardedHead {
            // The stream is an error from its first event on: the client has nothing yet, so it can still become another attempt or a status.
            attemptFailed(.invalid)
            return
        }
        send(events: output, isEnd: isDone)
        guard isDone, !isOver else { return }
        // The client's answer ends here; what the provider still sends is its own affair.
        attempt?.finishQuietly()
        attemptIsOver()
        report(.upstreamEnd)
    }

    private func send(events: ByteBuffer?, isEnd: Bool) {
        if events != nil || isEnd, !walk.hasForwardedHead { report(.upstreamHead(.stream)) }
        guard let events else { return }
        incoming = events
        report(.upstreamBytes)
    }

    func upstreamReadComplete() { lane.flush() }

    func upstreamEnd() {
        guard !isOver else { return }
        attemptIsOver()
        switch passing {
        case .nothing: attemptFailed(.invalid)
        case .whole:
            if let status = answerHead?.status, status < 400, !meter.isWholeObject || (meter.hasError && !meter.hasResult) {
                attemptFailed(.invalid)
            } else {
                report(.upstreamEnd)
            }
        case .raw: meter.isWholeObject ? report(.upstreamEnd) : attemptFailed(.cut)
        case .events(var scanner):
            passing = .nothing
            let rest = scanner.rest()
            let isComplete = scanner.isDone || scanner.hasFinish || scanner.hasError
            passing = .events(scanner)
            send(events: rest, isEnd: isComplete)
            isComplete ? report(.upstreamEnd) : attemptFailed(.cut)
        }
    }

    func upstreamFailed(_ fault: UpstreamFault) {
        guard !isOver else { return }
        attemptIsOver()
        switch fault {
        case .unreachable: attemptFailed(.unreachable)
        case .staleConnection: attemptFailed(.staleConnection)
        case .cut: attemptFailed(.cut)
        case .invalid: attemptFailed(.invalid)
        case .timeout: attemptFailed(.timeout)
        case .queueFull: attemptFailed(.queueFull)
        }
    }

    private func attemptFailed(_ failure: UpstreamFailure) {
        if attempt != nil { cancelUpstream() }
        report(.upstreamFailed(failure))
    }
}
