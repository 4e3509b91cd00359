/// An IPv4 or IPv6 address as a number.
///
/// An IPv4 address that is written as IPv6 (`::ffff:a.b.c.d`) is the IPv4 address: rules about one hold for the other.
package struct IPAddress: Sendable, Hashable {
    /// In the low 32 bits for IPv4.
    package let bits: UInt128
    package let isIPv4: Bool

    /// From the four bytes of an IPv4 address, or the sixteen of an IPv6 one, in network order; `nil` for any other count.
    package init?(networkBytes bytes: some Collection<UInt8>) {
        guard bytes.count == 4 || bytes.count == 16 else { return nil }
        self.init(bits: bytes.reduce(UInt128(0)) { $0 << 8 | UInt128($1) }, isIPv4: bytes.count == 4)
    }

    /// Reads dotted decimals, or the text forms of RFC 4291 §2.2. No brackets, no zone, no other forms of IPv4: whoever means `127.1` or
    /// `0x7f000001` is to say so plainly.
    package init?(_ text: String) {
        let bytes = Array(text.utf8)
        if let value = IPAddress.dottedDecimals(bytes[...]) {
            self.init(bits: UInt128(value), isIPv4: true)
        } else if let value = IPAddress.groups(bytes[...]) {
            self.init(bits: value, isIPv4: false)
        } else {
            return nil
        }
    }

    init(bits: UInt128, isIPv4: Bool) {
        let isMapped = !isIPv4 && bits >> 32 == 0xffff
        self.bits = isMapped ? bits & 0xffff_ffff : bits
        self.isIPv4 = isIPv4 || isMapped
    }

    /// The IPv4 address that a translator on the way would send this to (`64:ff9b::/96`, RFC 6052); `nil` for every other address.
    package var translatedIPv4: IPAddress? {
        guard !isIPv4, bits >> 32 == 0x0064_ff9b_0000_0000_0000_0000 else { return nil }
        return IPAddress(bits: bits & 0xffff_ffff, isIPv4: true)
    }

    package var bitCount: Int { isIPv4 ? 32 : 128 }

    private static func dottedDecimals(_ bytes: ArraySlice<UInt8>) -> UInt32? {
        let parts = bytes.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var value: UInt32 = 0
        for part in parts {
            // A zero in front would be octal for some readers.
            guard (1...3).contains(part.count), part.count == 1 || part.first != UInt8(ascii: "0"),
                part.allSatisfy({ (0x30...0x39).contains($0) })
            else { return nil }
            let number = part.reduce(UInt32(0)) { $0 * 10 + UInt32($1 - 0x30) }
            guard number <= 255 else { return nil }
            value = value << 8 | number
        }
        return value
    }

    private static func groups(_ bytes: ArraySlice<UInt8>) -> UInt128? {
        guard bytes.count <= 45 else { return nil }
        let colon = UInt8(ascii: ":")
        let gap = bytes.indices.dropLast().first { bytes[$0] == colon && bytes[$0 + 1] == colon }
        guard let gap else {
            guard let all = words(bytes), all.count == 8 else { return nil }
            return all.reduce(0) { $0 << 16 | UInt128($1) }
        }
        guard let front = words(bytes[..<gap], endsInIPv4: false), let back = words(bytes[(gap + 2)...]), front.count + back.count <= 7 else {
            return nil
        }
        let zeros = [UInt16](repeating: 0, count: 8 - front.count - back.count)
        return (front + zeros + back).reduce(0) { $0 << 16 | UInt128($1) }
    }

    /// The 16-bit groups of a part without `::`; the last of an address may be an IPv4 address.
    private static func words(_ bytes: ArraySlice<UInt8>, endsInIPv4: Bool = true) -> [UInt16]? {
        guard !bytes.isEmpty else { return [] }
        var words: [UInt16] = []
        let parts = bytes.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
        for (index, part) in parts.enumerated() {
            if endsInIPv4, index == parts.count - 1, let last = dottedDecimals(part) {
                words += [UInt16(last >> 16), UInt16(last & 0xffff)]
            } else {
                guard (1...4).contains(part.count), part.allSatisfy(isHexadecimal),
                    let word = UInt16(String(decoding: part, as: UTF8.self), radix: 16)
                else { return nil }
                words.append(word)
            }
        }
        return words
    }
}

extension IPAddress: CustomStringConvertible {
    /// Dotted decimals, or the one form that RFC 5952 recommends.
    package var description: String {
        if isIPv4 { return stride(from: 24, through: 0, by: -8).map { String((bits >> UInt128($0)) & 0xff) }.joined(separator: ".") }
        let words = stride(from: 112, through: 0, by: -16).map { UInt16(truncatingIfNeeded: bits >> UInt128($0)) }
        var longest = 0..<0
        var start = 0
        while start < words.count {
            var end = start
            while end < words.count, words[end] == 0 { end += 1 }
            if end - start > max(longest.count, 1) { longest = start..<end }
            start = max(end, start + 1)
        }
        func joined(_ part: ArraySlice<UInt16>) -> String { part.map { String($0, radix: 16) }.joined(separator: ":") }
        return longest.isEmpty ? joined(words[...]) : "\(joined(words[..<longest.lowerBound]))::\(joined(words[longest.upperBound...]))"
    }
}

private func isHexadecimal(_ byte: UInt8) -> Bool {
    (0x30...0x39).contains(byte) || (0x61...0x66).contains(byte | 0x20)
}
