internal import CScan
package import NIOCore
package import Vocabulary

/// Finds the token counts of a plain answer while it passes. Any size, any cut between its parts.
package struct OpenAIAnswerMeter {
    private var raw = cscan_answer()

    package init() {}

    /// Takes the next bytes of the answer.
    package mutating func feed(_ bytes: ByteBuffer) {
        bytes.withUnsafeReadableBytes { part in
            guard let base = part.baseAddress else { return }
            cscan_answer_feed(&raw, base.assumingMemoryBound(to: UInt8.self), part.count)
        }
    }

    /// What the provider says it counted, if it says so.
    package var usage: TokenUsage? { raw.usage(contentBytes: contentBytes) }

    /// The bytes of text that the model produced, for an estimate.
    package var contentBytes: Int64 { Int64(raw.content_bytes) }

    /// Whether the answer is a whole JSON object, as far as brackets and words tell.
    package var isWholeObject: Bool { raw.is_whole == 1 }

    /// Whether bytes are UTF-8, as all JSON is.
    package static func isUTF8(_ bytes: ByteBuffer) -> Bool {
        bytes.withUnsafeReadableBytes { part in
            guard let base = part.baseAddress else { return true }
            return cscan_is_utf8(base.assumingMemoryBound(to: UInt8.self), part.count) == 1
        }
    }

    /// Whether it has a top-level `error`.
    package var hasError: Bool { raw.has_error == 1 }

    /// Whether it has what an answer of this dialect carries: a `choices` or a `data` array.
    package var hasResult: Bool { raw.has_data == 1 }

    /// Whether there is something in its `choices`.
    package var hasChoices: Bool { raw.has_choices == 1 }
}

/// Follows a stream of server-sent events: passes whole events on as the bytes they are, finds usage, and sees the end.
package struct OpenAIStreamScanner {
    /// The start of an event whose end has not come yet.
    private var pending = ByteBuffer()
    /// How far `pending` is known to hold no end.
    private var searched = 0
    /// An event larger than ``pendingMax`` is being passed on in pieces, unread.
    private var isOversize = false
    /// Whether the first event has been seen.
    private var isBegun = false
    private let hidesUsage: Bool
    /// Whether all that has come ends with an event whose last byte is a CR: the LF that may belong to it is still to come.
    private var endsInCarriageReturn = false
    /// Whether that event was hidden.
    private var isLastHidden = false
    /// Whether the event that was looked at last held a whole object.
    private var lastIsObject = false

    /// Whether `[DONE]` has come.
    package private(set) var isDone = false
    /// Whether any choice has said why it finished.
    package private(set) var hasFinish = false
    /// Whether an event was an error object of the provider's.
    package private(set) var hasError = false
    /// Whether an event was an object that is not whole or not JSON. It is not passed on, and nothing behind it is read.
    package private(set) var isBroken = false
    /// The first event of the stream that was an error object, as it came.
    package private(set) var errorEvent: ByteBuffer?
    /// Whether nothing was said, no choice has finished and no error was told.
    package var isEmpty: Bool { !hasFinish && !hasError && contentEvents == 0 }
    /// Whether the client has the beginning of an event whose end it cannot be given.
    package var isInsideEvent: Bool { isOversize }
    /// The last usage that the provider sent.
    package private(set) var usage: TokenUsage?
    /// Events that carried text of the model's: about a token each with most providers.
    package private(set) var contentEvents: Int64 = 0
    /// The bytes of that text.
    package private(set) var contentBytes: Int64 = 0

    /// The largest event that is held back until it is whole; nothing that we look for is larger.
    package static let pendingMax = 1 << 20

    /// The end of an event has at most four bytes, so three of them may stand before a cut.
    private static let endMax = 3

    /// - Parameter hidesUsage: whether the usage chunk was our wish and not the client's, and so must not reach it.
    package init(hidesUsage: Bool) {
        self.hidesUsage = hidesUsage
    }

    /// Takes the next bytes and returns what the client may have: whole events in order, without the hidden one and without `[DONE]`,
    /// which the caller adds once the record is written.
    package mutating func feed(_ bytes: ByteBuffer) -> ByteBuffer? {
        if isDone || isBroken { return nil }
        var input: ByteBuffer
        if pending.readableBytes == 0 {
            input = bytes
        } else {
            input = pending
            pending = ByteBuffer()
            var more = bytes
            input.writeBuffer(&more)
        }
        var output: ByteBuffer?
        // Everything before `from` has been dealt with; what stands between `from` and `at` may go out as one slice.
        var from = input.readerIndex
        var at = from
        if endsInCarriageReturn, at < input.writerIndex {
            // A line feed first of all is the second half of the end before it, and shares its fate.
            endsInCarriageReturn = false
            if input.getInteger(at: at) == UInt8(ascii: "\n") {
                at += 1
                if isLastHidden { from = at }
            }
        }
        while !isDone {
            let end = input.eventEnd(from: at, searched: searched)
            guard let end else { break }
            searched = 0
            let isHidden = isOversize ? false : look(at: input, from: at, to: end)
            isOversize = false
            isBegun = true
            if isBroken {
                append(input, from: from, to: at, to: &output)
                return output
            }
            if isHidden {
                append(input, from: from, to: at, to: &output)
                from = end
            }
            at = end
        }
        append(input, from: from, to: at, to: &output)
        if isDone { return output }
        if at == input.writerIndex, at > input.readerIndex {
            endsInCarriageReturn = input.getInteger(at: at - 1) == UInt8(ascii: "\r")
            isLastHidden = from == at
        }
        if at < input.writerIndex {
            let rest = input.writerIndex - at
            if rest > OpenAIStreamScanner.pendingMax {
                // All but what may be the first bytes of the blank line.
                let kept = input.writerIndex - OpenAIStreamScanner.endMax
                append(input, from: at, to: kept, to: &output)
                isOversize = true
                input.moveReaderIndex(to: kept)
                pending = input
                searched = OpenAIStreamScanner.endMax
            } else {
                input.moveReaderIndex(to: at)
                pending = input
                searched = rest
            }
        }
        return output
    }

    /// What is left when the provider's answer is over: an event without its blank line.
    package mutating func rest() -> ByteBuffer? {
        guard !isDone, !isBroken, pending.readableBytes > 0 else { return nil }
        var last = pending
        pending = ByteBuffer()
        let isHidden = look(at: last, from: last.readerIndex, to: last.writerIndex)
        // An event without its end counts only when nothing of it can be missing.
        if isHidden || isDone || !lastIsObject || isBroken { return nil }
        last.writeStaticString("\n\n")
        return last
    }

    /// Looks into one whole event; says whether the client must not see it.
    private mutating func look(at input: ByteBuffer, from: Int, to end: Int) -> Bool {
        var event = cscan_event()
        var answer = cscan_answer()
        input.withVeryUnsafeBytes { storage in
            guard let base = storage.baseAddress else { return }
            let bytes = base.assumingMemoryBound(to: UInt8.self) + from
            // A stream may begin with a byte order mark, which belongs to no line.
            let skipped = !isBegun && end - from >= 3 && bytes[0] == 0xef && bytes[1] == 0xbb && bytes[2] == 0xbf ? 3 : 0
            cscan_event_scan(bytes + skipped, end - from - skipped, &event, &answer)
        }
        lastIsObject = false
        guard event.has_data == 1 else { return false }
        if event.is_done == 1 {
            isDone = true
            return true
        }
        if answer.is_object == 1, answer.is_whole == 0 || event.is_utf8 == 0 {
            isBroken = true
            return false
        }
        lastIsObject = answer.is_object == 1
        if answer.has_error == 1 {
            hasError = true
            if errorEvent == nil { errorEvent = input.getSlice(at: from, length: end - from) }
        }
        if answer.has_finish == 1 { hasFinish = true }
        if answer.content_bytes > 0 {
            contentEvents += 1
            contentBytes += Int64(answer.content_bytes)
        }
        guard answer.has_usage == 1 || answer.usage_is_bad == 1 else { return false }
        usage = answer.usage(contentBytes: contentBytes) ?? usage
        return hidesUsage && answer.has_choices == 0 && answer.has_error == 0
    }
}

extension ByteBuffer {
    /// The data of a server-sent event: what stands behind `data:` in its lines.
    package var eventData: ByteBuffer {
        var data = ByteBuffer()
        for line in readableBytesView.split(whereSeparator: { $0 == UInt8(ascii: "\n") || $0 == UInt8(ascii: "\r") }) {
            guard line.starts(with: "data:".utf8) else { continue }
            let value = line.dropFirst(5)
            data.writeBytes(value.first == UInt8(ascii: " ") ? value.dropFirst() : value)
        }
        return data
    }
}

extension cscan_answer {
    /// The most prompt tokens that are believed: twice the largest context that any model has.
    private static var promptMax: Int64 { 20_000_000 }
    /// The most completion tokens that are believed beyond the bytes of what was said; a token is at least a byte, and thoughts stay unsaid.
    private static var unsaidMax: Int64 { 1_000_000 }

    /// The counts, if there are any and all of them can be believed.
    ///
    /// - Parameter contentBytes: of all text that the model produced.
    fileprivate func usage(contentBytes: Int64) -> TokenUsage? {
        guard has_usage == 1, usage_is_bad == 0 else { return nil }
        guard prompt_tokens <= Self.promptMax, completion_tokens <= Self.unsaidMax + contentBytes else { return nil }
        return TokenUsage(input: prompt_tokens, cachedInput: cached_tokens, output: completion_tokens, reasoning: reasoning_tokens).clamped
    }
}

extension ByteBuffer {
    /// The index behind the event that begins at `from`.
    fileprivate func eventEnd(from: Int, searched: Int) -> Int? {
        withVeryUnsafeBytes { storage in
            guard let base = storage.baseAddress, from < writerIndex else { return nil }
            let end = cscan_event_end(base.assumingMemoryBound(to: UInt8.self) + from, writerIndex - from, searched)
            return end == 0 ? nil : from + end
        }
    }
}

/// Adds a slice to what goes out; without a copy as long as it is one piece.
private func append(_ input: ByteBuffer, from: Int, to end: Int, to output: inout ByteBuffer?) {
    guard end > from, var slice = input.getSlice(at: from, length: end - from) else { return }
    if output == nil { output = slice } else { output?.writeBuffer(&slice) }
}

/// An estimate of the tokens of a call whose provider gave no counts (PRODUCT A10).
///
/// Four bytes a token is the usual rule of thumb for English text; most providers send a token an event.
package func estimatedUsage(promptBytes: Int64, contentBytes: Int64, contentEvents: Int64) -> TokenUsage {
    TokenUsage(input: (promptBytes + 3) / 4, output: max(contentEvents, (contentBytes + 3) / 4), isEstimate: true)
}
