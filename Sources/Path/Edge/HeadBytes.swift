import Glibc

/// How a head of HTTP is read in place, without a string or a copy of anything.
///
/// Every range lies within the bytes; the caller has found its ends.
extension UnsafeRawBufferPointer {
    /// Where the next byte of that value is.
    func find(_ byte: UInt8, from: Int) -> Int? {
        guard let baseAddress, from < count, let found = memchr(baseAddress + from, Int32(byte), count - from) else { return nil }
        return UnsafeRawPointer(found) - baseAddress
    }

    /// Whether nothing in it is a control character (RFC 9110 §5.5): a reader that ends a line or a text at one would see another head.
    func isText(_ range: Range<Int>) -> Bool {
        holds(range, low: 0x2020_2020_2020_2020) { $0 >= 0x20 && $0 != 0x7f || $0 == 9 }
    }

    /// The same without white space, for the target of a request.
    func isSolid(_ range: Range<Int>) -> Bool {
        holds(range, low: 0x2121_2121_2121_2121) { $0 > 0x20 && $0 != 0x7f }
    }

    /// Looks at eight bytes at a time; where one of them is below its byte of `low`, or DEL, or seems so, each is looked at.
    @inline(__always)
    private func holds(_ range: Range<Int>, low: UInt64, _ isAllowed: (UInt8) -> Bool) -> Bool {
        var at = range.lowerBound
        while at + 8 <= range.upperBound {
            let word = loadUnaligned(fromByteOffset: at, as: UInt64.self)
            let noDelete = word ^ 0x7f7f_7f7f_7f7f_7f7f
            let suspects = ((word &- low) & ~word | (noDelete &- 0x0101_0101_0101_0101) & ~noDelete) & 0x8080_8080_8080_8080
            if suspects != 0 {
                for index in at..<at + 8 where !isAllowed(self[index]) { return false }
            }
            at += 8
        }
        while at < range.upperBound {
            if !isAllowed(self[at]) { return false }
            at += 1
        }
        return true
    }

    /// Where the colon of a header line is, behind a name that is a token (RFC 9112 §5.1): neither white space before the colon, nor a line
    /// that goes on with the one before it, nor a line without a name.
    func colon(in line: Range<Int>) -> Int? {
        var at = line.lowerBound
        while at < line.upperBound {
            let byte = self[at]
            if !isTokenByte(byte) { return byte == UInt8(ascii: ":") && at > line.lowerBound ? at : nil }
            at += 1
        }
        return nil
    }

    /// A range without the white space at its ends.
    func trimmed(_ range: Range<Int>) -> Range<Int> {
        var (from, to) = (range.lowerBound, range.upperBound)
        while from < to, self[from] == 0x20 || self[from] == 9 { from += 1 }
        while to > from, self[to - 1] == 0x20 || self[to - 1] == 9 { to -= 1 }
        return from..<to
    }

    /// Compares without regard to ASCII case; `lowercase` is lower case.
    func isName(_ range: Range<Int>, _ lowercase: StaticString) -> Bool {
        range.count == lowercase.utf8CodeUnitCount && hasPrefix(range, lowercase)
    }

    func hasPrefix(_ range: Range<Int>, _ lowercase: StaticString) -> Bool {
        guard range.count >= lowercase.utf8CodeUnitCount else { return false }
        for index in 0..<lowercase.utf8CodeUnitCount {
            let byte = self[range.lowerBound + index]
            if (byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte) != lowercase.utf8Start[index] { return false }
        }
        return true
    }

    /// Compares byte by byte.
    func isExactly(_ range: Range<Int>, _ text: StaticString) -> Bool {
        guard let baseAddress, range.count == text.utf8CodeUnitCount else { return false }
        return memcmp(baseAddress + range.lowerBound, text.utf8Start, range.count) == 0
    }

    /// Compares a credential in a time that does not depend on where they differ.
    func isSame(_ range: Range<Int>, _ text: String) -> Bool {
        var text = text
        return text.withUTF8 { text in
            guard text.count == range.count else { return false }
            var difference: UInt8 = 0
            for index in 0..<text.count { difference |= text[index] ^ self[range.lowerBound + index] }
            return difference == 0
        }
    }

    /// `1*DIGIT` of at most 15 digits, so that no arithmetic with it can overflow.
    func decimal(_ range: Range<Int>) -> Int? {
        guard !range.isEmpty, range.count <= 15 else { return nil }
        var number = 0
        for index in range {
            guard self[index] >= 0x30, self[index] <= 0x39 else { return nil }
            number = number * 10 + Int(self[index] - 0x30)
        }
        return number
    }

    /// Calls `take` with each element of a list (RFC 9110 §5.6.1).
    func forEachElement(of range: Range<Int>, _ take: (Range<Int>) -> Void) {
        var from = range.lowerBound
        while from <= range.upperBound {
            var to = from
            while to < range.upperBound, self[to] != UInt8(ascii: ",") { to += 1 }
            take(trimmed(from..<to))
            from = to + 1
        }
    }

    /// What is no UTF-8 in it is replaced.
    func text(_ range: Range<Int>) -> String {
        String(decoding: UnsafeRawBufferPointer(rebasing: self[range]), as: UTF8.self)
    }
}

/// RFC 9110 §5.6.2: a bit for each byte that a token may have.
@inline(__always)
func isTokenByte(_ byte: UInt8) -> Bool {
    let bits: UInt64 =
        switch byte >> 6 {
        case 0: 0x03ff_6cfa_0000_0000
        case 1: 0x57ff_ffff_c7ff_fffe
        default: 0
        }
    return bits >> UInt64(byte & 63) & 1 == 1
}
