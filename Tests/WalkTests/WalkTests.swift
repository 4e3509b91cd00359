import Testing
import Vocabulary
import Walk

@Suite struct WalkTests {
    @Test(arguments: Standing.allCases) func `every event in every state`(standing: Standing) {
        for event in Events.all {
            let before = standing.walk()
            var walk = before
            let actions = walk.handle(event).list
            if let expected = standing.expected(event) {
                #expect(actions == expected.actions, "\(standing): \(event)")
                #expect(walk.state == expected.state, "\(standing): \(event)")
            } else {
                #expect(actions.isEmpty, "\(standing): \(event)")
                #expect(walk.state == before.state, "\(standing): \(event)")
            }
        }
    }

    @Test(arguments: Standing.allCases) func `the way into a state leads there`(standing: Standing) {
        let expected: Walk.State =
            switch standing {
            case .idle: .idle
            case .reading: .reading
            case .asking: .asking
            case .callingLast, .callingFirstOfTwo, .callingAgain: .calling
            case .gathering, .gatheringFirstOfTwo: .gathering(status: nil)
            case .gatheringError: .gathering(status: 500)
            case .streaming, .streamingPaused: .streaming
            case .recordingRelease, .recordingStreamRelease: .recording(.release)
            case .recordingRefusal: .recording(.refuse(Events.oneError))
            case .recordingBreakOff: .recording(.breakOff(.streamCut(provider: "p")))
            case .recordingNothing: .recording(.nothing)
            case .ended: .ended
            }
        #expect(standing.walk().state == expected)
    }

    @Test(arguments: Standing.allCases) func `with continue a lost record changes nothing for the client`(standing: Standing) {
        var refusing = standing.walk()
        var continuing = standing.walk(rules: Walk.Rules(continuesWithoutJournal: true))
        let failed = continuing.handle(.journalFailed)
        #expect(failed == refusing.handle(.journaled))
        #expect(continuing.state == refusing.state)
    }

    @Test func `a provider whose stale connections are not retried counts as unreachable`() {
        var walk = Standing.callingLast.walk(rules: Walk.Rules(retriesStaleConnections: false))
        #expect(walk.handle(.upstreamFailed(.staleConnection)).list == [.record(.upstreamError, .upstreamUnreachable(provider: "p"))])
        var next = Standing.callingFirstOfTwo.walk(rules: Walk.Rules(retriesStaleConnections: false))
        #expect(next.handle(.upstreamFailed(.staleConnection)).list == [.fallBack(.cut)])
        #expect(next.attempts == 2 && next.candidate == 1)
    }

    @Test func `each candidate gets its own retry, and each attempt counts`() {
        var walk = Walk()
        for event in [.head, .body, .granted(candidates: 2)] as [WalkEvent] { _ = walk.handle(event) }
        let actions = (0..<4).map { _ in walk.handle(.upstreamFailed(.staleConnection)).list }
        #expect(actions[..<3] == [[.retry], [.fallBack(.cut)], [.retry]])
        #expect(actions[3] == [.record(.upstreamError, .upstreamUnreachable(provider: ""))])
        #expect(walk.attempts == 4 && walk.candidate == 1)
    }

    @Test(arguments: 400...599) func `another provider is tried for overload and faults of the provider's own`(status: Int) {
        let isWorthIt = [408, 429].contains(status) || status >= 500
        #expect(Walk.isWorthAnotherProvider(status: status) == isWorthIt)
        var walk = Standing.callingFirstOfTwo.walk()
        let actions = walk.handle(.upstreamHead(.error(status: status))).list
        #expect(actions == (isWorthIt ? [.cancelUpstream, .fallBack(.status(status))] : []))
    }

    @Test(arguments: [Standing.reading, .asking, .callingLast]) func `a client that is slow before the answer begins has the provider wait`(
        standing: Standing
    ) {
        var walk = standing.walk()
        #expect(walk.handle(.clientUnwritable).list.isEmpty && walk.handle(.clientUnwritable).list.isEmpty)
        for event in Standing.callingLast.way.dropFirst(standing.way.count) { _ = walk.handle(event) }
        #expect(walk.handle(.upstreamHead(.stream)).list == [.pauseUpstream, .forwardHead])
        #expect(walk.handle(.clientWritable).list == [.resumeUpstream])
    }

    @Test func `a client that is slow when a large plain answer begins has the provider wait`() {
        var walk = Standing.gathering.walk()
        #expect(walk.handle(.clientUnwritable).list.isEmpty)
        #expect(walk.handle(.answerTooLarge).list == [.pauseUpstream, .forwardHead, .forward])
        #expect(walk.handle(.clientWritable).list == [.resumeUpstream])
        var quick = Standing.gathering.walk()
        #expect(quick.handle(.clientUnwritable).list.isEmpty && quick.handle(.clientWritable).list.isEmpty)
        #expect(quick.handle(.answerTooLarge).list == [.forwardHead, .forward])
    }

    @Test func `an oversize error lets the next candidate try`() {
        var walk = Standing.callingFirstOfTwo.walk()
        _ = walk.handle(.upstreamHead(.error(status: 400)))
        #expect(walk.handle(.answerTooLarge).list == [.cancelUpstream, .fallBack(.invalid)])
        #expect(walk.state == .calling && !walk.hasForwardedHead)
    }

    @Test func `the reasons for a fallback have words of their own`() {
        let reasons: [FallbackReason] = [.unreachable, .cut, .invalid, .timeout, .queueFull, .status(429), .status(500)]
        #expect(reasons.map(\.name) == ["unreachable", "cut", "invalid_response", "timeout", "queue_full", "status_429", "status_500"])
    }
}
