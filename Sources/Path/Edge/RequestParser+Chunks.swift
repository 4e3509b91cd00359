import NIOCore

/// Bodies in chunks (RFC 9112 §7.1). Extensions and trailers mean nothing to us; they are checked, bounded, and dropped.
extension RequestParser {
    /// What the bytes say so far.
    private enum Progress<Value> {
        case unfinished
        case whole(Value, length: Int)
        case failed(Failure)
    }

    /// The size of a chunk, once its line is whole.
    mutating func readChunkLine() throws(Failure) -> UInt64? {
        switch input.withUnsafeReadableBytes({ RequestParser.chunkLine($0) }) {
        case .unfinished: return nil
        case .failed(let failure): throw fail(failure)
        case .whole(let line, let length):
            decoration += line.extensionBytes
            guard decoration <= RequestParser.decorationMax else { throw fail(.malformed("the chunks have too many extensions")) }
            input.moveReaderIndex(forwardBy: length)
            return line.size
        }
    }

    private static func chunkLine(_ bytes: UnsafeRawBufferPointer) -> Progress<(size: UInt64, extensionBytes: Int)> {
        let bad = Failure.malformed("a chunk does not begin with its size")
        var size: UInt64 = 0
        var at = 0
        while at < bytes.count, let digit = hexadecimalDigit(bytes[at]) {
            guard at < 16 else { return .failed(bad) }
            size = size << 4 | UInt64(digit)
            at += 1
        }
        let digits = at
        guard digits > 0 || bytes.isEmpty else { return .failed(bad) }
        while at < bytes.count, bytes[at] == UInt8(ascii: ";") {
            guard let end = extensionEnd(bytes, from: at + 1) else { return .failed(.malformed("a chunk has a malformed extension")) }
            at = end
        }
        guard at <= chunkLineMax else { return .failed(.malformed("the line of a chunk is too long")) }
        guard at < bytes.count else { return .unfinished }
        guard bytes[at] == 13 else { return .failed(bad) }
        guard at + 1 < bytes.count else { return .unfinished }
        guard bytes[at + 1] == 10 else { return .failed(bad) }
        return .whole((size, at - digits), length: at + 2)
    }

    /// Behind one extension, `token [ "=" ( token / quoted-string ) ]`; the end of the bytes where it is not whole. `nil`: it is none.
    private static func extensionEnd(_ bytes: UnsafeRawBufferPointer, from: Int) -> Int? {
        let name = tokenEnd(bytes, from: from)
        guard name < bytes.count else { return name }
        guard name > from else { return nil }
        guard bytes[name] == UInt8(ascii: "="), name + 1 < bytes.count else { return bytes[name] == UInt8(ascii: "=") ? name + 1 : name }
        if bytes[name + 1] == UInt8(ascii: "\"") { return quoteEnd(bytes, from: name + 2) }
        let value = tokenEnd(bytes, from: name + 1)
        return value > name + 1 ? value : nil
    }

    private static func tokenEnd(_ bytes: UnsafeRawBufferPointer, from: Int) -> Int {
        var at = from
        while at < bytes.count, isTokenByte(bytes[at]) { at += 1 }
        return at
    }

    private static func quoteEnd(_ bytes: UnsafeRawBufferPointer, from: Int) -> Int? {
        var at = from
        while at < bytes.count {
            let byte = bytes[at]
            guard byte >= 0x20 && byte != 0x7f || byte == 9 else { return nil }
            if byte == UInt8(ascii: "\"") { return at + 1 }
            // A pair's second byte is looked at as any other, but ends nothing.
            if byte == UInt8(ascii: "\\"), at + 1 < bytes.count, bytes[at + 1] == byte || bytes[at + 1] == UInt8(ascii: "\"") { at += 1 }
            at += 1
        }
        return bytes.count
    }

    /// Whether the end of a chunk's data has come; it is CR LF and nothing else.
    mutating func readChunkEnd() throws(Failure) -> Bool {
        guard let first = input.getInteger(at: input.readerIndex, as: UInt8.self) else { return false }
        let second = input.getInteger(at: input.readerIndex + 1, as: UInt8.self)
        guard first == 13, second == nil || second == 10 else { throw fail(.malformed("a chunk is not as long as it says")) }
        guard second != nil else { return false }
        input.moveReaderIndex(forwardBy: 2)
        return true
    }

    /// Reads a line behind the last chunk; the empty one ends the body.
    ///
    /// - Returns: whether there was a whole one.
    mutating func readTrailer() throws(Failure) -> Bool {
        let allowed = RequestParser.decorationMax - decoration
        switch input.withUnsafeReadableBytes({ RequestParser.trailer($0, allowed) }) {
        case .unfinished: return false
        case .failed(let failure): throw fail(failure)
        case .whole(let isEmpty, let length):
            decoration += length
            input.moveReaderIndex(forwardBy: length)
            if isEmpty { endBody() }
            return true
        }
    }

    private static func trailer(_ bytes: UnsafeRawBufferPointer, _ allowed: Int) -> Progress<Bool> {
        guard let end = bytes.find(10, from: 0), end < allowed else {
            let known = bytes.last == 13 ? bytes.count - 1 : bytes.count
            guard bytes.isText(0..<min(known, max(0, allowed))) else { return .failed(.malformed("a trailer has control characters in it")) }
            return bytes.count > allowed ? .failed(.tooLarge) : .unfinished
        }
        guard end > 0, bytes[end - 1] == 13 else { return .failed(.malformed("a line does not end in CR LF")) }
        if end == 1 { return .whole(true, length: 2) }
        guard let colon = bytes.colon(in: 0..<end - 1), bytes.isText(colon + 1..<end - 1) else {
            return .failed(.malformed("a trailer is no header line"))
        }
        // What would frame the message if it were in the head must not stand behind it (RFC 9110 §6.5.1).
        guard !bytes.isName(0..<colon, "content-length"), !bytes.isName(0..<colon, "transfer-encoding") else {
            return .failed(.malformed("the length of a body is among its trailers"))
        }
        return .whole(false, length: end + 1)
    }
}

private func hexadecimalDigit(_ byte: UInt8) -> UInt8? {
    switch byte {
    case 0x30...0x39: byte - 0x30
    case 0x41...0x46: byte - 0x41 + 10
    case 0x61...0x66: byte - 0x61 + 10
    default: nil
    }
}
