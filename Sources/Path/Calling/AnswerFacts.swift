import Glibc
import NIOCore

/// What the head of an answer says, as far as we ask.
struct AnswerFacts {
    var status = 0
    var isHTTP11 = true
    var length: Int64 = -1
    var isChunked = false
    var saysClose = false
    var saysKeepAlive = false
    var isEventStream = false
    var isJSON = false
    var isEncoded = false
    /// Whether a proxy says that the answer is its own (Squid's way).
    var isProxyError = false
    /// The `content-type` line.
    var contentType = ByteBuffer()
    /// The other lines that the client may see.
    var passedOn = ByteBuffer()
    /// A bit for each header that is in `passedOn` already.
    private var forwarded: UInt8 = 0

    private static let valueMax = 1024

    /// Reads a head with its empty line.
    ///
    /// - Returns: whether it is a sound HTTP/1.x head.
    mutating func read(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard bytes.count >= 16, matches(bytes, 0, "HTTP/1."), bytes[8] == UInt8(ascii: " ") else { return false }
        switch bytes[7] {
        case UInt8(ascii: "1"): isHTTP11 = true
        case UInt8(ascii: "0"): isHTTP11 = false
        default: return false
        }
        for index in 9..<12 {
            guard bytes[index] >= 0x30, bytes[index] <= 0x39 else { return false }
            status = status * 10 + Int(bytes[index] - 0x30)
        }
        guard status >= 100, bytes[12] == UInt8(ascii: " ") || bytes[12] == 13 else { return false }
        // No text of a head holds this byte; readers that end a string at it would see another head.
        guard let lineEnd = find(10, in: bytes, from: 12), find(13, in: bytes, from: 12) == lineEnd - 1, find(0, in: bytes, from: 12) == nil else {
            return false
        }
        var at = lineEnd + 1
        // The block ends with CR LF CR LF, so every search for LF below ends inside it.
        while bytes[at] != 13 {
            var colon = at
            while bytes[colon] != UInt8(ascii: ":") {
                // A name has no white space and no control characters; a line that begins with one would be a folded line.
                guard bytes[colon] > 0x20, bytes[colon] < 0x7f else { return false }
                colon += 1
            }
            // A CR that does not end the line would end it for a more lenient reader.
            guard colon > at, let end = find(10, in: bytes, from: colon + 1), find(13, in: bytes, from: colon + 1) == end - 1 else { return false }
            var from = colon + 1
            var to = end - 1
            while from < to, bytes[from] == 0x20 || bytes[from] == 9 { from += 1 }
            while to > from, bytes[to - 1] == 0x20 || bytes[to - 1] == 9 { to -= 1 }
            guard take(bytes, name: at..<colon, value: from..<to) else { return false }
            at = end + 1
        }
        // A CR at the start of a line is the empty line, and that is the last one.
        return at == bytes.count - 2
    }

    private func find(_ byte: Int32, in bytes: UnsafeRawBufferPointer, from: Int) -> Int? {
        guard let base = bytes.baseAddress, from < bytes.count, let found = memchr(base + from, byte, bytes.count - from) else { return nil }
        return UnsafeRawPointer(found) - base
    }

    private mutating func take(_ bytes: UnsafeRawBufferPointer, name: Range<Int>, value: Range<Int>) -> Bool {
        switch name.count {
        case 10 where isName(bytes, name, "connection"):
            if contains(bytes, value, "close") { saysClose = true }
            if contains(bytes, value, "keep-alive") { saysKeepAlive = true }
        case 14 where isName(bytes, name, "content-length"):
            guard let number = decimal(bytes, value), length < 0 || length == number else { return false }
            length = number
        case 17 where isName(bytes, name, "transfer-encoding"):
            guard value.count == 7, isName(bytes, value, "chunked"), !isChunked else { return false }
            isChunked = true
        case 16 where isName(bytes, name, "content-encoding"):
            if !(value.isEmpty || isName(bytes, value, "identity")) { isEncoded = true }
        case 12 where isName(bytes, name, "content-type"):
            return takeContentType(bytes, value)
        case 13 where isName(bytes, name, "x-squid-error"): isProxyError = true
        // The headers of a provider that reach the client; everything else is the provider's own business.
        case 11 where isName(bytes, name, "retry-after"): return forward(bytes, "retry-after: ", value, bit: 1 << 0)
        case 14 where isName(bytes, name, "retry-after-ms"): return forward(bytes, "retry-after-ms: ", value, bit: 1 << 1)
        case 14 where isName(bytes, name, "x-should-retry"): return forward(bytes, "x-should-retry: ", value, bit: 1 << 2)
        case 20 where isName(bytes, name, "openai-processing-ms"): return forward(bytes, "openai-processing-ms: ", value, bit: 1 << 3)
        case 14 where isName(bytes, name, "openai-version"): return forward(bytes, "openai-version: ", value, bit: 1 << 4)
        case 12 where isName(bytes, name, "openai-model"): return forward(bytes, "openai-model: ", value, bit: 1 << 5)
        default: break
        }
        return true
    }

    /// What most answers say, in a line that all of them share.
    private static let plainJSON: StaticString = "application/json"
    private static let plainJSONLine = ByteBuffer(string: "content-type: application/json\r\n")

    private mutating func takeContentType(_ bytes: UnsafeRawBufferPointer, _ value: Range<Int>) -> Bool {
        if value.count == AnswerFacts.plainJSON.utf8CodeUnitCount, contentType.readableBytes == 0,
            matches(bytes, value.lowerBound, AnswerFacts.plainJSON)
        {
            isJSON = true
            contentType = AnswerFacts.plainJSONLine
            return true
        }
        var line = ByteBuffer()
        // Two that differ would be read differently by different clients.
        guard value.count <= AnswerFacts.valueMax, pass(bytes, "content-type: ", value, to: &line),
            contentType.readableBytes == 0 || contentType == line
        else { return false }
        isEventStream = contains(bytes, value, "text/event-stream")
        isJSON = contains(bytes, value, "json")
        contentType = line
        return true
    }

    /// Lets a header through to the client: the first of its name, unless it is far too long to mean anything.
    private mutating func forward(_ bytes: UnsafeRawBufferPointer, _ name: StaticString, _ value: Range<Int>, bit: UInt8) -> Bool {
        guard forwarded & bit == 0, value.count <= AnswerFacts.valueMax else { return true }
        forwarded |= bit
        return pass(bytes, name, value, to: &passedOn)
    }

    private func decimal(_ bytes: UnsafeRawBufferPointer, _ range: Range<Int>) -> Int64? {
        guard !range.isEmpty, range.count <= 18 else { return nil }
        var number: Int64 = 0
        for index in range {
            guard bytes[index] >= 0x30, bytes[index] <= 0x39 else { return nil }
            number = number * 10 + Int64(bytes[index] - 0x30)
        }
        return number
    }
}

private func matches(_ bytes: UnsafeRawBufferPointer, _ start: Int, _ text: StaticString) -> Bool {
    guard let base = bytes.baseAddress, start + text.utf8CodeUnitCount <= bytes.count else { return false }
    return memcmp(base + start, text.utf8Start, text.utf8CodeUnitCount) == 0
}

private func lowered(_ byte: UInt8) -> UInt8 {
    byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte
}

/// Compares without regard to case; `text` is lower case.
private func isName(_ bytes: UnsafeRawBufferPointer, _ range: Range<Int>, _ text: StaticString) -> Bool {
    let count = text.utf8CodeUnitCount
    guard range.count == count, let base = bytes.baseAddress, range.upperBound <= bytes.count else { return false }
    // Both are `count` bytes long from here.
    let given = base.assumingMemoryBound(to: UInt8.self) + range.lowerBound
    let wanted = text.utf8Start
    var index = 0
    while index < count {
        if lowered(given[index]) != wanted[index] { return false }
        index += 1
    }
    return true
}

private func contains(_ bytes: UnsafeRawBufferPointer, _ range: Range<Int>, _ text: StaticString) -> Bool {
    let count = text.utf8CodeUnitCount
    guard range.count >= count else { return false }
    let first = text.utf8Start[0]
    for start in range.lowerBound...(range.upperBound - count) where lowered(bytes[start]) == first && isName(bytes, start..<start + count, text) {
        return true
    }
    return false
}

/// Writes a header for the client; a value with a control character in it is no sound header.
private func pass(
    _ bytes: UnsafeRawBufferPointer, _ name: StaticString, _ value: Range<Int>, to lines: inout ByteBuffer
) -> Bool {
    let text = UnsafeRawBufferPointer(rebasing: bytes[value])
    for byte in text where (byte < 0x20 && byte != 9) || byte == 0x7f { return false }
    if lines.capacity == 0 { lines.reserveCapacity(128) }
    let size = name.utf8CodeUnitCount + text.count + 2
    lines.writeWithUnsafeMutableBytes(minimumWritableBytes: size) { target in
        target.copyMemory(from: UnsafeRawBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount))
        UnsafeMutableRawBufferPointer(rebasing: target[name.utf8CodeUnitCount...]).copyMemory(from: text)
        target[size - 2] = 13
        target[size - 1] = 10
        return size
    }
    return true
}
