import NIOCore
import NIOHTTP1

/// The call that a connection is answering.
struct ActiveCall {
    enum Remaining {
        case whole(ByteBuffer)
        case stream(any FrameSource)
    }

    var answer: Answer
    var remaining: Remaining
    var arrival: NIODeadline
    /// The client speaks HTTP/1.0.
    var isOld: Bool
    var headWritten = false
    var contentFrames = 0
    var isStalled = false
    var timer: NIOScheduledCallback?

    var isStream: Bool { if case .stream = remaining { true } else { false } }

    /// When the next byte is due: the first token, and one token more for each that was sent.
    var due: NIODeadline {
        guard let controls = answer.controls else { return arrival }
        let tokens: Int = if case .whole = remaining { answer.tokens } else { contentFrames }
        return arrival + .nanoseconds(controls.ttftNanoseconds + Int64(tokens) * controls.tokenNanoseconds)
    }

    var hasDelays: Bool {
        guard let controls = answer.controls else { return false }
        return controls.ttftNanoseconds > 0 || controls.tokenNanoseconds > 0
    }
}

extension SimulatorHandler: NIOScheduledCallbackHandler {
    /// Frames written before other connections of the loop get their turn.
    private static let framesPerTurn = 32

    func begin(_ answer: Answer, for head: HTTPRequestHead?, arrival: NIODeadline) {
        let remaining: ActiveCall.Remaining =
            switch answer.content {
            case .whole(let body): .whole(body)
            case .stream(let frames): .stream(frames)
            }
        let isOld = head?.version == .http1_0
        if let label = answer.label { responder.statistics.callBegan(label) }
        let active = ActiveCall(answer: answer, remaining: remaining, arrival: arrival, isOld: isOld)
        if active.isStream { responder.statistics.streamBegan() }
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
        if active.hasDelays, NIODeadline.now() < active.due { return wait(until: active.due) }
        switch active.remaining {
        case .whole(let body): writeWhole(body, context)
        case .stream: pumpStream(context)
        }
    }

    private func wait(until deadline: NIODeadline) {
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
            context.writeAndFlush(wrapOutboundOut(out), promise: nil)
            return cut == nil ? stallCall() : cutCall()
        }
        out.writeImmutableBuffer(body)
        context.writeAndFlush(wrapOutboundOut(out), promise: nil)
        finishCall(closes: closes)
    }

    private func pumpStream(_ context: ChannelHandlerContext) {
        var budget = Self.framesPerTurn
        while var active = call, case .stream(var frames) = active.remaining {
            // Becoming writable calls this again, so a slow client costs one frame of memory and not a whole answer.
            guard context.channel.isWritable else { return }
            if active.hasDelays, NIODeadline.now() < active.due { return wait(until: active.due) }
            if budget == 0 { return wait(until: .now()) }
            budget -= 1

            var out = context.channel.allocator.buffer(capacity: active.headWritten ? 320 : 1024)
            if !active.headWritten {
                active.headWritten = true
                writeHead(active, active.isOld ? .close : .chunked, into: &out)
            }
            let kind = frames.upcoming
            if kind != .lead, let end = end(of: active) {
                context.writeAndFlush(wrapOutboundOut(out), promise: nil)
                call = active
                switch end {
                case .cut: return cutCall()
                case .stall: return stallCall()
                case .error: return failStream(context)
                }
            }
            var frame = context.channel.allocator.buffer(capacity: 320)
            frames.write(into: &frame)
            writeChunk(frame, active, into: &out)
            if kind == .tail { endChunks(active, into: &out) }
            if kind == .content { active.contentFrames += 1 }
            active.remaining = .stream(frames)
            call = active
            context.writeAndFlush(wrapOutboundOut(out), promise: nil)
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
        context.writeAndFlush(wrapOutboundOut(out), promise: nil)
        finishCall(closes: active.answer.closesConnection || active.isOld)
    }

    private func writeHead(_ active: ActiveCall, _ framing: ResponseHead.Framing, into buffer: inout ByteBuffer) {
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

    /// The answer is written whole; the next request may come.
    private func finishCall(closes: Bool) {
        guard let active = call else { return }
        call = nil
        if active.isStream { responder.statistics.streamEnded() }
        if active.answer.label != nil { responder.statistics.callCompleted(status: active.answer.status) }
        if closes { closeConnection() } else { answerWaiting() }
    }

    private func cutCall() {
        guard let active = call else { return }
        call = nil
        if active.isStream { responder.statistics.streamEnded() }
        responder.statistics.callCut()
        closeConnection()
    }

    private func stallCall() {
        call?.isStalled = true
        responder.statistics.callStalled()
    }

    /// The client left: the answer stops at once.
    func abandonCall() {
        guard let active = call else { return }
        call = nil
        active.timer?.cancel()
        if active.isStream { responder.statistics.streamEnded() }
        if active.answer.label != nil { responder.statistics.callCancelled(frames: active.contentFrames) }
    }
}
