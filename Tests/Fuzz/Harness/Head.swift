import Contracts
import Dispatch
import MartletTestKit
import NIOCore
import NIOEmbedded
import Vocabulary

@testable import Edge

/// The edge up to the provider: a real lane, which reads the bytes itself, with everything behind it played.
///
/// Every call that it starts must be a request that a reader with the letter of RFC 9112 finds in the same bytes, with the same body, in the
/// same order. Every call ends with one record, and every connection ends.
func fuzzHead(_ input: FuzzInput) {
    let calls = StrictReader.requests(input.bytes).filter { $0.method == "POST" }
    for pieces in [[input.buffer], input.pieces()] {
        let bench = LaneBench()
        for piece in pieces {
            bench.receive(piece)
            bench.work()
        }
        check(
            isPart(bench.caller.bodies, of: calls.map(\.body)),
            "a call that nobody asked for: \(bench.caller.bodies.map { String(decoding: $0, as: UTF8.self) })")
        bench.end(isPatient: input.hash & 1 == 0)
        let answers = AnswerReader.count(bench.written)
        check(answers >= bench.settler.answered, "\(bench.settler.answered) calls were answered, but \(answers) answers went out")
    }
}

/// Whether these stand in that order in the others.
private func isPart(_ part: [[UInt8]], of whole: [[UInt8]]) -> Bool {
    var rest = whole[...]
    for element in part {
        guard let place = rest.firstIndex(of: element) else { return false }
        rest = rest[(place + 1)...]
    }
    return true
}

/// A connection with its lane, and the books of what it did.
private final class LaneBench {
    let loop = EmbeddedEventLoop()
    let channel: EmbeddedChannel
    let caller = PlayedCaller()
    let settler = PlayedSettler()
    let budget = BodyBudget(bytes: 1 << 20)
    let dispatcher = ControlDispatcher(plane: SilentPlane())
    let lane: Lane
    var written: [UInt8] = []
    /// Whether the control plane has been asked.
    private var isAsked = false

    static let options = EdgeOptions(bodyMaxBytes: 2_000, controlBodyMaxBytes: 500)
    static let snapshots: SnapshotSource = {
        let provider = Provider(
            id: "p", kind: "openai", host: "h", port: 1, isTLS: false, caFile: nil, basePath: "/v1",
            timeouts: ProviderTimeouts(connectMilliseconds: 60_000, firstByteMilliseconds: 60_000, idleMilliseconds: 60_000), concurrencyMax: 9,
            queueMax: 9, acceptsStreamOptions: false, retriesStaleConnections: true, requestHeads: [[], [], []])
        let model = Model(
            name: "m", nameJSON: Array("\"m\"".utf8), deployments: [Deployment(provider: provider, model: "m", modelJSON: Array("\"m\"".utf8))],
            price: Price(input: 1_000_000_000, output: 2_000_000_000), createdAt: WallTime(microseconds: 0))
        return SnapshotSource(Snapshot(generation: 1, keys: KeyTable(), models: [model], providers: [provider]))
    }()

    init() {
        channel = EmbeddedChannel(loop: loop)
        channel.allowRemoteHalfClosure = true
        lane = Lane(
            loop: LaneLoop(
                loop: loop, options: LaneBench.options, snapshots: LaneBench.snapshots, identifier: PlayedIdentifier(),
                admission: PlayedAdmission(settler: settler), router: PlayedRouter(), caller: caller, settler: settler, control: dispatcher,
                budget: budget, answerBudget: BodyBudget(bytes: 1 << 20), counters: EdgeCounters(), gate: nil, drainState: DrainState(), onSecond: {})
        )
        do {
            try channel.pipeline.syncOperations.addHandler(lane)
            try channel.connect(to: SocketAddress(ipAddress: "192.0.2.1", port: 1)).wait()
        } catch {
            fatalError("no connection: \(error)")
        }
    }

    func receive(_ bytes: ByteBuffer) {
        guard channel.isActive else { return }
        // What the pipeline does not handle comes out here, as it would at the end of a real one.
        _ = try? channel.writeInbound(bytes)
    }

    /// Answers whatever waits for an answer, on both planes, until nothing does.
    func work() {
        while true {
            loop.run()
            if caller.answerNext() { continue }
            guard channel.isActive, case .control = lane.phase else { break }
            answerControl()
        }
        collect()
    }

    private func answerControl() {
        isAsked = true
        let ticket = lane.ticket
        let isChunked = ticket & 1 == 0
        do {
            try lane.controlHead(ticket, status: 200, headers: [("content-type", "text/plain")], contentLength: isChunked ? nil : 7)
            _ = lane.controlBody(ticket, ByteBuffer(string: "control"))
            try lane.controlEnd(ticket)
        } catch {
            fatalError("the control plane cannot answer: \(error)")
        }
    }

    private func collect() {
        while let bytes = try? channel.readOutbound(as: ByteBuffer.self) { written += bytes.readableBytesView }
    }

    /// The client says nothing more: it leaves, or it waits until every limit has passed.
    func end(isPatient: Bool) {
        if isPatient {
            for minutes in [10, 20, 30] where channel.isActive {
                lane.tick(.now() + .minutes(Int64(minutes)))
                work()
            }
            check(!channel.isActive, "a connection without end in \(lane.phase)")
        } else if channel.isActive {
            channel.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
            work()
            // One that carries nothing is closed; one that still reads past a body is left to its timer.
            if channel.isActive { _ = try? channel.finish() }
        }
        loop.run()
        collect()
        let books = settler
        check(books.began == books.ended && books.holdsOpen == 0 && books.holdsDropped == 0, "\(books.began) calls, \(books.ended) ended")
        check(books.began == books.settled, "\(books.began) calls, \(books.settled) records")
        check(budget.take(1 << 20), "memory of a body is not given back")
        forgetRequests()
    }

    /// The timer of the lanes would keep all this alive for ever, and so would the dispatcher's queue with the requests that were answered in
    /// its place.
    private func forgetRequests() {
        lane.loop.finish()
        dispatcher.finish()
        guard isAsked else { return }
        let isEmpty = DispatchSemaphore(value: 0)
        Task.detached { [dispatcher] in
            await dispatcher.run()
            isEmpty.signal()
        }
        isEmpty.wait()
    }
}

private final class PlayedIdentifier: Identifying {
    func identify(_ credential: String, in snapshot: Snapshot, at now: WallTime) -> Result<Principal, GatewayError> {
        guard credential == "good" || credential == "poor" else { return .failure(.invalidKey) }
        return .success(
            Principal(
                keyID: "key", keyName: "", tenant: "t", team: "", agent: "", user: "", rights: credential == "good" ? .inference : [], models: [],
                expiresAt: nil))
    }
}

private final class PlayedAdmission: Admitting {
    private let settler: PlayedSettler

    init(settler: PlayedSettler) { self.settler = settler }

    func ask(_ question: AdmissionQuestion) -> AdmissionVerdict {
        guard question.principal.rights.contains(.inference) else { return .denied(.missingRight("inference")) }
        settler.holdsOpen += 1
        return .granted(Hold(keeper: settler))
    }
}

private final class PlayedRouter: CandidateChoosing {
    func candidates(for model: Model, endpoint: Endpoint) -> [Deployment] { model.deployments }
}

private final class PlayedSettler: CallSettling, HoldKeeping {
    var began = 0
    var ended = 0
    var settled = 0
    var answered = 0
    var holdsOpen = 0
    var holdsDropped = 0

    func nextRecordID() -> RecordID { RecordID(boot: 1, loop: 0, sequence: UInt64(settled)) }

    func settle(_ record: UsageRecord, hold: consuming Hold) -> Bool {
        hold.settle()
        settled += 1
        if record.outcome == .success { answered += 1 }
        return true
    }

    func refuse(_ record: UsageRecord, isAuthenticated: Bool) {}
    func callBegan() { began += 1 }
    func callEnded() { ended += 1 }
    func holdSettled() { holdsOpen -= 1 }
    func holdGivenBack() { holdsOpen -= 1 }
    func holdDropped() { holdsDropped += 1 }
}

/// A provider that answers every call, plain ones and streams by turns, when it is asked to.
private final class PlayedCaller: UpstreamCalling {
    private(set) var bodies: [[UInt8]] = []
    private var waiting: [PlayedAttempt] = []

    func start(_ order: UpstreamOrder, for listener: any UpstreamListener) -> any UpstreamAttempt {
        bodies.append(order.body.flatMap { $0.readableBytesView })
        let lines = String(buffer: order.extraHeaders) + "x-request-id: \(order.requestID)\r\n"
        check(
            lines.hasSuffix("\r\n") && !lines.contains("\r\n\r\n") && isSound(Array(lines.utf8)),
            "lines that a provider would read otherwise: \(lines)")
        let attempt = PlayedAttempt(listener: listener, isStream: bodies.count.isMultiple(of: 2))
        waiting.append(attempt)
        listener.upstreamStarted()
        return attempt
    }

    /// - Returns: whether there was one to answer.
    func answerNext() -> Bool {
        guard !waiting.isEmpty else { return false }
        waiting.removeFirst().answer()
        return true
    }
}

private final class PlayedAttempt: UpstreamAttempt {
    private var listener: (any UpstreamListener)?
    private let isStream: Bool

    init(listener: any UpstreamListener, isStream: Bool) {
        self.listener = listener
        self.isStream = isStream
    }

    func pause() {}
    func resume() {}
    func cancel() { listener = nil }
    func finishQuietly() { listener = nil }

    func answer() {
        listener?.upstreamHead(
            UpstreamHead(
                status: 200, isEventStream: isStream, isJSON: !isStream, contentLength: -1,
                contentType: ByteBuffer(string: "content-type: \(isStream ? "text/event-stream" : "application/json")\r\n"), passedOn: ByteBuffer()))
        let text = #"{"choices":[{"message":{"content":"a"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#
        listener?.upstreamBytes(ByteBuffer(string: isStream ? "data: \(text)\n\ndata: [DONE]\n\n" : text))
        listener?.upstreamReadComplete()
        let told = listener
        listener = nil
        told?.upstreamEnd()
    }
}

/// Never asked: the bench answers in its place.
private struct SilentPlane: ControlPlane {
    func answer(_ request: ControlRequest, to writer: any ControlResponseWriter) async throws {}
}
