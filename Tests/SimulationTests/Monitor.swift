import Vocabulary
import Walk

/// Watches one call from outside and knows what must never happen. It sees events and actions only, not how they are decided.
struct Monitor {
    let plan: Plan
    private(set) var violations: [String] = []
    private var begun = false
    private var clientIsHere = true
    private var clientIsSlow = false
    private var headForwarded = false
    private var answerIsWhole = false
    private var attemptRuns = false
    private var isPaused = false
    private var attempts = 0
    private var retries = 0
    private var fallbacks = 0
    private var records = 0
    private var journalAnswered = false
    private var journalFailed = false
    private var terminals = 0

    init(plan: Plan) { self.plan = plan }

    var isOver: Bool { terminals > 0 }

    private mutating func require(_ condition: Bool, _ rule: String) {
        if !condition { violations.append(rule) }
    }

    mutating func happened(_ event: WalkEvent) {
        switch event {
        case .head, .denied: begun = true
        case .clientGone: clientIsHere = false
        case .clientUnwritable: clientIsSlow = true
        case .clientWritable: clientIsSlow = false
        case .upstreamEnd:
            answerIsWhole = true
            attemptRuns = false
        case .upstreamFailed: attemptRuns = false
        case .journaled: journalAnswered = true
        case .journalFailed:
            journalAnswered = true
            journalFailed = true
        default: break
        }
    }

    mutating func performed(_ action: WalkAction) {
        require(terminals == 0, "nothing is done after the end")
        switch action {
        case .readBody, .ask, .gather: break
        case .call, .retry, .fallBack: started(action)
        case .cancelUpstream:
            require(attemptRuns, "only a running attempt is cancelled")
            attemptRuns = false
        case .pauseUpstream:
            require(attemptRuns && !isPaused, "only a running attempt is paused")
            isPaused = true
        case .resumeUpstream:
            require(attemptRuns && isPaused, "only a paused attempt is resumed")
            isPaused = false
        case .forwardHead:
            require(clientIsHere, "nothing is sent to a client that has left")
            require(!headForwarded, "a head goes out once")
            headForwarded = true
        case .forward:
            require(clientIsHere, "nothing is sent to a client that has left")
            require(headForwarded, "bytes follow a head")
            require(!clientIsSlow || isPaused, "a slow client has the provider wait")
        case .record(let outcome, _):
            records += 1
            require(!attemptRuns, "nothing runs upstream once the call is recorded")
            require(outcome != .success || answerIsWhole, "only a whole answer is a success")
            require((outcome == .clientGone) == !clientIsHere, "a client that left is recorded as such, and no other")
        case .release, .refuse, .breakOff, .close: ended(action)
        }
    }

    private mutating func started(_ action: WalkAction) {
        require(!attemptRuns, "one attempt runs at a time")
        require(clientIsHere, "nothing is asked for a client that has left")
        require(!headForwarded, "no other attempt once the client has a head")
        attemptRuns = true
        answerIsWhole = false
        isPaused = false
        attempts += 1
        if case .retry = action { retries += 1 }
        if case .fallBack = action { fallbacks += 1 }
        require(fallbacks < plan.candidates, "each candidate is tried once")
        require(retries <= (plan.rules.retriesStaleConnections ? fallbacks + 1 : 0), "one retry a candidate")
        require(attempts <= plan.candidates + retries, "attempts are bounded")
    }

    private mutating func ended(_ action: WalkAction) {
        terminals += 1
        require(journalAnswered, "the record comes before the answer")
        require(!attemptRuns, "nothing runs upstream after the end")
        switch action {
        case .release:
            require(clientIsHere, "nothing is sent to a client that has left")
            require(answerIsWhole, "only a whole answer is released")
            require(!journalFailed || plan.rules.continuesWithoutJournal, "no answer becomes complete without its record")
        case .refuse:
            require(clientIsHere, "nothing is sent to a client that has left")
            require(!headForwarded, "an error status only while nothing was forwarded")
        case .breakOff:
            require(clientIsHere, "nothing is sent to a client that has left")
            require(headForwarded, "only what has begun is broken off")
        default: require(!clientIsHere, "a connection is only dropped when its client has left")
        }
    }

    /// What must be true when an event has been dealt with.
    mutating func settled(after event: WalkEvent) {
        switch event {
        case .deadline, .drain, .clientGone: require(!begun || records == 1, "nothing goes on after the deadline, the drain, or without its client")
        default: break
        }
    }

    /// What must be true when the schedule is over.
    mutating func finish(_ keeper: CountingKeeper, granted: Bool, walkAttempts: Int) {
        require(records == (begun ? 1 : 0), "every call that was read or denied is recorded exactly once")
        require(terminals == (begun ? 1 : 0), "every schedule ends")
        require(!attemptRuns, "nothing runs upstream after the end")
        require(walkAttempts == attempts, "attempts are counted")
        require(keeper.settled + keeper.givenBack == (granted ? 1 : 0) && keeper.dropped == 0, "the hold is settled exactly once")
    }
}
