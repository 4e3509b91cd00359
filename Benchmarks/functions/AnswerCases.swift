import Calling
import Dialects
import NIOCore
import Vocabulary

/// What a provider sends: its framing taken off, then read in passing.
let answerCases: [Case] = [
    Case("answer-parse-plain", "read head and body of a plain answer of 800 bytes") {
        try parse(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: Sat, 21 Nov 2026 09:00:00 GMT\r\nx-request-id: req_1\r\n"
                + "openai-processing-ms: 412\r\nContent-Length: \(plainAnswer.utf8.count)\r\n\r\n\(plainAnswer)", ends: true)
    },
    Case("answer-parse-chunk", "take one frame of a stream out of its chunk") {
        var parser = AnswerParser()
        try parser.feed(ByteBuffer(string: "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")) { _ in }
        let bytes = ByteBuffer(string: "\(String(frame.utf8.count, radix: 16))\r\n\(frame)\r\n")
        return {
            do throws(AnswerParser.Failure) {
                try parser.feed(bytes) { if case .body(let body) = $0 { use(body.readableBytes) } }
            } catch {
                fatalError("a good chunk was refused")
            }
        }
    },
    Case("answer-meter", "find the usage in a plain answer of 800 bytes") {
        let bytes = ByteBuffer(string: plainAnswer)
        var probe = OpenAIAnswerMeter()
        probe.feed(bytes)
        guard probe.usage?.output == 60 else { throw SetUpError(description: "no usage was found") }
        return {
            var meter = OpenAIAnswerMeter()
            meter.feed(bytes)
            use(Int(meter.usage?.output ?? 0))
        }
    },
    Case("stream-frame", "scan one frame of a stream, 260 bytes, and pass it on") {
        var scanner = OpenAIStreamScanner(hidesUsage: true)
        let bytes = ByteBuffer(string: frame)
        guard scanner.feed(bytes)?.readableBytes == frame.utf8.count else { throw SetUpError(description: "a frame was changed") }
        return { use(scanner.feed(bytes)?.readableBytes ?? 0) }
    },
    Case("stream-ten-frames", "scan ten frames that came in one read") {
        var scanner = OpenAIStreamScanner(hidesUsage: true)
        let bytes = ByteBuffer(string: String(repeating: frame, count: 10))
        return { use(scanner.feed(bytes)?.readableBytes ?? 0) }
    },
]

private func parse(_ answer: String, ends: Bool) throws -> () -> Void {
    let bytes = ByteBuffer(string: answer)
    var parser = AnswerParser()
    var ended = false
    try parser.feed(bytes) { if case .end = $0 { ended = true } }
    guard ended == ends else { throw SetUpError(description: "the answer's end was not seen") }
    return {
        parser.reset()
        do throws(AnswerParser.Failure) {
            try parser.feed(bytes) { if case .body(let body) = $0 { use(body.readableBytes) } }
        } catch {
            fatalError("a good answer was refused")
        }
    }
}

private let frame =
    "data: {\"id\":\"chatcmpl-000000000001\",\"object\":\"chat.completion.chunk\",\"created\":1780000000,\"model\":\"gpt-4o-mini\","
    + "\"system_fingerprint\":\"fp_44709d6fcb\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" walks by the sea\"},\"logprobs\":null,"
    + "\"finish_reason\":null}]}\n\n"

private let plainAnswer =
    "{\"id\":\"chatcmpl-000000000001\",\"object\":\"chat.completion\",\"created\":1780000000,\"model\":\"gpt-4o-mini\",\"choices\":[{\"index\":0,"
    + "\"message\":{\"role\":\"assistant\",\"content\":\"\(String(repeating: "Lagos, Evora and Tavira make a calm round trip by train. ", count: 5))\","
    + "\"refusal\":null},\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":120,\"completion_tokens\":60,"
    + "\"total_tokens\":180,\"prompt_tokens_details\":{\"cached_tokens\":0},\"completion_tokens_details\":{\"reasoning_tokens\":0}},"
    + "\"system_fingerprint\":\"fp_44709d6fcb\"}"
