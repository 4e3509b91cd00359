import Dialects
import NIOCore
import Vocabulary

/// What came of a stream.
private struct Followed: Equatable {
    var output: [UInt8] = []
    var isDone = false
    var hasFinish = false
    var hasError = false
    var isBroken = false
    var usage: TokenUsage?
    var contentEvents: Int64 = 0
    var contentBytes: Int64 = 0

    init(_ pieces: [ByteBuffer], hidesUsage: Bool) {
        var scanner = OpenAIStreamScanner(hidesUsage: hidesUsage)
        for piece in pieces {
            if let bytes = scanner.feed(piece) { output += bytes.readableBytesView }
        }
        if let rest = scanner.rest() { output += rest.readableBytesView }
        isDone = scanner.isDone
        hasFinish = scanner.hasFinish
        hasError = scanner.hasError
        isBroken = scanner.isBroken
        usage = scanner.usage
        contentEvents = scanner.contentEvents
        contentBytes = scanner.contentBytes
    }
}

/// Streams: the same however they are cut, complete, and with counts that an account can take.
func fuzzStream(_ input: FuzzInput) {
    for hidesUsage in [false, true] {
        let whole = Followed([input.buffer], hidesUsage: hidesUsage)
        let cut = Followed(input.pieces(), hidesUsage: hidesUsage)
        check(whole == cut, "a cut changes what is read:\n\(whole)\n\(cut)")
        checkCounts(whole.usage)
        check(whole.contentBytes >= 0 && whole.contentBytes <= input.bytes.count, "\(whole.contentBytes) bytes of text")
        check(whole.contentEvents >= 0 && whole.contentEvents <= input.bytes.count, "\(whole.contentEvents) events of text")
        if !hidesUsage {
            // Nothing is hidden, so all that came before the end mark went out as it was; a last event is given its blank line.
            let isEnded = whole.output.suffix(2).elementsEqual("\n\n".utf8)
            let body = isEnded && !input.bytes.starts(with: whole.output) ? whole.output.dropLast(2) : whole.output[...]
            check(input.bytes.starts(with: body), "other bytes went out than came in")
            // What is left is at most an event without an end, which nobody can read.
            var scanner = OpenAIStreamScanner(hidesUsage: false)
            let left = scanner.feed(ByteBuffer(bytes: input.bytes[body.count...]))
            check(whole.isDone || whole.isBroken || (left?.readableBytes ?? 0) <= 1, "whole events were kept")
        }
    }
}

func checkCounts(_ usage: TokenUsage?) {
    guard let usage else { return }
    let limit: ClosedRange<Int64> = 0...1_000_000_000
    check(limit.contains(usage.input) && limit.contains(usage.output), "no counts: \(usage)")
    check((0...usage.input).contains(usage.cachedInput) && (0...usage.output).contains(usage.reasoning), "parts beyond the whole: \(usage)")
    check(!usage.isEstimate, "a count of the provider's is marked as an estimate")
}
