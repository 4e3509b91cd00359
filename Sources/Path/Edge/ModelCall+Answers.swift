internal import Contracts
internal import Dialects
import NIOCore
internal import Vocabulary
internal import Walk

/// What the client gets of a call.
extension ModelCall {
    /// The head of an answer that is passed on as it comes: what it will cost is not known yet.
    func sendStreamHead() {
        var answer = ByteBufferAllocator().buffer(capacity: 768)
        lane.writeStatus(answerHead?.status ?? 200, to: &answer)
        if let passedOn = answerHead?.passedOn { answer.writeImmutableBuffer(passedOn) }
        lane.writeCommonHeaders(to: &answer)
        writeCallHeaders(to: &answer)
        if case .events = passing { answer.writeStaticString("cache-control: no-cache\r\nx-accel-buffering: no\r\n") }
        if lane.isHTTP10 {
            lane.closeWithAnswer()
            answer.writeStaticString("\r\n")
        } else {
            answer.writeStaticString("transfer-encoding: chunked\r\n\r\n")
        }
        lane.write(answer)
        lane.flush()
    }

    /// Sends what was held back until the record was written.
    func release() {
        switch passing {
        case .nothing: lane.answered()
        case .whole: sendWhole()
        case .raw(let held):
            lane.writeChunk(held)
            endChunks()
        case .events(let scanner):
            var last = ByteBuffer()
            if facts.wantsStreamCost, let record { last.writeCostEvent(record) }
            // Clients finish at this mark; a provider that forgets it must not leave them waiting.
            if !scanner.hasError { last.writeStaticString("data: [DONE]\n\n") }
            lane.writeChunk(last)
            endChunks()
        }
    }

    private func endChunks() {
        lane.writeLastChunk()
        lane.flush()
        lane.answered()
    }

    /// Ends a stream that cannot be completed: with an error event where the client can read one, else by breaking the connection, since
    /// anything else would look like a complete answer.
    func breakOff(_ error: GatewayError) {
        guard case .events = passing else {
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
        if status >= 400, !(meter.isWholeObject && meter.hasError) {
            // An error page, or an error of another shape: our own shape, with the provider's status.
            lane.reply(.refusal(.upstreamStatus(provider: deployment?.provider.id ?? "", status: status), attempts: walk.attempts))
            return
        }
        let length = gathered.readableBytes
        let isSmall = length <= 16_384
        var answer = ByteBufferAllocator().buffer(capacity: 768 + (isSmall ? length : 0))
        lane.writeStatus(status, to: &answer)
        if let passedOn = answerHead?.passedOn { answer.writeImmutableBuffer(passedOn) }
        lane.writeCommonHeaders(to: &answer)
        writeCallHeaders(to: &answer)
        if let record {
            answer.writeStaticString("x-martlet-cost-usd: ")
            answer.writeDollars(fromNanodollars: record.cost.nanodollars)
            answer.writeStaticString("\r\nx-martlet-latency-ms: ")
            answer.writeMilliseconds(fromMicroseconds: record.latencyMicroseconds)
            answer.writeStaticString("\r\nx-martlet-overhead-ms: ")
            answer.writeMilliseconds(fromMicroseconds: record.overheadMicroseconds)
            answer.writeStaticString("\r\n")
        }
        lane.finishHead(length: length, to: &answer)
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

    /// The headers that every answered call carries (PRODUCT A12).
    private func writeCallHeaders(to answer: inout ByteBuffer) {
        if let deployment {
            answer.writeStaticString("x-martlet-provider: ")
            answer.writeString(deployment.provider.id)
            answer.writeStaticString("\r\nx-martlet-model: ")
            answer.writeString(deployment.model)
            answer.writeStaticString("\r\n")
        }
        answer.writeStaticString("x-martlet-cache: off\r\nx-martlet-attempts: ")
        answer.writeDecimal(Int64(walk.attempts))
        answer.writeStaticString("\r\n")
    }
}

extension ByteBuffer {
    /// The opt-in last event of a stream: a chunk without choices, so that a client which does not know it passes it over.
    fileprivate mutating func writeCostEvent(_ record: UsageRecord) {
        writeStaticString("data: {\"id\":")
        writeJSONString(record.requestID)
        writeStaticString(",\"object\":\"")
        writeString(record.endpoint == .chatCompletions ? "chat.completion.chunk" : "text_completion")
        writeStaticString("\",\"created\":")
        writeDecimal(record.startedAt.microseconds / 1_000_000)
        writeStaticString(",\"model\":")
        writeJSONString(record.requestedModel)
        writeStaticString(",\"choices\":[],\"martlet\":{\"cost_usd\":")
        writeDollars(fromNanodollars: record.cost.nanodollars)
        writeStaticString(",\"cost_nano_usd\":")
        writeDecimal(record.cost.nanodollars)
        writeStaticString(",\"input_tokens\":")
        writeDecimal(record.tokens.input)
        writeStaticString(",\"output_tokens\":")
        writeDecimal(record.tokens.output)
        writeStaticString(",\"estimated\":")
        writeString(record.tokens.isEstimate ? "true" : "false")
        writeStaticString(",\"latency_ms\":")
        writeMilliseconds(fromMicroseconds: record.latencyMicroseconds)
        writeStaticString(",\"overhead_ms\":")
        writeMilliseconds(fromMicroseconds: record.overheadMicroseconds)
        writeStaticString("}}\n\n")
    }
}
