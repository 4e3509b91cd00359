import NIOCore
import NIOHTTP1

/// The call that a connection is answering.
struct ActiveCall {
    enum Remaining {
        case whole(ByteBuffer)
        case stream(any FrameSource)
        /// An answer that was taken apart.
        case delivery(Delivery)
    }

    var answer: Answer
    var remaining: Remaining
    /// Whether it is a stream to its client, in whatever way it goes out.
    var isStream: Bool
    var arrival: NIODeadline
    /// The client speaks HTTP/1.0.
    var isOld: Bool
    var headWritten = false
    var contentFrames = 0
    var isStalled = false
    var timer: NIOScheduledCallback?

    /// Nanoseconds from the request's arrival until the next byte is due: the first token, and one token more for each that was sent.
    var dueOffset: Int64 = 0
    /// Where the delays of the next tokens come from.
    var random = SeededRandom(seed: 0)

    var due: NIODeadline { arrival + .nanoseconds(dueOffset) }

    init(answer: Answer, remaining: Remaining, isStream: Bool, arrival: NIODeadline, isOld: Bool) {
        self.answer = answer
        self.remaining = remaining
        self.isStream = isStream
        self.arrival = arrival
        self.isOld = isOld
        guard let controls = answer.controls else { return }
        random = controls.random
        if !controls.firstTokenDelay.isZero { dueOffset = controls.firstTokenDelay.nanoseconds(&random) }
        if case .whole = remaining, !controls.tokenDelay.isZero { dueOffset += controls.tokenDelay.nanoseconds(of: answer.tokens, &random) }
    }

    /// One more token was sent.
    mutating func countFrame() {
        contentFrames += 1
        if let delay = answer.controls?.tokenDelay, !delay.isZero { dueOffset += delay.nanoseconds(&random) }
    }
}

extension SimulatorHandler: NIOScheduledCallbackHandler {
    /// Frames written before other connections of the loop get their turn.
    private static let framesPerTurn = 32

    func begin(_ answer: Answer, for head: HTTPRequestHead?, arrival: NIODeadline) {
        let isOld = head?.version == .http1_0
        let remaining: ActiveCall.Remaining
        let isStream: Bool
        switch answer.content {
        case .whole(let body): (remaining, isStream) = (.whole(body), false)
        case .stream(let frames): (remaining, isStream) = (.stream(frames), true)
        }
        if let label = answer.label { responder.statistics.callBegan(label) }
        var active = ActiveCall(answer: answer, remaining: remaining, isStream: isStream, arrival: arrival, isOld: isOld)
        if isStream { responder.statistics.streamBegan() }
        if let controls = answer.controls, controls.spoilsAnswer, answer.status < 400 {
            active.remaining = .delivery(Delivery(spoiled(active, controls)))
            active.dueOffset = 0
        }
        call = active
        pump()
    }

    func handleScheduledCallback(eventLoop: some EventLoop) {
        call?.timer = nil
        pump()
    }

    /// Writes what is due, and sets the timer for what is not.
    func pump() {
        guard let context, let active = call, active.timer == nil, !active.isStalled else { return }
        switch active.remaining {
        case .whole(let body):
            if active.dueOffset > 0, NIODeadline.now() < active.due { return wait(until: active.due) }
            writeWhole(body, context)
        case .stream: pumpStream(context)
        case .delivery: pumpDelivery(context)
        }
    }

    func wait(until deadline: NIODeadline) {
        guard let loop = context?.eventLoop else { return }
        do {
            call?.timer = try loop.assumeIsolated().scheduleCallback(at: deadline, handler: self)
        } catch {
            // The loop is shutting down, and takes the connection with it.
            closeConnection()
        }
    }

    private func writeWhole(_ body: ByteBuffer, _ context: ChannelHandlerContext) {
        guard let active = call else { return }
        var out = context.channel.allocator.buffer(capacity: 512 + body.readableBytes)
        let closes = active.answer.closesConnection
        writeHead(active, .length(body.readableBytes), into: &out)
        let cut = active.answer.status < 400 ? active.answer.controls?.cutAfter : nil
        let stall = active.answer.status < 400 ? active.answer.controls?.stallAfter : nil
        if let end = cut ?? stall {
            out.writeImmutableBuffer(body.getSlice(at: body.readerIndex, length: min(end, body.readableBytes)) ?? body)
            send(out, context)
            return cut == nil ? stallCall() : endCall(.closed)
        }
        out.writeImmutableBuffer(body)
        send(out, context)
        finishCall(closes: closes)
    }

    private func pumpStream(_ context: ChannelHandlerContext) {
        var budget = Self.framesPerTurn
        while var active = call, case .stream(var frames) = active.remaining {
            // Becoming writable calls this again, so a slow client costs one frame of memory and not a whole answer.
            guard context.channel.isWritable else { return }
            if active.dueOffset > 0, NIODeadline.now() < active.due { return wait(until: active.due) }
            if budget == 0 { return wait(until: .now()) }
            budget -= 1

            var out = context.channel.allocator.buffer(capacity: active.headWritten ? 320 : 1024)
            if !active.headWritten {
                active.headWritten = true
                writeHead(active, active.isOld ? .close : .chunked, into: &out)
            }
            let kind = frames.upcoming
            if kind != .lead, let end = end(of: active) {
                call = active
                if out.readableBytes > 0 { send(out, context) }
                switch end {
                case .cut: return endCall(.closed)
                case .stall: return stallCall()
                case .error: return failStream(context)
                }
            }
            var frame = context.channel.allocator.buffer(capacity: 320)
            frames.write(into: &frame)
            writeChunk(frame, active, into: &out)
            if kind == .tail { endChunks(active, into: &out) }
            if kind == .content { active.countFrame() }
            active.remaining = .stream(frames)
            call = active
            send(out, context)
            if kind == .tail { return finishCall(closes: active.answer.closesConnection || active.isOld) }
        }
    }

    private enum StreamEnd { case cut, stall, error }

    /// The fault that ends the stream here, if there is one.
    private func end(of active: ActiveCall) -> StreamEnd? {
        guard let controls = active.answer.controls else { return nil }
        if let count = controls.cutAfter, active.contentFrames >= count { return .cut }
        if let count = controls.stallAfter, active.contentFrames >= count { return .stall }
        if let count = controls.streamErrorAfter, active.contentFrames >= count { return .error }
        return nil
    }

    /// Ends a stream by an error event, as OpenAI does when its model fails in the middle.
    private func failStream(_ context: ChannelHandlerContext) {
        guard let active = call else { return }
        var frame = ByteBuffer(string: "data: ")
        var body = APIError.simulated(status: 500, code: active.answer.controls?.errorCode).body()
        frame.writeBuffer(&body)
        frame.writeStaticString("\n\n")
        var out = ByteBuffer()
        writeChunk(frame, active, into: &out)
        endChunks(active, into: &out)
        send(out, context)
        finishCall(closes: active.answer.closesConnection || active.isOld)
    }

    func writeHead(_ active: ActiveCall, _ framing: ResponseHead.Framing, into buffer: inout ByteBuffer) {
        let spent = (NIODeadline.now() - active.arrival).nanoseconds / 1_000_000
        var closes = active.answer.closesConnection
        if case .close = framing { closes = true }
        responseHead.write(
            active.answer, framing, closes: closes, processingMilliseconds: Int(spent), requestID: (responder.uniqueID(), responder.uniqueID()),
            into: &buffer)
    }

    private func writeChunk(_ frame: ByteBuffer, _ active: ActiveCall, into out: inout ByteBuffer) {
        guard !active.isOld else {
            out.writeImmutableBuffer(frame)
            return
        }
        out.writeString(String(frame.readableBytes, radix: 16))
        out.writeStaticString("\r\n")
        out.writeImmutableBuffer(frame)
        out.writeStaticString("\r\n")
    }

    private func endChunks(_ active: ActiveCall, into out: inout ByteBuffer) {
        if !active.isOld { out.writeStaticString("0\r\n\r\n") }
    }

    /// Hands bytes of the answer to the socket.
    func send(_ bytes: ByteBuffer, _ context: ChannelHandlerContext) {
        call?.answer.entry?.sent(bytes: bytes.readableBytes)
        context.writeAndFlush(wrapOutboundOut(bytes), promise: nil)
    }

    /// The answer is written whole; the next request may come.
    func finishCall(closes: Bool) {
        guard let active = call else { return }
        call = nil
        if active.isStream { responder.statistics.streamEnded() }
        if active.answer.label != nil { responder.statistics.callCompleted(status: active.answer.status) }
        active.answer.entry?.ended(.complete, frames: active.contentFrames)
        if closes { closeConnection() } else { answerWaiting() }
    }

    /// A fault ends the connection, and the call with it.
    func endCall(_ end: CallEntry.End) {
        guard let active = call else { return }
        call = nil
        if active.isStream { responder.statistics.streamEnded() }
        responder.statistics.callCut()
        active.answer.entry?.ended(end, frames: active.contentFrames)
        if end == .reset { resetConnection() } else { closeConnection() }
    }

    func stallCall() {
        call?.isStalled = true
        call?.answer.entry?.stalled()
        responder.statistics.callStalled()
    }

    /// The client left: the answer stops at once.
    func abandonCall() {
        guard let active = call else { return }
        call = nil
        active.timer?.cancel()
        if active.isStream { responder.statistics.streamEnded() }
        if active.answer.label != nil { responder.statistics.callCancelled(frames: active.contentFrames) }
        active.answer.entry?.ended(.clientClosed, frames: active.contentFrames)
    }
}
