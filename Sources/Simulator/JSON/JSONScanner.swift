/// Where a text stops being JSON.
struct JSONSyntaxError: Error {
    /// Bytes from the start of the text.
    var offset: Int
}

/// Walks over JSON text without building values, and checks its grammar on the way.
///
/// A plain chat request is read with this alone, so that its cost is one pass over the bytes.
struct JSONScanner {
    /// The kind of a value, known from its first byte.
    enum Kind { case string, number, object, array, boolean, null }

    /// Deeper nesting is refused: the walk is recursive, and its stack is that of an event loop.
    private static let maximumDepth = 256

    let bytes: UnsafeRawBufferPointer
    var index: Int
    /// Set once a byte above 0x7F was met inside a string; such a text has yet to prove that it is UTF-8.
    private(set) var hasNonASCII = false

    init(_ bytes: UnsafeRawBufferPointer, at index: Int = 0) {
        self.bytes = bytes
        self.index = index
    }

    var failure: JSONSyntaxError { JSONSyntaxError(offset: index) }

    /// Whether a stretch of the text is the same, byte by byte.
    func text(_ range: Range<Int>, is wanted: StaticString) -> Bool {
        guard range.count == wanted.utf8CodeUnitCount else { return false }
        for offset in 0..<range.count where bytes[range.lowerBound &+ offset] != wanted.utf8Start[offset] { return false }
        return true
    }

    mutating func skipWhitespace() {
        while index < bytes.count {
            switch bytes[index] {
            case 0x20, 0x0A, 0x0D, 0x09: index += 1
            default: return
            }
        }
    }

    /// The next byte that is not white space; it is not consumed.
    mutating func peek() throws(JSONSyntaxError) -> UInt8 {
        skipWhitespace()
        guard index < bytes.count else { throw failure }
        return bytes[index]
    }

    mutating func expect(_ byte: UInt8) throws(JSONSyntaxError) {
        guard try peek() == byte else { throw failure }
        index += 1
    }

    /// The kind of the value that comes next; nothing is consumed but white space.
    mutating func kind() throws(JSONSyntaxError) -> Kind {
        switch try peek() {
        case UInt8(ascii: "\""): return .string
        case UInt8(ascii: "{"): return .object
        case UInt8(ascii: "["): return .array
        case UInt8(ascii: "t"), UInt8(ascii: "f"): return .boolean
        case UInt8(ascii: "n"): return .null
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return .number
        default: throw failure
        }
    }

    /// The next key of an object whose brace is consumed, as the range between its quotes; `nil` after the closing brace.
    mutating func nextKey(first: inout Bool) throws(JSONSyntaxError) -> Range<Int>? {
        guard try hasNext(before: UInt8(ascii: "}"), first: &first) else { return nil }
        guard try peek() == UInt8(ascii: "\"") else { throw failure }
        let key = try string()
        try expect(UInt8(ascii: ":"))
        return key
    }

    /// Whether an array whose bracket is consumed has another element; the closing bracket is consumed when not.
    mutating func nextElement(first: inout Bool) throws(JSONSyntaxError) -> Bool {
        try hasNext(before: UInt8(ascii: "]"), first: &first)
    }

    private mutating func hasNext(before end: UInt8, first: inout Bool) throws(JSONSyntaxError) -> Bool {
        let byte = try peek()
        if byte == end {
            index += 1
            return false
        }
        if !first {
            guard byte == UInt8(ascii: ",") else { throw failure }
            index += 1
        }
        first = false
        return true
    }

    /// Consumes a string and gives the range between its quotes, escapes not resolved.
    mutating func string() throws(JSONSyntaxError) -> Range<Int> {
        try expect(UInt8(ascii: "\""))
        let start = index
        while true {
            skipOrdinaryBlocks()
            guard index < bytes.count else { throw failure }
            let byte = bytes[index]
            switch byte {
            case UInt8(ascii: "\""):
                index += 1
                return start..<(index - 1)
            case UInt8(ascii: "\\"):
                try skipEscape()
            case 0..<0x20:
                throw failure
            default:
                if byte >= 0x80 { hasNonASCII = true }
                index += 1
            }
        }
    }

    /// Moves over blocks of eight bytes that hold neither quote, backslash, control character nor a byte above 0x7F.
    private mutating func skipOrdinaryBlocks() {
        let ones: UInt64 = 0x0101_0101_0101_0101
        let highs: UInt64 = 0x8080_8080_8080_8080
        while index &+ 8 <= bytes.count {
            let block = bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self)
            let quotes = block ^ (ones &* 0x22)
            let slashes = block ^ (ones &* 0x5C)
            // Each term has the high bit of a byte set where that byte is (or may be) special; false alarms only cost the slow step.
            let special = (quotes &- ones) | (slashes &- ones) | (block &- ones &* 0x20) | block
            guard special & highs == 0 else { return }
            index &+= 8
        }
    }

    private mutating func skipEscape() throws(JSONSyntaxError) {
        guard index + 1 < bytes.count else { throw failure }
        switch bytes[index + 1] {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"), UInt8(ascii: "n"),
            UInt8(ascii: "r"), UInt8(ascii: "t"):
            index += 2
        case UInt8(ascii: "u"):
            guard index + 5 < bytes.count else { throw failure }
            for offset in 2...5 {
                guard Self.isHexDigit(bytes[index + offset]) else { throw failure }
            }
            index += 6
        default:
            throw failure
        }
    }

    private static func isHexDigit(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "f"), UInt8(ascii: "A")...UInt8(ascii: "F"): true
        default: false
        }
    }

    /// Consumes the next value and gives its range.
    @discardableResult
    mutating func skipValue(depth: Int = 0) throws(JSONSyntaxError) -> Range<Int> {
        guard depth < Self.maximumDepth else { throw failure }
        let kind = try kind()
        let start = index
        switch kind {
        case .string:
            _ = try string()
        case .number:
            try skipNumber()
        case .boolean:
            try skipLiteral(bytes[index] == UInt8(ascii: "t") ? "true" : "false")
        case .null:
            try skipLiteral("null")
        case .object:
            index += 1
            var first = true
            while try nextKey(first: &first) != nil { try skipValue(depth: depth + 1) }
        case .array:
            index += 1
            var first = true
            while try nextElement(first: &first) { try skipValue(depth: depth + 1) }
        }
        return start..<index
    }

    private mutating func skipLiteral(_ literal: StaticString) throws(JSONSyntaxError) {
        let count = literal.utf8CodeUnitCount
        guard index + count <= bytes.count else { throw failure }
        for offset in 0..<count where bytes[index + offset] != literal.utf8Start[offset] { throw failure }
        index += count
    }

    private mutating func skipNumber() throws(JSONSyntaxError) {
        if bytes[index] == UInt8(ascii: "-") { index += 1 }
        let start = index
        try skipDigits()
        if index - start > 1, bytes[start] == UInt8(ascii: "0") { throw failure }
        if index < bytes.count, bytes[index] == UInt8(ascii: ".") {
            index += 1
            try skipDigits()
        }
        if index < bytes.count, bytes[index] | 0x20 == UInt8(ascii: "e") {
            index += 1
            if index < bytes.count, bytes[index] == UInt8(ascii: "+") || bytes[index] == UInt8(ascii: "-") { index += 1 }
            try skipDigits()
        }
    }

    private mutating func skipDigits() throws(JSONSyntaxError) {
        let start = index
        while index < bytes.count, bytes[index] >= UInt8(ascii: "0"), bytes[index] <= UInt8(ascii: "9") { index += 1 }
        guard index > start else { throw failure }
    }
}
