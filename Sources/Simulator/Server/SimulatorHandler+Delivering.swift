import NIOCore

/// How answers with faults go out.
extension SimulatorHandler {
    private static let stepsPerTurn = 64

    /// Takes the answer apart, spoils it, and says what to do to send it.
    func spoiled(_ active: ActiveCall, _ controls: RequestControls) -> [Delivery.Step] {
        if let raw = controls.fixed?.raw {
            return [.waitUntil(active.dueOffset), .bytes(raw, frames: 0), .close]
        }
        var head = ByteBuffer()
        var clock = active
        var pieces: [Rendering.Piece] = []
        switch active.remaining {
        case .whole(let body):
            writeHead(active, .length(body.readableBytes), into: &head)
            pieces = [Rendering.Piece(body, .body, due: active.dueOffset)]
        case .stream(var frames):
            writeHead(active, active.isOld ? .close : .chunked, into: &head)
            while let kind = frames.upcoming {
                var frame = ByteBuffer()
                frames.write(into: &frame)
                switch kind {
                case .lead: pieces.append(Rendering.Piece(frame, .lead, due: clock.dueOffset))
                case .content:
                    pieces.append(Rendering.Piece(frame, .content, due: clock.dueOffset))
                    clock.countFrame()
                case .tail: pieces += eventPieces(frame, due: clock.dueOffset)
                }
            }
        case .delivery: return []
        }
        var rendering = Rendering(head: head, pieces: pieces, isStream: active.isStream, isOld: active.isOld)
        if let fixed = controls.fixed, let body = fixed.body { rendering.replace(by: fixed, body) }
        for fault in controls.faults { rendering.apply(fault) }
        active.answer.entry?.answered(status: Int(rendering.statusLine.split(separator: " ").dropFirst().first ?? "0") ?? 0)
        return rendering.steps()
    }

    func pumpDelivery(_ context: ChannelHandlerContext) {
        var budget = Self.stepsPerTurn
        while var active = call, case .delivery(var delivery) = active.remaining {
            guard let step = delivery.next else {
                return finishCall(closes: active.answer.closesConnection || (active.isOld && active.isStream))
            }
            guard context.channel.isWritable else { return }
            if budget == 0 { return wait(until: .now()) }
            budget -= 1
            if case .waitUntil(let offset) = step, NIODeadline.now() < active.arrival + .nanoseconds(offset) {
                return wait(until: active.arrival + .nanoseconds(offset))
            }
            delivery.advance()
            if case .back(let place) = step { delivery.go(to: place) }
            if case .bytes(_, let frames) = step { active.contentFrames += frames }
            active.remaining = .delivery(delivery)
            call = active
            switch step {
            case .bytes(let bytes, _): send(bytes, context)
            case .rest(let pause): return wait(until: .now() + .nanoseconds(pause))
            case .close: return endCall(.closed)
            case .reset: return endCall(.reset)
            case .stall: return stallCall()
            case .waitUntil, .back: continue
            }
        }
    }
}

extension Rendering {
    /// Puts a script's body, status and headers in place of the answer's own.
    fileprivate mutating func replace(by fixed: FixedAnswer, _ body: ByteBuffer) {
        statusLine = "HTTP/1.1 \(fixed.status) \(ResponseHead.reason(fixed.status))"
        let wasStream = isStream
        setBody(body, type: wasStream ? "text/event-stream; charset=utf-8" : "application/json")
        if wasStream { framing = .chunked }
        for (name, value) in fixed.headers { setHeader(name, value) }
    }
}
