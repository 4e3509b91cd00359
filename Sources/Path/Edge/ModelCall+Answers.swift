internal import Contracts
internal import Dialects
import NIOCore
internal import Vocabulary
internal import Walk

/// What the client gets of a call.
extension ModelCall {
    /// The head of an answer that is passed on as it comes: what it will cost is not known yet.
    func sendStreamHead() {
        if lane.isHTTP10 { lane.closeWithAnswer() }
        let isEvents = if case .events = passing { true } else { false }
        let isChunked = !lane.isHTTP10
        let answer = answer(bodyBytes: 0) { head in
            if isEvents { head.put("cache-control: no-cache\r\nx-accel-buffering: no\r\n") }
            head.put(isChunked ? "transfer-encoding: chunked\r\n\r\n" : "\r\n")
        }
        lane.write(answer)
        lane.flush()
    }

    /// A buffer that begins with the headers that every answered call carries (PRODUCT A12).
    ///
    /// - Parameters:
    ///   - bodyBytes: room to leave behind the head.
    ///   - finish: writes what else the head has, the empty line included; at most 512 bytes.
    private func answer(bodyBytes: Int, finish: (inout HeadWriter) -> Void) -> ByteBuffer {
        let passedOn = answerHead.map { $0.passedOn.readableBytes + $0.contentType.readableBytes } ?? 0
        let size = 1024 + passedOn + (deployment?.answerHeaders.count ?? 0)
        var answer = ByteBufferAllocator().buffer(capacity: size + bodyBytes)
        answer.writeWithUnsafeMutableBytes(minimumWritableBytes: size) { target in
            var head = HeadWriter(target)
            lane.putStatus(answerHead?.status ?? 200, to: &head)
            if let answerHead {
                head.put(answerHead.contentType)
                head.put(answerHead.passedOn)
            }
            lane.putCommonHeaders(to: &head)
            if let deployment { head.put(deployment.answerHeaders) }
            head.put("x-martlet-cache: off\r\nx-martlet-attempts: ")
            head.put(Int64(walk.attempts))
            head.put("\r\n")
            finish(&head)
            return head.count
        }
        return answer
    }

    /// Sends what was held back until the record was written.
    func release() {
        switch passing {
        case .nothing: lane.answered()
        case .whole: sendWhole()
        case .raw(let held):
            lane.writeChunk(held)
            endChunks()
        case .events:
            var last = ByteBuffer()
            if facts.wantsStreamCost, let recorded { last.writeCostEvent(of: self, recorded) }
            // Clients finish at this mark; a provider that forgets it must not leave them waiting.
            if !stream.hasError { last.writeStaticString("data: [DONE]\n\n") }
            lane.writeChunk(last)
            endChunks()
        }
    }

    /// Sends an error while the client has nothing yet.
    func refuseCall(_ error: GatewayError) {
        guard case .upstreamStatus = error, let providersError, deployment?.provider.hasSecret(in: providersError) != true else {
            lane.reply(.refusal(error, attempts: walk.attempts))
            return
        }
        // What the provider said is more use to the client than that it said something.
        lane.reply(.refusal(error, attempts: walk.attempts, hints: answerHead?.passedOn ?? ByteBuffer(), body: providersError))
    }

    private func endChunks() {
        lane.writeLastChunk()
        lane.flush()
        lane.answered()
    }

    /// Ends a stream that cannot be completed: with an error event where the client can read one, else by breaking the connection, since
    /// anything else would look like a complete answer.
    func breakOff(_ error: GatewayError) {
        guard case .events = passing, !stream.isInsideEvent else {
            lane.releaseBody()
            lane.context?.close(promise: nil)
            return
        }
        var event = ByteBuffer()
        event.writeOpenAIErrorEvent(error)
        lane.writeChunk(event)
        endChunks()
    }

    private func sendWhole() {
        let status = answerHead?.status ?? 200
        if status >= 400, !(meter.isWholeObject && meter.hasError) || deployment?.provider.hasSecret(in: gathered) == true {
            // An error page, an error of another shape, or one with our credential in it: our own shape, with the provider's status.
            let error = GatewayError.upstreamStatus(provider: deployment?.provider.id ?? "", status: status)
            lane.reply(.refusal(error, attempts: walk.attempts, hints: answerHead?.passedOn ?? ByteBuffer()))
            return
        }
        let length = gathered.readableBytes
        let isSmall = length <= 16_384
        var answer = answer(bodyBytes: isSmall ? length : 0) { head in
            head.put("x-martlet-cost-usd: ")
            head.put(dollarsFromNanodollars: recorded?.cost.nanodollars ?? 0)
            head.put("\r\nx-martlet-latency-ms: ")
            head.put(millisecondsFromMicroseconds: recorded?.latencyMicroseconds ?? 0)
            head.put("\r\nx-martlet-overhead-ms: ")
            head.put(millisecondsFromMicroseconds: recorded?.overheadMicroseconds ?? 0)
            head.put("\r\ncontent-length: ")
            head.put(Int64(length))
            head.put("\r\n\r\n")
        }
        if isSmall {
            answer.writeImmutableBuffer(gathered)
            lane.write(answer)
        } else {
            lane.write(answer)
            lane.write(gathered)
        }
        lane.flush()
        lane.answered()
    }
}

extension ByteBuffer {
    /// The opt-in last event of a stream: a chunk without choices, so that a client which does not know it passes it over.
    fileprivate mutating func writeCostEvent(of call: ModelCall, _ recorded: ModelCall.Recorded) {
        writeStaticString("data: {\"id\":")
        writeJSONString(call.requestID)
        writeStaticString(",\"object\":\"")
        writeString(call.endpoint == .chatCompletions ? "chat.completion.chunk" : "text_completion")
        writeStaticString("\",\"created\":")
        writeDecimal(call.startedAt.microseconds / 1_000_000)
        writeStaticString(",\"model\":")
        writeJSONString(call.request?.model ?? "")
        writeStaticString(",\"choices\":[],\"martlet\":{\"cost_usd\":")
        writeDollars(fromNanodollars: recorded.cost.nanodollars)
        writeStaticString(",\"cost_nano_usd\":")
        writeDecimal(recorded.cost.nanodollars)
        writeStaticString(",\"input_tokens\":")
        writeDecimal(recorded.tokens.input)
        writeStaticString(",\"output_tokens\":")
        writeDecimal(recorded.tokens.output)
        writeStaticString(",\"estimated\":")
        writeString(recorded.tokens.isEstimate ? "true" : "false")
        writeStaticString(",\"latency_ms\":")
        writeMilliseconds(fromMicroseconds: recorded.latencyMicroseconds)
        writeStaticString(",\"overhead_ms\":")
        writeMilliseconds(fromMicroseconds: recorded.overheadMicroseconds)
        writeStaticString("}}\n\n")
    }
}
