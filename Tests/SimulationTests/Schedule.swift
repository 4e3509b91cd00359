import Contracts
import MartletTestKit
import Vocabulary
import Walk

/// A model shell around one walk, and the order in which things happen to it: everything is drawn from the seed.
final class Schedule {
    /// What was found wrong, with the way there.
    struct Finding: CustomStringConvertible {
        var seed: UInt64
        var rules: [String]
        var trace: [String]

        var description: String { "seed \(seed) broke: \(rules.joined(separator: "; "))\n  " + trace.joined(separator: "\n  ") }
    }

    private let seed: UInt64
    private let flaw: Flaw?
    private let plan: Plan
    private var random: SplitMix
    private var walk: Walk
    private var monitor: Monitor
    private let keeper = CountingKeeper()
    private var hold: Hold?
    private var wasGranted = false
    private var trace: [String] = []

    // The world around the walk.
    private var clientHasSent = 0
    private var clientIsHere = true
    private var clientIsSlow = false
    private var admissionIsAsked = false
    private var journalIsWriting = false
    private var attempt: ProviderScript?
    private var isPaused = false

    private static let stepsMax = 200

    init(seed: UInt64, flaw: Flaw? = nil) {
        self.seed = seed
        self.flaw = flaw
        random = SplitMix(seed: seed)
        plan = Plan(using: &random)
        walk = Walk(rules: plan.rules)
        monitor = Monitor(plan: plan)
    }

    /// Runs to the end; `nil` when every rule held.
    func run() -> Finding? {
        var steps = 0
        while !monitor.isOver, steps < Schedule.stepsMax, let event = nextEvent() {
            steps += 1
            report(event)
        }
        // A hold that is still here is dropped, and its keeper hears of it.
        if hold != nil { hold = nil }
        monitor.finish(keeper, granted: wasGranted, walkAttempts: walk.attempts)
        guard !monitor.violations.isEmpty else { return nil }
        return Finding(seed: seed, rules: monitor.violations, trace: trace)
    }

    /// Draws what happens next among all that could. `nil` when the world has come to a rest.
    private func nextEvent() -> WalkEvent? {
        var could: [() -> WalkEvent] = []
        if clientIsHere {
            if clientHasSent == 0, plan.isDeniedByEdge, seed % 2 == 0 {
                could.append { [self] in
                    clientHasSent = 2; return .denied(.headTooLarge)
                }
            } else if clientHasSent == 0 {
                could.append { [self] in
                    clientHasSent = 1; return .head
                }
            } else if clientHasSent == 1 {
                could.append { [self] in
                    clientHasSent = 2; return plan.isDeniedByEdge ? .denied(.bodyTooLarge(limitBytes: 1)) : .body
                }
            }
            if random.chance(oneIn: 25) {
                could.append { [self] in
                    clientIsHere = false; return .clientGone
                }
            }
            if random.chance(oneIn: 6) {
                could.append { [self] in
                    clientIsSlow.toggle(); return clientIsSlow ? .clientUnwritable : .clientWritable
                }
            }
        }
        if admissionIsAsked {
            could.append { [self] in
                admissionIsAsked = false
                if plan.isDenied { return .denied(.modelNotAllowed("m")) }
                hold = Hold(keeper: keeper)
                wasGranted = true
                return .granted(candidates: plan.candidates)
            }
        }
        if journalIsWriting {
            could.append { [self] in
                journalIsWriting = false; return plan.journalFails ? .journalFailed : .journaled
            }
        }
        if let script = attempt, !script.isSilent, !isPaused {
            could.append { [self] in
                let event = attempt?.next() ?? .upstreamEnd
                switch event {
                case .upstreamEnd, .upstreamFailed: attempt = nil
                default: break
                }
                return event
            }
        }
        let isBegun = clientHasSent > 0
        if isBegun, random.chance(oneIn: 30) { could.append { .deadline } }
        if isBegun, random.chance(oneIn: 60) { could.append { .drain } }
        if could.isEmpty {
            guard isBegun else { return nil }
            // Nobody does anything any more: in the end the clock does.
            return .deadline
        }
        return could[Int.random(in: 0..<could.count, using: &random)]()
    }

    private func report(_ event: WalkEvent) {
        trace.append("→ \(event)")
        monitor.happened(event)
        let before = walk.hasForwardedHead
        defer { monitor.settled(after: event) }
        guard let bent = flaw.map({ $0.bend(event) }) ?? event else { return }
        var actions = walk.handle(bent).list
        if let flaw { actions = flaw.bend(actions, on: event, hasForwarded: before) }
        for action in actions {
            trace.append("   \(action)")
            perform(action)
            monitor.performed(action)
        }
        // A yes that comes when the call is over already: nothing goes upstream, so nothing of it is needed.
        if case .granted = event, walk.state != .calling, let hold = hold.take() { hold.giveBack() }
    }

    private func perform(_ action: WalkAction) {
        switch action {
        case .ask: admissionIsAsked = true
        case .call, .retry, .fallBack:
            attempt = ProviderScript(using: &random)
            isPaused = false
        case .cancelUpstream: attempt = nil
        case .pauseUpstream: isPaused = true
        case .resumeUpstream: isPaused = false
        case .record:
            journalIsWriting = true
            if flaw != .dropsTheHold, let hold = hold.take() { hold.settle() }
        case .readBody, .gather, .forwardHead, .forward, .release, .refuse, .breakOff, .close: break
        }
    }
}
