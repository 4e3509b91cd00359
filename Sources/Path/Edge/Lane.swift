internal import Contracts
internal import Dialects
import NIOCore
internal import Vocabulary

/// One client connection: reads requests, keeps them in order over both planes, and gives each to the walk or to the control plane.
///
/// A request that arrives while another is being answered waits here, so neither plane can overtake the other, and the socket is not read
/// any further. What a head asks for is in `Lane+Requests`, the walk of a model call in ``ModelCall``; bodies are in `Lane+Bodies`, answers in
/// `Lane+Answers`, the control plane's side in `Lane+Control`, limits of time in `Lane+Timers`, beginnings and ends in `Lane+Ends`.
final class Lane: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
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
        /// `hints`: lines of the provider's that tell the client when to come back. `body`: the provider's own words, in place of ours.
        case refusal(GatewayError, attempts: Int, hints: ByteBuffer = ByteBuffer(), body: ByteBuffer? = nil)
        case models(ByteBuffer)
    }

    /// By which door the connection came.
    struct Entry: Sendable {
        /// A socket in the file system: its clients have no address.
        var isUnix = false
        var isTLS = false
        /// A load balancer says by the PROXY protocol whom it brings.
        var isProxied = false
    }

    let loop: LaneLoop
    let entry: Entry
    var phase = Phase.idle
    var context: ChannelHandlerContext?
    private var parser = RequestParser()
    /// The request in hand.
    var facts: RequestFacts?
    var requestID = ""
    var call: ModelCall?
    var body = ByteBuffer()
    /// What of the process's budget this connection holds.
    var budgetHeld = 0
    var budgetWaitSince: NIODeadline?
    var waiting: CircularBuffer<RequestParser.Event> = []
    private var isTakingWaiting = false
    private var isReadWanted = false
    var closesAfterAnswer = false
    /// Whether the answer in hand tells the client that the connection ends with it.
    var hasSaidClose = false
    /// Whether the rest of the request in hand will not come, or cannot be read: nothing waits for it.
    var isInputBroken = false
    var lastProgress = NIODeadline.now()
    var requestBegan = NIODeadline.now()
    var headBegan: NIODeadline?
    private var sawPart = false
    /// Since when TLS or the load balancer's word is awaited; `nil` once requests may come.
    var openingSince: NIODeadline?
    /// Where a window of a body began, and what has come of the body in it.
    var windowBegan = NIODeadline.now()
    var windowBytes = 0
    /// Set while more waits to be written than a client should leave waiting.
    var unwritableSince: NIODeadline?
    /// Set a moment later: most of what is unwritable is written at once, and asking the kernel costs.
    var writeWatch: WriteWatch?
    /// All that was ever written, in bytes.
    var writtenBytes = 0
    /// What was unsent when the connection was found idle.
    var idleUnsentBytes: Int?
    var droppedBytes = 0
    /// What this connection holds of the memory for answers that are kept whole.
    var answerHeld = 0
    /// Who connected, and who the client is: two where a trusted proxy stands between.
    var peer: IPAddress?
    var peerAddress = ""
    var clientAddress = ""
    /// Whether the other side is a proxy that is trusted to name its clients.
    var speaksForOthers = false
    var gatePlace: GatePlace?
    /// Whether the connection itself was refused, and whether it still hears why.
    var isRefused = false
    var lingersRefused = false
    var hasOpened = false
    /// Grows with every request; answers of the control plane carry it.
    var ticket: UInt64 = 0
    /// Of a request that is for the control plane.
    var controlHeaders: [(name: String, value: String)] = []
    var controlIsChunked = false
    var knownCredential: (text: String, principal: Principal, generation: UInt64)?

    /// What is read and dropped of a request that has been refused already, in bytes.
    static let dropMaxBytes = 16 << 20
    /// A refused request with a body up to here keeps its connection.
    private static let dropKeepsConnectionMaxBytes = 64 << 10
    private static let lingerMax = TimeAmount.seconds(2)

    init(loop: LaneLoop, entry: Entry = Entry()) {
        self.loop = loop
        self.entry = entry
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

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
    }

    func channelInactive(context: ChannelHandlerContext) {
        gone()
        context.fireChannelInactive()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let event = event as? ChannelEvent {
            if event == .inputClosed { inputClosed() }
        } else if openingSince != nil {
            opening(event)
        }
        context.fireUserInboundEventTriggered(event)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        broken(error, context)
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        let isWritable = context.channel.isWritable
        unwritableSince = isWritable ? nil : .now()
        writeWatch = nil
        if isWritable, call == nil { releaseAnswer() }
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
        let bytes = unwrapInboundIn(data)
        switch phase {
        case .lingering:
            // Nothing of it will be answered.
            sawPart = true
            drop(bytes)
        case .closed: break
        case .idle, .callBody, .call, .dropBody, .controlBody, .control:
            parser.feed(bytes)
            readRequests()
        }
    }

    private func readRequests() {
        do throws(RequestParser.Failure) {
            while let part = try parser.next(readingContext) {
                sawPart = true
                give(part)
            }
        } catch {
            sawPart = true
            unreadable(error)
        }
    }

    private var readingContext: RequestParser.Context {
        RequestParser.Context(addressHeader: speaksForOthers ? loop.options.proxies.header : nil, knownCredential: knownCredential?.text ?? "")
    }

    private func give(_ part: RequestParser.Event) {
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

    private func take(_ part: RequestParser.Event) {
        lastProgress = .now()
        switch part {
        case .head(let facts): begin(facts)
        case .body(let bytes): takeBody(bytes)
        case .end: endBody()
        }
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
        let isShort = (facts.contentLength ?? (facts.isChunked ? Int.max : 0)) <= Lane.dropKeepsConnectionMaxBytes && facts.expects == .nothing
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
        if unwritableSince == nil { releaseAnswer() }
        let bodyIsOpen: Bool
        switch phase {
        case .callBody, .controlBody, .idle: bodyIsOpen = true
        case .dropBody: bodyIsOpen = isInputBroken
        case .call, .control, .lingering, .closed: bodyIsOpen = false
        }
        facts = nil
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
    var isHTTP10: Bool { facts?.isHTTP10 ?? false }
    /// Whether the answer has a head only (RFC 9110 §9.3.2).
    var isHEAD: Bool { facts?.method == .head }

    /// The answer has no end of its own: it ends with the connection.
    func closeWithAnswer() { closesAfterAnswer = true }
}
