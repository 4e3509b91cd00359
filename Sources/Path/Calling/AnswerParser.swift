package import Contracts
import Glibc
package import NIOCore

/// Reads HTTP/1.1 answers of a provider from bytes, without making a string of any header that nobody asks for.
///
/// Strict where a lenient reading could be abused or could lose the end of an answer: two lengths that differ, a length beside chunks,
/// line folding, and anything that is not HTTP/1.x are errors. RFC 9112.
package struct AnswerParser {
    /// A piece of an answer.
    package enum Event {
        /// The head. `isProxyError`: whether a proxy marks it as an error of its own.
        case head(UpstreamHead, isProxyError: Bool)
        case body(ByteBuffer)
        case end
    }

    /// What came is no answer of HTTP/1.1, or one that could be read in two ways.
    package enum Failure: Error { case invalid }

    private enum State {
        case head
        case sized(rest: Int64)
        case chunkSize
        case chunk(rest: Int64)
        case chunkEnd
        case trailers
        case untilClose
        case done
    }

    private var state = State.head
    /// Bytes of a head or of a chunk's frame that are not complete.
    private var pending = ByteBuffer()
    /// Whether the connection can carry another call after this answer.
    private(set) var keepsAlive = true
    /// Whether any byte of an answer has come.
    private(set) var hasBegun = false

    private static let headMax = 64 * 1024
    private static let lineMax = 8 * 1024
    /// What may stand around the chunks of an answer beyond their sizes: extensions and trailers, which say nothing to us.
    private static let decorationMax = 64 * 1024
    /// How many interim answers may come before the real one.
    private static let interimMax = 16
    private var decoration = 0
    private var interims = 0

    package init() {}

    /// Makes ready for the next answer.
    package mutating func reset() {
        self = AnswerParser()
    }

    var isDone: Bool { if case .done = state { true } else { false } }

    /// The connection has ended: an answer without a length is complete with it, any other is cut.
    mutating func endOfInput() -> Bool {
        if case .untilClose = state {
            state = .done
            return true
        }
        return false
    }

    /// Takes bytes and reports what they hold, in order.
    package mutating func feed(_ bytes: ByteBuffer, _ report: (Event) -> Void) throws(Failure) {
        var input = bytes
        if input.readableBytes > 0 { hasBegun = true }
        if pending.readableBytes > 0 {
            pending.writeBuffer(&input)
            swap(&input, &pending)
            pending.clear()
        }
        while true {
            switch state {
            case .head:
                guard looksLikeHTTP(input) else { throw .invalid }
                guard let end = try endOfHead(input) else {
                    guard input.readableBytes <= AnswerParser.headMax else { throw .invalid }
                    pending = input
                    return
                }
                // However many reads it came in.
                guard end <= AnswerParser.headMax else { throw .invalid }
                guard let block = input.readSlice(length: end) else { throw .invalid }
                guard let (head, isProxyError) = try readHead(block) else { continue }
                report(.head(head, isProxyError: isProxyError))
                if case .done = state {
                    finish(input)
                    report(.end)
                    return
                }
            case .sized(let rest):
                guard let part = take(&input, upTo: rest) else { return }
                let left = rest - Int64(part.readableBytes)
                report(.body(part))
                if left == 0 {
                    finish(input)
                    report(.end)
                    return
                }
                state = .sized(rest: left)
            case .chunkSize:
                let size: Int64
                if let plain = plainChunkSize(&input) {
                    size = plain
                } else {
                    guard let line = try readLine(&input) else { return }
                    size = try chunkSize(line)
                }
                state = size == 0 ? .trailers : .chunk(rest: size)
            case .chunk(let rest):
                guard let part = take(&input, upTo: rest) else { return }
                let left = rest - Int64(part.readableBytes)
                report(.body(part))
                state = left == 0 ? .chunkEnd : .chunk(rest: left)
            case .chunkEnd:
                if input.getInteger(at: input.readerIndex, as: UInt16.self) == 0x0d0a {
                    input.moveReaderIndex(forwardBy: 2)
                    state = .chunkSize
                    continue
                }
                guard let line = try readLine(&input) else { return }
                guard line.readableBytes == 0 else { throw .invalid }
                state = .chunkSize
            case .trailers:
                guard let line = try readLine(&input) else { return }
                guard line.readableBytes == 0 else {
                    try decorate(line.readableBytes)
                    continue
                }
                finish(input)
                report(.end)
                return
            case .untilClose:
                guard input.readableBytes > 0 else { return }
                report(.body(input))
                return
            case .done:
                if input.readableBytes > 0 { keepsAlive = false }
                return
            }
        }
    }

    /// The answer is complete. Bytes behind it are an answer that nobody asked for: the connection must not carry another call, which would
    /// take them for its own.
    private mutating func finish(_ rest: ByteBuffer) {
        state = .done
        if rest.readableBytes > 0 { keepsAlive = false }
    }

    private func take(_ input: inout ByteBuffer, upTo limit: Int64) -> ByteBuffer? {
        guard input.readableBytes > 0 else { return nil }
        return input.readSlice(length: Int(min(limit, Int64(input.readableBytes))))
    }

    /// A line without its end; `nil` when it is not whole yet.
    private mutating func readLine(_ input: inout ByteBuffer) throws(Failure) -> ByteBuffer? {
        let found = input.readableBytesView.firstIndex(of: UInt8(ascii: "\n"))
        guard let found else {
            guard input.readableBytes <= AnswerParser.lineMax else { throw .invalid }
            pending = input
            return nil
        }
        let length = found - input.readerIndex
        guard let line = input.readSlice(length: length) else { throw .invalid }
        input.moveReaderIndex(forwardBy: 1)
        guard line.readableBytesView.last == UInt8(ascii: "\r") else { throw .invalid }
        let content = line.getSlice(at: line.readerIndex, length: line.readableBytes - 1)
        // A line of ours would be more than one for a reader that ends lines elsewhere.
        guard let content, content.readableBytesView.allSatisfy({ $0 >= 0x20 || $0 == UInt8(ascii: "\t") }) else { throw .invalid }
        return content
    }

    private mutating func decorate(_ bytes: Int) throws(Failure) {
        decoration += bytes
        if decoration > AnswerParser.decorationMax { throw .invalid }
    }

    /// The size of a chunk whose line is whole and holds nothing else: the usual case, read without a slice. `nil` leaves all others to
    /// ``chunkSize(_:)``.
    private func plainChunkSize(_ input: inout ByteBuffer) -> Int64? {
        var size: Int64 = 0
        let length = input.withUnsafeReadableBytes { bytes in
            var at = 0
            while at < bytes.count, at < 15, let digit = hexadecimalValue(bytes[at]) {
                size = size << 4 | digit
                at += 1
            }
            return at > 0 && at + 1 < bytes.count && bytes[at] == 13 && bytes[at + 1] == 10 ? at + 2 : 0
        }
        guard length > 0 else { return nil }
        input.moveReaderIndex(forwardBy: length)
        return size
    }

    /// `1*HEXDIG`, then white space or extensions (RFC 9112 §7.1).
    private mutating func chunkSize(_ line: ByteBuffer) throws(Failure) -> Int64 {
        var size: Int64 = 0
        var digits = 0
        let view = line.readableBytesView
        for byte in view {
            guard let digit = hexadecimalValue(byte) else { break }
            guard digits < 15 else { throw .invalid }
            size = size << 4 | digit
            digits += 1
        }
        guard digits > 0 else { throw .invalid }
        let rest = view.dropFirst(digits).drop { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\t") }
        guard rest.isEmpty || rest.first == UInt8(ascii: ";") else { throw .invalid }
        try decorate(view.count - digits)
        return size
    }

    // MARK: The head

    /// Whether it can still become a head: another protocol is noticed by its first bytes, not when our patience ends.
    private func looksLikeHTTP(_ input: ByteBuffer) -> Bool {
        let start: StaticString = "HTTP/1."
        return input.withUnsafeReadableBytes { bytes in
            guard let base = bytes.baseAddress else { return true }
            return memcmp(base, start.utf8Start, min(bytes.count, start.utf8CodeUnitCount)) == 0
        }
    }

    private func endOfHead(_ input: ByteBuffer) throws(Failure) -> Int? {
        var isBroken = false
        let end: Int? = input.withUnsafeReadableBytes { bytes in
            var at = 0
            while let base = bytes.baseAddress, at < bytes.count, let found = memchr(base + at, 10, bytes.count - at) {
                let index = found - UnsafeMutableRawPointer(mutating: base)
                // A line that ends in LF alone is read differently by different readers, so by none of ours.
                if index == 0 || bytes[index - 1] != 13 {
                    isBroken = true
                    return nil
                }
                if index >= 3, bytes[index - 1] == 13, bytes[index - 2] == 10, bytes[index - 3] == 13 { return index + 1 }
                at = index + 1
            }
            return nil
        }
        if isBroken { throw .invalid }
        return end
    }

    /// Reads a head; `nil` for an interim answer (1xx), which nobody has asked for.
    private mutating func readHead(_ block: ByteBuffer) throws(Failure) -> (UpstreamHead, isProxyError: Bool)? {
        var facts = AnswerFacts()
        let isSound = block.withUnsafeReadableBytes { facts.read($0) }
        guard isSound else { throw .invalid }
        // Nobody has asked for another protocol.
        if facts.status == 101 { throw .invalid }
        if facts.status < 200 {
            interims += 1
            guard interims <= AnswerParser.interimMax else { throw .invalid }
            return nil
        }
        keepsAlive = facts.isHTTP11 ? !facts.saysClose : facts.saysKeepAlive
        if facts.isChunked {
            guard facts.length < 0 else { throw .invalid }
            // HTTP/1.0 has no chunks: whoever relayed them as such may have lost track of where the answer ends (RFC 9112 §6.1).
            if !facts.isHTTP11 { keepsAlive = false }
            state = .chunkSize
        } else if facts.status == 204 || facts.status == 304 {
            state = .done
        } else if facts.length >= 0 {
            state = facts.length == 0 ? .done : .sized(rest: facts.length)
        } else {
            keepsAlive = false
            state = .untilClose
        }
        let head = UpstreamHead(
            status: facts.status, isEventStream: facts.isEventStream, isJSON: facts.isJSON, isEncoded: facts.isEncoded,
            contentLength: facts.isChunked ? -1 : facts.length, contentType: facts.contentType, passedOn: facts.passedOn)
        return (head, facts.isProxyError)
    }
}

func hexadecimalValue(_ byte: UInt8) -> Int64? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): Int64(byte - UInt8(ascii: "0"))
    case UInt8(ascii: "a")...UInt8(ascii: "f"): Int64(byte - UInt8(ascii: "a")) + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): Int64(byte - UInt8(ascii: "A")) + 10
    default: nil
    }
}
