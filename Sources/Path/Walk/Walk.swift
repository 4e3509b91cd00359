package import Vocabulary

/// The walk of a call: the order of all steps, as a value (ARCHITECTURE §2). Read this first.
///
/// ```
/// idle ─head→ reading ─body→ asking ─granted→ calling ─upstreamHead→ gathering ─┐
///                                               │  ↑ retry, fall back          ├─end→ recording ─journaled→ ended
///                                               └──────────→ streaming ────────┘
/// ```
///
/// It does no I/O and knows no clock: a shell tells it what happened and does what it says. Until ``State/streaming`` nothing has gone out to
/// the client, so everything can still become an error status or another attempt; from there on only the stream can carry an error.
/// Whatever happens in whatever order, `record` comes exactly once for every call whose head was read.
package struct Walk: Sendable, Hashable {
    /// Where a call stands.
    package enum State: Sendable, Hashable {
        /// Nothing of a call has been read.
        case idle
        /// The body is being read.
        case reading
        /// Admission has been asked.
        case asking
        /// An attempt is running and has not answered.
        case calling
        /// A plain answer, or an error answer, is being kept; the client has nothing.
        case gathering(status: Int?)
        /// The head has gone out and bytes are passed on as they come.
        case streaming
        /// The record is being written; what comes after it depends on `ending`.
        case recording(Ending)
        /// There is nothing left to do for this call.
        case ended
    }

    /// What the client is to get once the record is written.
    package enum Ending: Sendable, Hashable {
        case release
        case refuse(GatewayError)
        case breakOff(GatewayError)
        case nothing
    }

    package private(set) var state: State = .idle
    /// Attempts started so far; retries and fallbacks count.
    package private(set) var attempts = 0
    /// The candidate being tried, from zero.
    package private(set) var candidate = 0
    private var candidateCount = 0
    private var hasRetried = false
    /// Whether the client takes bytes more slowly than they come. It can be so before this call has an answer, when the one before it was long.
    private var clientIsSlow = false
    /// Whether the head of an answer has gone out.
    package private(set) var hasForwardedHead = false
    /// The provider being tried, for messages about its faults; the shell keeps it true.
    package var provider = ""
    private var rules: Rules

    /// Whether a stale connection of the provider being tried is retried; the shell keeps it true.
    package var retriesStaleConnections: Bool {
        get { rules.retriesStaleConnections }
        set { rules.retriesStaleConnections = newValue }
    }

    /// What the configuration has to say about the walk.
    package struct Rules: Sendable, Hashable {
        /// Whether an answer may go out although its record could not be written (`journal.on_failure: continue`).
        package var continuesWithoutJournal: Bool
        /// Whether a stale connection is retried.
        package var retriesStaleConnections: Bool

        package init(continuesWithoutJournal: Bool = false, retriesStaleConnections: Bool = true) {
            self.continuesWithoutJournal = continuesWithoutJournal
            self.retriesStaleConnections = retriesStaleConnections
        }
    }

    package init(rules: Rules = Rules()) {
        self.rules = rules
    }

    /// Takes an event and says what to do. An event that has no meaning in the present state, because it was already on its way when the
    /// state changed, asks for nothing.
    package mutating func handle(_ event: WalkEvent) -> WalkActions {
        switch event {
        case .clientUnwritable: return handleWritability(isSlow: true)
        case .clientWritable: return handleWritability(isSlow: false)
        default: break
        }
        return switch state {
        case .idle: handleIdle(event)
        case .reading: handleReading(event)
        case .asking: handleAsking(event)
        case .calling: handleCalling(event)
        case .gathering(let status): handleGathering(event, status: status)
        case .streaming: handleStreaming(event)
        case .recording(let ending): handleRecording(event, ending: ending)
        case .ended: .none
        }
    }

    // MARK: Before an attempt

    private mutating func handleIdle(_ event: WalkEvent) -> WalkActions {
        switch event {
        case .head:
            state = .reading
            return WalkActions(.readBody)
        case .denied(let error):
            return refuse(error, outcome: .refused)
        default:
            return .none
        }
    }

    private mutating func handleReading(_ event: WalkEvent) -> WalkActions {
        switch event {
        case .body:
            state = .asking
            return WalkActions(.ask)
        case .denied(let error): return refuse(error, outcome: .refused)
        case .deadline: return refuse(.requestTimeout, outcome: .timeout)
        case .clientGone: return abandon()
        case .drain: return refuse(.draining, outcome: .drained)
        default: return .none
        }
    }

    private mutating func handleAsking(_ event: WalkEvent) -> WalkActions {
        switch event {
        case .granted(let candidates):
            guard candidates > 0 else { return refuse(.internalFault, outcome: .refused) }
            candidateCount = candidates
            attempts = 1
            state = .calling
            return WalkActions(.call)
        case .denied(let error): return refuse(error, outcome: .refused)
        case .deadline: return refuse(.upstreamTimeout(provider: provider), outcome: .timeout)
        case .clientGone: return abandon()
        case .drain: return refuse(.draining, outcome: .drained)
        default: return .none
        }
    }

    // MARK: An attempt is running

    private mutating func handleCalling(_ event: WalkEvent) -> WalkActions {
        switch event {
        case .upstreamHead(.plain):
            state = .gathering(status: nil)
            return .none
        case .upstreamHead(.stream):
            // The pause stands first: what the head sets off may already end it.
            return beginStreaming() ? WalkActions(.pauseUpstream, .forwardHead) : WalkActions(.forwardHead)
        case .upstreamHead(.error(let status)):
            if Walk.isWorthAnotherProvider(status: status), let next = nextCandidate(.status(status)) {
                return WalkActions(.cancelUpstream, next)
            }
            state = .gathering(status: status)
            return .none
        case .upstreamFailed(let failure): return attemptFailed(failure)
        default: return handleUnanswered(event)
        }
    }

    private mutating func handleGathering(_ event: WalkEvent, status: Int?) -> WalkActions {
        switch event {
        case .upstreamBytes: return WalkActions(.gather)
        case .answerTooLarge:
            guard status == nil else {
                // An error of that size is no message for anybody, and passed on as it comes it would end as a success.
                let next = attemptFailed(.invalid)
                return WalkActions(.cancelUpstream, next.first, next.second)
            }
            return beginStreaming() ? WalkActions(.pauseUpstream, .forwardHead, .forward) : WalkActions(.forwardHead, .forward)
        case .upstreamEnd:
            state = .recording(.release)
            guard let status else { return WalkActions(.record(.success, nil)) }
            return WalkActions(.record(.upstreamError, .upstreamStatus(provider: provider, status: status)))
        case .upstreamFailed(let failure): return attemptFailed(failure)
        default: return handleUnanswered(event)
        }
    }

    /// What ends an attempt of which the client has seen nothing yet.
    private mutating func handleUnanswered(_ event: WalkEvent) -> WalkActions {
        switch event {
        case .deadline: return stop(.refuse(.upstreamTimeout(provider: provider)), .timeout, .upstreamTimeout(provider: provider))
        case .clientGone: return stop(.nothing, .clientGone, nil)
        case .drain: return stop(.refuse(.draining), .drained, .draining)
        default: return .none
        }
    }

    private mutating func attemptFailed(_ failure: UpstreamFailure) -> WalkActions {
        let reason: FallbackReason
        let error: GatewayError
        switch failure {
        case .staleConnection:
            if rules.retriesStaleConnections, !hasRetried {
                hasRetried = true
                attempts += 1
                state = .calling
                return WalkActions(.retry)
            }
            (reason, error) = (.cut, .upstreamUnreachable(provider: provider))
        case .unreachable: (reason, error) = (.unreachable, .upstreamUnreachable(provider: provider))
        case .cut: (reason, error) = (.cut, .upstreamInvalidAnswer(provider: provider))
        case .invalid: (reason, error) = (.invalid, .upstreamInvalidAnswer(provider: provider))
        // As if the provider had said 502, which is the least that it means.
        case .errorInSuccess: (reason, error) = (.invalid, .upstreamStatus(provider: provider, status: 502))
        case .timeout: (reason, error) = (.timeout, .upstreamTimeout(provider: provider))
        case .queueFull: (reason, error) = (.queueFull, .queueFull(provider: provider))
        }
        if let next = nextCandidate(reason) { return WalkActions(next) }
        state = .recording(.refuse(error))
        switch failure {
        case .queueFull: return WalkActions(.record(.refused, error))
        case .timeout: return WalkActions(.record(.timeout, error))
        case .unreachable, .staleConnection, .cut, .invalid, .errorInSuccess: return WalkActions(.record(.upstreamError, error))
        }
    }

    private mutating func nextCandidate(_ reason: FallbackReason) -> WalkAction? {
        guard candidate + 1 < candidateCount else { return nil }
        candidate += 1
        attempts += 1
        hasRetried = false
        state = .calling
        return .fallBack(reason)
    }

    // MARK: The client has the head

    /// The head goes out; says whether the provider has to wait for the client from the start.
    private mutating func beginStreaming() -> Bool {
        state = .streaming
        hasForwardedHead = true
        return clientIsSlow
    }

    private mutating func handleWritability(isSlow: Bool) -> WalkActions {
        guard clientIsSlow != isSlow else { return .none }
        clientIsSlow = isSlow
        guard case .streaming = state else { return .none }
        return WalkActions(isSlow ? .pauseUpstream : .resumeUpstream)
    }

    private mutating func handleStreaming(_ event: WalkEvent) -> WalkActions {
        switch event {
        case .upstreamBytes: return WalkActions(.forward)
        case .upstreamEnd:
            state = .recording(.release)
            return WalkActions(.record(.success, nil))
        case .upstreamFailed(.timeout):
            return breakOff(.upstreamTimeout(provider: provider), outcome: .timeout, upstreamIsOver: true)
        case .upstreamFailed:
            return breakOff(.streamCut(provider: provider), outcome: .streamCut, upstreamIsOver: true)
        case .deadline: return breakOff(.upstreamTimeout(provider: provider), outcome: .timeout, upstreamIsOver: false)
        case .drain: return breakOff(.draining, outcome: .drained, upstreamIsOver: false)
        case .clientGone: return stop(.nothing, .clientGone, nil)
        case .head, .body, .denied, .granted, .upstreamHead, .answerTooLarge, .journaled, .journalFailed, .clientUnwritable, .clientWritable:
            return .none
        }
    }

    // MARK: The end

    private mutating func handleRecording(_ event: WalkEvent, ending: Ending) -> WalkActions {
        switch event {
        case .journaled:
            state = .ended
            return finish(ending)
        case .journalFailed:
            state = .ended
            if rules.continuesWithoutJournal { return finish(ending) }
            switch ending {
            // The answer must not become complete without its record, and a refusal costs nobody anything.
            case .release: return WalkActions(hasForwardedHead ? .breakOff(.journalUnavailable) : .refuse(.journalUnavailable))
            case .refuse, .breakOff, .nothing: return finish(ending)
            }
        case .clientGone:
            // What was recorded stands; only the sending falls away.
            state = .recording(.nothing)
            return .none
        default:
            return .none
        }
    }

    private func finish(_ ending: Ending) -> WalkActions {
        switch ending {
        case .release: WalkActions(.release)
        case .refuse(let error): WalkActions(.refuse(error))
        case .breakOff(let error): WalkActions(.breakOff(error))
        case .nothing: WalkActions(.close)
        }
    }

    private mutating func refuse(_ error: GatewayError, outcome: Outcome) -> WalkActions {
        state = .recording(.refuse(error))
        return WalkActions(.record(outcome, error))
    }

    private mutating func abandon() -> WalkActions {
        state = .recording(.nothing)
        return WalkActions(.record(.clientGone, nil))
    }

    private mutating func stop(_ ending: Ending, _ outcome: Outcome, _ error: GatewayError?) -> WalkActions {
        state = .recording(ending)
        return WalkActions(.cancelUpstream, .record(outcome, error))
    }

    private mutating func breakOff(_ error: GatewayError, outcome: Outcome, upstreamIsOver: Bool) -> WalkActions {
        state = .recording(.breakOff(error))
        return upstreamIsOver ? WalkActions(.record(outcome, error)) : WalkActions(.cancelUpstream, .record(outcome, error))
    }

    /// Whether another provider might do better: overload and faults of the provider's own, not of the request.
    package static func isWorthAnotherProvider(status: Int) -> Bool {
        status == 408 || status == 429 || status >= 500
    }
}
