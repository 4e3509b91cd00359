import Vocabulary
import Walk

/// Names for the events of the table, one for every payload class that the walk could tell apart.
enum Events {
    static let oneError = GatewayError.invalidKey
    static let failures: [UpstreamFailure] = [.unreachable, .staleConnection, .cut, .invalid, .errorInSuccess, .timeout, .queueFull]

    static let all: [WalkEvent] =
        [
            .head, .body, .denied(oneError), .granted(candidates: 0), .granted(candidates: 1), .granted(candidates: 3),
            .upstreamHead(.plain), .upstreamHead(.stream), .upstreamHead(.error(status: 400)), .upstreamHead(.error(status: 408)),
            .upstreamHead(.error(status: 429)), .upstreamHead(.error(status: 500)), .upstreamBytes, .answerTooLarge, .upstreamEnd,
            .deadline, .clientUnwritable, .clientWritable, .clientGone, .journaled, .journalFailed, .drain,
        ] + failures.map { .upstreamFailed($0) }
}

/// A walk brought into a state by the shortest way.
enum Standing: CaseIterable {
    case idle, reading, asking
    /// The only candidate, or the last one, is being tried.
    case callingLast
    /// Another candidate is left.
    case callingFirstOfTwo
    /// A stale connection has been retried already.
    case callingAgain
    case gathering
    case gatheringFirstOfTwo
    case gatheringError
    case streaming
    case streamingPaused
    case recordingRelease, recordingStreamRelease, recordingRefusal, recordingBreakOff, recordingNothing
    case ended

    /// The events that lead here from the start.
    var way: [WalkEvent] {
        let called: [WalkEvent] = [.head, .body, .granted(candidates: 1)]
        let calledOfTwo: [WalkEvent] = [.head, .body, .granted(candidates: 2)]
        return switch self {
        case .idle: []
        case .reading: [.head]
        case .asking: [.head, .body]
        case .callingLast: called
        case .callingFirstOfTwo: calledOfTwo
        case .callingAgain: called + [.upstreamFailed(.staleConnection)]
        case .gathering: called + [.upstreamHead(.plain)]
        case .gatheringFirstOfTwo: calledOfTwo + [.upstreamHead(.plain)]
        case .gatheringError: called + [.upstreamHead(.error(status: 500))]
        case .streaming: called + [.upstreamHead(.stream)]
        case .streamingPaused: called + [.upstreamHead(.stream), .clientUnwritable]
        case .recordingRelease: called + [.upstreamHead(.plain), .upstreamEnd]
        case .recordingStreamRelease: called + [.upstreamHead(.stream), .upstreamEnd]
        case .recordingRefusal: [.denied(Events.oneError)]
        case .recordingBreakOff: called + [.upstreamHead(.stream), .upstreamFailed(.cut)]
        case .recordingNothing: called + [.clientGone]
        case .ended: called + [.upstreamHead(.plain), .upstreamEnd, .journaled]
        }
    }

    func walk(rules: Walk.Rules = Walk.Rules()) -> Walk {
        var walk = Walk(rules: rules)
        walk.provider = "p"
        for event in way { _ = walk.handle(event) }
        return walk
    }
}

/// What a row of the table expects: what is done, and where the walk stands then.
struct Expected: Equatable {
    var actions: [WalkAction]
    var state: Walk.State

    init(_ actions: [WalkAction], _ state: Walk.State) {
        self.actions = actions
        self.state = state
    }

    /// Records, with the provider's attempt ended first where one runs.
    static func record(_ outcome: Outcome, _ error: GatewayError?, then ending: Walk.Ending, cancels: Bool = false) -> Expected {
        Expected((cancels ? [.cancelUpstream] : []) + [.record(outcome, error)], .recording(ending))
    }

    static func refuse(_ outcome: Outcome, _ error: GatewayError, cancels: Bool = false) -> Expected {
        record(outcome, error, then: .refuse(error), cancels: cancels)
    }

    static func breakOff(_ outcome: Outcome, _ error: GatewayError, cancels: Bool = false) -> Expected {
        record(outcome, error, then: .breakOff(error), cancels: cancels)
    }
}

extension Standing {
    /// The rules of the walk, as a table: `nil` for an event that has no meaning here and changes nothing.
    func expected(_ event: WalkEvent) -> Expected? {
        switch self {
        case .idle: beforeTheCall(event)
        case .reading: whileReading(event)
        case .asking: whileAsking(event)
        case .callingLast, .callingAgain: whileCalling(event, hasNext: false)
        case .callingFirstOfTwo: whileCalling(event, hasNext: true)
        case .gathering: whileGathering(event, hasNext: false)
        case .gatheringFirstOfTwo: whileGathering(event, hasNext: true)
        case .gatheringError: whileGatheringError(event)
        case .streaming, .streamingPaused: whileStreaming(event)
        case .recordingRelease: whileRecording(event, .release, written: .release, failed: .refuse(.journalUnavailable))
        case .recordingStreamRelease: whileRecording(event, .release, written: .release, failed: .breakOff(.journalUnavailable))
        case .recordingRefusal:
            whileRecording(event, .refuse(Events.oneError), written: .refuse(Events.oneError), failed: .refuse(Events.oneError))
        case .recordingBreakOff:
            whileRecording(
                event, .breakOff(.streamCut(provider: "p")), written: .breakOff(.streamCut(provider: "p")),
                failed: .breakOff(.streamCut(provider: "p")))
        case .recordingNothing: whileRecording(event, .nothing, written: .close, failed: .close)
        case .ended: nil
        }
    }

    private func beforeTheCall(_ event: WalkEvent) -> Expected? {
        switch event {
        case .head: Expected([.readBody], .reading)
        case .denied(let error): .refuse(.refused, error)
        default: nil
        }
    }

    private func whileReading(_ event: WalkEvent) -> Expected? {
        switch event {
        case .body: Expected([.ask], .asking)
        case .denied(let error): .refuse(.refused, error)
        case .deadline: .refuse(.timeout, .requestTimeout)
        case .clientGone: .record(.clientGone, nil, then: .nothing)
        case .drain: .refuse(.drained, .draining)
        default: nil
        }
    }

    private func whileAsking(_ event: WalkEvent) -> Expected? {
        switch event {
        case .granted(0): .refuse(.refused, .internalFault)
        case .granted: Expected([.call], .calling)
        case .denied(let error): .refuse(.refused, error)
        case .deadline: .refuse(.timeout, .upstreamTimeout(provider: "p"))
        case .clientGone: .record(.clientGone, nil, then: .nothing)
        case .drain: .refuse(.drained, .draining)
        default: nil
        }
    }

    /// Nothing has come of the answer: everything may still become another attempt.
    private func whileCalling(_ event: WalkEvent, hasNext: Bool) -> Expected? {
        switch event {
        case .upstreamHead(.plain): return Expected([], .gathering(status: nil))
        case .upstreamHead(.stream): return Expected([.forwardHead], .streaming)
        case .upstreamHead(.error(let status)):
            // 400 is the request's own fault: no other provider would like it better.
            if hasNext, status != 400 { return Expected([.cancelUpstream, .fallBack(.status(status))], .calling) }
            return Expected([], .gathering(status: status))
        case .upstreamFailed(.staleConnection) where self != .callingAgain: return Expected([.retry], .calling)
        default: return whileUnanswered(event, hasNext: hasNext)
        }
    }

    private func whileGathering(_ event: WalkEvent, hasNext: Bool) -> Expected? {
        switch event {
        case .upstreamBytes: Expected([.gather], .gathering(status: nil))
        case .answerTooLarge: Expected([.forwardHead, .forward], .streaming)
        case .upstreamEnd: .record(.success, nil, then: .release)
        case .upstreamFailed(.staleConnection): Expected([.retry], .calling)
        default: whileUnanswered(event, hasNext: hasNext)
        }
    }

    private func whileGatheringError(_ event: WalkEvent) -> Expected? {
        switch event {
        case .upstreamBytes: Expected([.gather], .gathering(status: 500))
        case .answerTooLarge: .refuse(.upstreamError, .upstreamInvalidAnswer(provider: "p"), cancels: true)
        case .upstreamEnd: .record(.upstreamError, .upstreamStatus(provider: "p", status: 500), then: .release)
        case .upstreamFailed(.staleConnection): Expected([.retry], .calling)
        default: whileUnanswered(event, hasNext: false)
        }
    }

    /// What ends an attempt of which the client has seen nothing.
    private func whileUnanswered(_ event: WalkEvent, hasNext: Bool) -> Expected? {
        switch event {
        case .deadline: return .refuse(.timeout, .upstreamTimeout(provider: "p"), cancels: true)
        case .clientGone: return .record(.clientGone, nil, then: .nothing, cancels: true)
        case .drain: return .refuse(.drained, .draining, cancels: true)
        case .upstreamFailed(let failure):
            let (reason, outcome, error): (FallbackReason, Outcome, GatewayError) =
                switch failure {
                case .unreachable: (.unreachable, .upstreamError, .upstreamUnreachable(provider: "p"))
                case .staleConnection: (.cut, .upstreamError, .upstreamUnreachable(provider: "p"))
                case .cut: (.cut, .upstreamError, .upstreamInvalidAnswer(provider: "p"))
                case .invalid: (.invalid, .upstreamError, .upstreamInvalidAnswer(provider: "p"))
                case .errorInSuccess: (.invalid, .upstreamError, .upstreamStatus(provider: "p", status: 502))
                case .timeout: (.timeout, .timeout, .upstreamTimeout(provider: "p"))
                case .queueFull: (.queueFull, .refused, .queueFull(provider: "p"))
                }
            return hasNext ? Expected([.fallBack(reason)], .calling) : .refuse(outcome, error)
        default: return nil
        }
    }

    /// The client has the head: only the stream itself can carry an error now.
    private func whileStreaming(_ event: WalkEvent) -> Expected? {
        switch event {
        case .upstreamBytes: Expected([.forward], .streaming)
        case .upstreamEnd: .record(.success, nil, then: .release)
        case .upstreamFailed(.timeout): .breakOff(.timeout, .upstreamTimeout(provider: "p"))
        case .upstreamFailed: .breakOff(.streamCut, .streamCut(provider: "p"))
        case .deadline: .breakOff(.timeout, .upstreamTimeout(provider: "p"), cancels: true)
        case .drain: .breakOff(.drained, .draining, cancels: true)
        case .clientGone: .record(.clientGone, nil, then: .nothing, cancels: true)
        case .clientUnwritable: self == .streamingPaused ? nil : Expected([.pauseUpstream], .streaming)
        case .clientWritable: self == .streamingPaused ? Expected([.resumeUpstream], .streaming) : nil
        default: nil
        }
    }

    private func whileRecording(_ event: WalkEvent, _ ending: Walk.Ending, written: WalkAction, failed: WalkAction) -> Expected? {
        switch event {
        case .journaled: Expected([written], .ended)
        case .journalFailed: Expected([failed], .ended)
        case .clientGone: Expected([], .recording(.nothing))
        default: nil
        }
    }
}
