internal import Contracts
internal import Dialects
import NIOCore
import NIOHTTP1
internal import Vocabulary

/// One client connection: reads requests, keeps them in order over both planes, and gives each to the walk or to the control plane.
///
/// A request that arrives while another is being answered waits here, so neither plane can overtake the other, and the socket is not read
/// any further. The walk of a model call is in ``ModelCall``; bodies are in `Lane+Bodies`, answers in `Lane+Answers`, the control plane's side
/// in `Lane+Control`, limits of time in `Lane+Timers`.
final class Lane: ChannelDuplexHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// What the lane is doing with the bytes that come.
    enum Phase {
        /// Between two requests.
        case idle
        /// Reading the body of a model call.
        case callBody
        /// A model call is being walked; its body is here.
        case call
        /// Reading and dropping the body of a request whose answer is known: sent when the body has ended.
        case dropBody(then: Reply)
        /// The answer is out and the connection is to end; what the client still sends is dropped for a while, so that it can read the answer.
        case lingering(until: NIODeadline)
        /// Reading the body of a control-plane request.
        case controlBody
        /// The control plane is answering.
        case control
        case closed
    }

    /// An answer that waits for the end of a body.
    enum Reply {
        /// `hints`: lines of the provider's that tell the client when to come back.
        case refusal(GatewayError, attempts: Int, hints: ByteBuffer = ByteBuffer())
        case models(ByteBuffer)
    }

    let loop: LaneLoop
    var phase = Phase.idle
    var context: ChannelHandlerContext?
    var head: HTTPRequestHead?
    var facts: RequestFacts?
    var requestID = ""
    var call: ModelCall?
    var body = ByteBuffer()
    /// What of the process's budget this connection holds.
    var budgetHeld = 0
    var budgetWaitSince: NIODeadline?
    var waiting: CircularBuffer<HTTPServerRequestPart> = []
    private var isTakingWaiting = false
    private var isReadWanted = false
    private var closesAfterAnswer = false
    /// Whether the answer in hand tells the client that the connection ends with it.
    var hasSaidClose = false
    /// Whether the rest of the request in hand will not come, or cannot be read: nothing waits for it.
    private var isInputBroken = false
    var lastProgress = NIODeadline.now()
    var requestBegan = NIODeadline.now()
    var headBegan: NIODeadline?
    private var sawPart = false
    var unwritableSince: NIODeadline?
    /// What waited to be written at the last look.
    var unwrittenBytes = 0
    var droppedBytes = 0
    private(set) var clientAddress = ""
    /// Grows with every request; answers of the control plane carry it.
    var ticket: UInt64 = 0
    var controlIsChunked = false
    private var knownCredential: (text: String, principal: Principal, generation: UInt64)?

    /// What is read and dropped of a request that has been refused already, in bytes.
    static let dropMaxBytes = 16 << 20
    /// A refused request with a body up to here keeps its connection.
    private static let dropKeepsConnectionMaxBytes = 64 << 10
    private static let lingerMax = TimeAmount.seconds(2)

    init(loop: LaneLoop) {
        self.loop = loop
    }

    // MARK: Channel events

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        if context.channel.isActive { opened(context) }
    }

    func channelActive(context: ChannelHandlerContext) {
        opened(context)
        context.fireChannelActive()
    }

    private func opened(_ context: ChannelHandlerContext) {
        guard clientAddress.isEmpty else { return }
        clientAddress = context.channel.remoteAddress?.ipAddress ?? "unix"
        lastProgress = .now()
        loop.add(self)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
    }

    func channelInactive(context: ChannelHandlerContext) {
        gone()
        context.fireChannelInactive()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let event = event as? ChannelEvent, event == .inputClosed { inputClosed() }
        context.fireUserInboundEventTriggered(event)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if let error = error as? HTTPParserError {
            // The connection ended within a message: that is a client that left, not one that wrote nonsense.
            if error == .invalidEOFState { inputClosed() } else { unreadable(error) }
        } else {
            context.close(promise: nil)
        }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        let isWritable = context.channel.isWritable
        unwritableSince = isWritable ? nil : .now()
        call?.clientWritability(isWritable)
        context.fireChannelWritabilityChanged()
    }

    func read(context: ChannelHandlerContext) {
        if wantsBytes { context.read() } else { isReadWanted = true }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        // Bytes came, but no request: a head has begun.
        if !sawPart, case .idle = phase, waiting.isEmpty, headBegan == nil { headBegan = .now() }
        sawPart = false
        context.fireChannelReadComplete()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let part = unwrapInboundIn(data)
        sawPart = true
        switch phase {
        case .idle, .callBody, .dropBody, .controlBody, .lingering:
            guard waiting.isEmpty, budgetWaitSince == nil else {
                waiting.append(part)
                return
            }
            take(part)
        case .call, .control: waiting.append(part)
        case .closed: break
        }
    }

    /// Whether the socket is to be read: not once a request waits behind the one being answered, and not while the body waits for memory.
    ///
    /// It is read while an answer is being made, although nothing is expected: telling the kernel otherwise and back would be two system
    /// calls a request.
    private var wantsBytes: Bool { waiting.isEmpty && budgetWaitSince == nil }

    private func readOn() {
        guard isReadWanted, wantsBytes, let context else { return }
        isReadWanted = false
        context.read()
    }

    // MARK: Parts of requests

    private func take(_ part: HTTPServerRequestPart) {
        lastProgress = .now()
        switch part {
        case .head(let head): begin(head)
        case .body(let bytes): takeBody(bytes)
        case .end: endBody()
        }
    }

    private func begin(_ head: HTTPRequestHead) {
        guard case .idle = phase else { return }
        headBegan = nil
        requestBegan = lastProgress
        ticket &+= 1
        let facts = RequestFacts(head)
        self.head = head
        self.facts = facts
        requestID = facts.requestID ?? loop.makeRequestID()
        closesAfterAnswer = !head.isKeepAlive
        isInputBroken = false
        hasSaidClose = false
        droppedBytes = 0
        switch RequestTarget(uri: head.uri) {
        case .model(let endpoint): beginCall(endpoint, head, facts)
        case .modelList: beginModels(nil, head, facts)
        case .modelItem(let id): beginModels(id, head, facts)
        case .unknown(let path): refuse(.unknownPath(path))
        case .control: beginControl(head, facts)
        }
    }

    private func beginCall(_ endpoint: Endpoint, _ head: HTTPRequestHead, _ facts: RequestFacts) {
        let snapshot = loop.currentSnapshot()
        let call = ModelCall(lane: self, endpoint: endpoint, snapshot: snapshot, requestID: requestID, facts: facts)
        self.call = call
        phase = .callBody
        switch check(head, facts, endpoint: endpoint, snapshot: snapshot, now: call.startedAt) {
        case .failure(let error): call.refuse(error)
        case .success(let principal):
            call.begin(principal)
            // The answer before this one may have left the client with more than it can take at once.
            if unwritableSince != nil { call.clientWritability(false) }
            reserveBody(facts)
            if facts.expect != nil { sendContinue() }
        }
    }

    /// Everything that can be refused by the head alone.
    private func check(
        _ head: HTTPRequestHead, _ facts: RequestFacts, endpoint: Endpoint, snapshot: Snapshot, now: WallTime
    ) -> Result<Principal, GatewayError> {
        if head.method != .POST { return .failure(.wrongMethod(allowed: "POST")) }
        if let expect = facts.expect, !isName(expect, "100-continue") { return .failure(.expectationFailed) }
        switch identify(facts, snapshot, now) {
        case .failure(let error): return .failure(error)
        case .success(let principal):
            call?.principal = principal
            if let encoding = facts.contentEncoding { return .failure(.unsupportedEncoding(encoding)) }
            if let length = facts.contentLength, length > loop.options.bodyMaxBytes {
                return .failure(.bodyTooLarge(limitBytes: loop.options.bodyMaxBytes))
            }
            return .success(principal)
        }
    }

    /// Who sends this. The same credential on the same connection under the same snapshot needs no second look-up.
    func identify(_ facts: RequestFacts, _ snapshot: Snapshot, _ now: WallTime) -> Result<Principal, GatewayError> {
        guard let credential = facts.credential else { return .failure(.missingKey) }
        if let known = knownCredential, known.generation == snapshot.generation, isSame(known.text, credential),
            !known.principal.isExpired(at: now)
        {
            return .success(known.principal)
        }
        let answer = loop.identifier.identify(credential, in: snapshot, at: now)
        if case .success(let principal) = answer { knownCredential = (credential, principal, snapshot.generation) }
        return answer
    }

    private func beginModels(_ id: String?, _ head: HTTPRequestHead, _ facts: RequestFacts) {
        let snapshot = loop.currentSnapshot()
        guard head.method == .GET else { return refuse(.wrongMethod(allowed: "GET")) }
        switch identify(facts, snapshot, WallTime.now) {
        case .failure(let error): refuse(error)
        case .success(let principal):
            guard principal.rights.contains(.inference) else { return refuse(.missingRight("inference")) }
            guard let id else { return reply(.models(modelList(snapshot, principal))) }
            guard let model = snapshot.model(named: id), principal.mayUse(model: model.name) else { return refuse(.unknownModel(id)) }
            var body = ByteBuffer()
            body.writeOpenAIModel(model)
            reply(.models(body))
        }
    }

    private func modelList(_ snapshot: Snapshot, _ principal: Principal) -> ByteBuffer {
        var body = ByteBuffer()
        body.writeStaticString("{\"object\":\"list\",\"data\":[")
        var isFirst = true
        for model in snapshot.models where principal.mayUse(model: model.name) {
            if !isFirst { body.writeStaticString(",") }
            isFirst = false
            body.writeOpenAIModel(model)
        }
        body.writeStaticString("]}")
        return body
    }

    // MARK: Between two requests

    /// Sends an answer that is ready before its request has been read whole.
    func reply(_ reply: Reply) {
        releaseBody()
        guard let facts, context != nil else { return }
        let isBodyComing: Bool
        switch phase {
        case .call, .control, .closed: isBodyComing = false
        case .idle, .callBody, .controlBody, .dropBody, .lingering: isBodyComing = true
        }
        if isInputBroken {
            send(reply)
            return
        }
        let isShort = (facts.contentLength ?? (facts.isChunked ? Int.max : 0)) <= Lane.dropKeepsConnectionMaxBytes && facts.expect == nil
        if !isBodyComing || isShort {
            if isBodyComing { phase = .dropBody(then: reply) } else { send(reply) }
            readOn()
        } else {
            closesAfterAnswer = true
            send(reply)
        }
    }

    /// Refuses a request that is no model call, or was never one.
    func refuse(_ error: GatewayError) {
        reply(.refusal(error, attempts: 0))
    }

    /// An answer is out: the next request may be taken, or the connection ends.
    func answered() {
        call = nil
        releaseBody()
        let bodyIsOpen: Bool
        switch phase {
        case .callBody, .controlBody, .idle: bodyIsOpen = true
        case .dropBody: bodyIsOpen = isInputBroken
        case .call, .control, .lingering, .closed: bodyIsOpen = false
        }
        head = nil
        // Only a client that has been told may be left: an answer that was begun before a drain did not say so, and its connection ends when
        // the drain closes what is idle.
        guard !closesAfterAnswer, !hasSaidClose else {
            if bodyIsOpen || !waiting.isEmpty {
                // Closing while unread bytes wait would reset the connection and could take the answer with it.
                waiting.removeAll()
                phase = .lingering(until: .now() + Lane.lingerMax)
                context?.close(mode: .output, promise: nil)
                readOn()
            } else {
                phase = .closed
                closeAfterFlush()
            }
            return
        }
        phase = .idle
        lastProgress = .now()
        takeWaiting()
    }

    private func closeAfterFlush() {
        guard let context else { return }
        context.writeAndFlush(wrapOutboundOut(ByteBuffer())).assumeIsolated().whenComplete { _ in context.close(promise: nil) }
    }

    func takeWaiting() {
        // An answer that needs nobody else comes back here from within the loop below; the loop then goes on, instead of growing the stack
        // by a turn for every request of a burst.
        guard !isTakingWaiting else { return }
        isTakingWaiting = true
        defer { isTakingWaiting = false }
        while budgetWaitSince == nil, !waiting.isEmpty {
            switch phase {
            case .call, .control, .closed: return
            case .idle, .callBody, .dropBody, .controlBody, .lingering: take(waiting.removeFirst())
            }
        }
        readOn()
    }

    /// Whether the connection ends with the answer in hand. A drain lets go of it, but first answers what has been read already.
    var willClose: Bool { closesAfterAnswer || (loop.drainState.isDraining && waiting.isEmpty) }
    var isHTTP10: Bool { head.map { $0.version.major == 1 && $0.version.minor == 0 } ?? false }

    /// The answer has no end of its own: it ends with the connection.
    func closeWithAnswer() { closesAfterAnswer = true }

    // MARK: Ends

    private func inputClosed() {
        switch phase {
        case .call, .callBody:
            call?.clientLeft()
            context?.close(promise: nil)
        case .control:
            // The answer is on its way and costs nobody anything.
            closesAfterAnswer = true
        case .idle, .dropBody, .controlBody, .lingering, .closed:
            context?.close(promise: nil)
        }
    }

    private func gone() {
        phase = .closed
        waiting.removeAll()
        loop.remove(self)
        call?.clientLeft()
        call = nil
        releaseBody()
    }

    private func unreadable(_ error: HTTPParserError) {
        let refusal: GatewayError = error == .headerOverflow ? .headTooLarge : .malformedRequest(String(describing: error))
        giveUpInput()
        switch phase {
        case .callBody: call?.refuse(refusal)
        case .dropBody(let then): send(then)
        case .idle, .controlBody:
            requestID = loop.makeRequestID()
            facts = facts ?? RequestFacts(HTTPRequestHead(version: .http1_1, method: .GET, uri: "/"))
            phase = .controlBody
            send(.refusal(refusal, attempts: 0))
        case .call, .control:
            // What came behind the request in hand is broken; that one is answered, and then the connection ends.
            break
        case .lingering, .closed: break
        }
    }

    /// The connection ends with the next answer, and the body, if one is coming, is not waited for.
    func giveUpInput() {
        closesAfterAnswer = true
        isInputBroken = true
    }

    func closeIfIdle() {
        if case .idle = phase, waiting.isEmpty, headBegan == nil { context?.close(promise: nil) }
    }

    func endRunningCall() {
        switch phase {
        case .call, .callBody:
            giveUpInput()
            call?.drain()
        case .dropBody(let then):
            giveUpInput()
            send(then)
        case .idle, .lingering, .controlBody, .control: context?.close(promise: nil)
        case .closed: break
        }
    }
}

/// Compares credentials in a time that does not depend on where they differ.
private func isSame(_ left: String, _ right: String) -> Bool {
    var left = left
    var right = right
    return left.withUTF8 { left in
        right.withUTF8 { right in
            guard left.count == right.count else { return false }
            var difference: UInt8 = 0
            for index in 0..<left.count { difference |= left[index] ^ right[index] }
            return difference == 0
        }
    }
}
