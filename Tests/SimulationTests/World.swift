import Contracts
import MartletTestKit
import Vocabulary
import Walk

/// Counts what becomes of holds.
final class CountingKeeper: HoldKeeping {
    private(set) var settled = 0
    private(set) var givenBack = 0
    private(set) var dropped = 0

    func holdSettled() { settled += 1 }
    func holdGivenBack() { givenBack += 1 }
    func holdDropped() { dropped += 1 }
}

/// What one schedule draws before it begins.
struct Plan {
    var candidates: Int
    var rules: Walk.Rules
    /// Whether admission says no.
    var isDenied: Bool
    /// Whether the edge says no before the walk has begun, or while the body is read.
    var isDeniedByEdge: Bool
    var journalFails: Bool

    init(using random: inout SplitMix) {
        candidates = Int.random(in: 1...3, using: &random)
        rules = Walk.Rules(continuesWithoutJournal: random.chance(oneIn: 3), retriesStaleConnections: !random.chance(oneIn: 4))
        isDenied = random.chance(oneIn: 12)
        isDeniedByEdge = random.chance(oneIn: 15)
        journalFails = random.chance(oneIn: 5)
    }
}

/// A provider's side of one attempt: what it will say, if it is let.
struct ProviderScript {
    private(set) var events: [WalkEvent] = []

    init(using random: inout SplitMix) {
        let failures: [UpstreamFailure] = [.unreachable, .staleConnection, .cut, .invalid, .errorInSuccess, .timeout, .queueFull]
        switch Int.random(in: 0..<10, using: &random) {
        case 0, 1: events = [.upstreamFailed(failures.randomElement(using: &random) ?? .cut)]
        case 2, 3:
            let status = [400, 404, 408, 429, 500, 503].randomElement(using: &random) ?? 500
            events = [.upstreamHead(.error(status: status))] + bytes(&random) + [.upstreamEnd]
        case 4, 5, 6:
            events = [.upstreamHead(.plain)] + bytes(&random)
            if random.chance(oneIn: 4) { events += [.answerTooLarge] + bytes(&random) }
            events.append(.upstreamEnd)
        default: events = [.upstreamHead(.stream), .upstreamBytes] + bytes(&random) + [.upstreamEnd]
        }
        // Any answer can break off anywhere, or stop without a word.
        if random.chance(oneIn: 4) {
            events.removeLast(Int.random(in: 1...events.count, using: &random))
            let late: [UpstreamFailure] = [.cut, .invalid, .timeout, .staleConnection]
            if !random.chance(oneIn: 3) { events.append(.upstreamFailed(late.randomElement(using: &random) ?? .cut)) }
        }
    }

    private func bytes(_ random: inout SplitMix) -> [WalkEvent] {
        Array(repeating: .upstreamBytes, count: Int.random(in: 0...4, using: &random))
    }

    /// Whether the provider has nothing more to say.
    var isSilent: Bool { events.isEmpty }

    mutating func next() -> WalkEvent { events.removeFirst() }
}

/// Ways to build the shell or the walk wrongly; each has to be found out by the invariants.
enum Flaw: String, CaseIterable, Sendable {
    case losesTheRecord
    case recordsTwice
    case doesNotHearThatTheClientLeft
    case leavesTheAttemptRunning
    case releasesWithoutTheRecord
    case refusesInTheMiddleOfAStream
    case retriesForEver
    case dropsTheHold
    case ignoresTheDeadline
    case forgetsToPause
    case releasesWhatIsNotWhole

    /// Bends what the walk hears.
    func bend(_ event: WalkEvent) -> WalkEvent? {
        switch self {
        case .doesNotHearThatTheClientLeft where event == .clientGone: nil
        case .ignoresTheDeadline where event == .deadline: nil
        case .releasesWithoutTheRecord where event == .journalFailed: .journaled
        case .releasesWhatIsNotWhole where event == .upstreamFailed(.cut): .upstreamEnd
        default: event
        }
    }

    /// Bends what the walk asks for.
    func bend(_ actions: [WalkAction], on event: WalkEvent, hasForwarded: Bool) -> [WalkAction] {
        actions.flatMap { action -> [WalkAction] in
            switch (self, action) {
            case (.losesTheRecord, .record(.timeout, _)), (.leavesTheAttemptRunning, .cancelUpstream), (.forgetsToPause, .pauseUpstream): []
            case (.recordsTwice, .record(.clientGone, _)): [action, action]
            case (.refusesInTheMiddleOfAStream, .breakOff(let error)): [.refuse(error)]
            case (.retriesForEver, .record(.upstreamError, _)) where !hasForwarded: [.retry]
            default: [action]
            }
        }
    }
}
