internal import Contracts
internal import Dialects
import NIOCore
internal import Vocabulary
internal import Walk

/// What the provider says, as events of the walk.
extension ModelCall: UpstreamListener {
    func upstreamStarted() { sentAt = .now() }

    func upstreamHead(_ head: UpstreamHead) {
        guard !isOver else { return }
        let now = NIODeadline.now()
        lastByteAt = now
        if firstByteAt == nil { firstByteAt = now }
        answerHead = head
        switch head.status {
        case _ where head.isEncoded: attemptFailed(.invalid)
        case 200..<300 where head.isEventStream && request?.isStream == true:
            // Nothing goes out before the first event is here: a stream that dies before it can still become an error or a fallback.
            stream = OpenAIStreamScanner(hidesUsage: !(request?.wantsUsageChunk ?? false))
            passing = .events
        case 200..<300 where head.isJSON:
            passing = .whole
            report(.upstreamHead(.plain))
            if head.contentLength > Int64(loop.options.plainAnswerMaxBytes) { outgrown() }
        case 400...599:
            passing = .whole
            report(.upstreamHead(.error(status: head.status)))
        default: attemptFailed(.invalid)
        }
    }

    func upstreamBytes(_ bytes: ByteBuffer) {
        guard !isOver else { return }
        lastByteAt = .now()
        switch passing {
        case .nothing: break
        case .whole, .raw:
            meter.feed(bytes)
            incoming = bytes
            report(.upstreamBytes)
        case .events: pass(events: bytes)
        }
    }

    func gather(_ bytes: ByteBuffer) {
        if gathered.readableBytes == 0 {
            gathered = bytes
        } else {
            if let length = answerHead?.contentLength, length > 0, gathered.capacity < Int(length) {
                gathered.reserveCapacity(min(Int(length), loop.options.plainAnswerMaxBytes + 65_536))
            }
            gathered.writeImmutableBuffer(bytes)
        }
        let length = gathered.readableBytes
        // Where the memory for kept answers is used up, this one is passed on as it comes.
        if length > loop.options.plainAnswerMaxBytes || (length > Lane.answerStepBytes && !lane.holdAnswer(length)) {
            outgrown()
        }
    }

    /// A plain answer has become too large to be kept. An error of that size is no message for anybody, and a client that asked for a stream
    /// could not read it.
    private func outgrown() {
        if let status = answerHead?.status, status >= 400 || request?.isStream == true { attemptFailed(.invalid) } else { passRaw() }
    }

    /// Sends on what has come; of a large plain answer all but the newest piece, which waits for the record.
    func forward(_ bytes: ByteBuffer) {
        if case .raw(let held) = passing {
            lane.writeChunk(held)
            passing = .raw(held: bytes)
        } else {
            lane.writeChunk(bytes)
        }
    }

    private func passRaw() {
        passing = .raw(held: gathered)
        gathered = ByteBuffer()
        report(.answerTooLarge)
    }

    private func pass(events bytes: ByteBuffer) {
        let output = stream.feed(bytes)
        let isDone = stream.isDone
        // Asked now: what is sent may end this attempt.
        let isBroken = stream.isBroken
        if stream.hasError, stream.contentEvents == 0, !walk.hasForwardedHead {
            // The stream is an error from its first event on: the client has nothing yet, so it can still become another attempt or a status.
            providersError = stream.errorEvent?.eventData
            attemptFailed(.errorInSuccess)
            return
        }
        if isDone, stream.isEmpty {
            // An end without a beginning: whatever this was, it was no answer.
            attemptFailed(.invalid)
            return
        }
        send(events: output, isEnd: isDone)
        guard !isBroken else {
            if !isOver { attemptFailed(.invalid) }
            return
        }
        guard isDone, !isOver else { return }
        // The client's answer ends here; what the provider still sends is its own affair.
        attempt?.finishQuietly()
        attemptIsOver()
        report(.upstreamEnd)
    }

    private func send(events: ByteBuffer?, isEnd: Bool) {
        if events != nil || isEnd, !walk.hasForwardedHead { report(.upstreamHead(.stream)) }
        guard let events else { return }
        incoming = events
        report(.upstreamBytes)
    }

    func upstreamReadComplete() { lane.flush() }

    func upstreamEnd() {
        guard !isOver else { return }
        attemptIsOver()
        switch passing {
        case .nothing: attemptFailed(.invalid)
        case .whole:
            guard let status = answerHead?.status, status < 400 else { return report(.upstreamEnd) }
            // An empty list of choices beside an error is no result.
            if meter.isWholeObject, meter.hasError, endpoint == .embeddings ? !meter.hasResult : !meter.hasChoices {
                providersError = gathered
                attemptFailed(.errorInSuccess)
            } else if meter.isWholeObject, meter.hasResult, request?.isStream != true, OpenAIAnswerMeter.isUTF8(gathered) {
                report(.upstreamEnd)
            } else {
                attemptFailed(.invalid)
            }
        case .raw: meter.isWholeObject ? report(.upstreamEnd) : attemptFailed(.cut)
        case .events:
            let rest = stream.rest()
            let isComplete = !stream.isBroken && (stream.isDone || stream.hasFinish || stream.hasError)
            send(events: rest, isEnd: isComplete)
            isComplete ? report(.upstreamEnd) : attemptFailed(.cut)
        }
    }

    func upstreamFailed(_ fault: UpstreamFault) {
        guard !isOver else { return }
        attemptIsOver()
        switch fault {
        case .unreachable: attemptFailed(.unreachable)
        case .staleConnection: attemptFailed(.staleConnection)
        case .cut: attemptFailed(.cut)
        case .invalid: attemptFailed(.invalid)
        case .timeout: attemptFailed(.timeout)
        case .queueFull: attemptFailed(.queueFull)
        }
    }

    func attemptFailed(_ failure: UpstreamFailure) {
        if attempt != nil { cancelUpstream() }
        report(.upstreamFailed(failure))
    }
}
