/// A range of addresses: `10.0.0.0/8`, `fd00::/8`; a single address is the range of itself. RFC 4632, RFC 4291 §2.3.
package struct CIDR: Sendable, Hashable {
    /// The first address of the range: the bits behind the prefix are zero.
    package let address: IPAddress
    /// In bits.
    package let prefixLength: Int
    private let mask: UInt128

    /// Reads `ADDRESS/LENGTH`, or an address alone. `nil` for anything else; bits behind the prefix are allowed and mean nothing.
    package init?(_ text: String) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let address = IPAddress(String(parts[0])) else { return nil }
        guard parts.count == 2 else {
            self.init(address, prefixLength: address.bitCount)
            return
        }
        guard (1...3).contains(parts[1].utf8.count), parts[1].utf8.allSatisfy({ (0x30...0x39).contains($0) }), var length = Int(parts[1]) else {
            return nil
        }
        // `::ffff:10.0.0.0/104` is `10.0.0.0/8`; a shorter prefix would hold other addresses too.
        if address.isIPv4, parts[0].utf8.contains(UInt8(ascii: ":")) { length -= 96 }
        guard (0...address.bitCount).contains(length) else { return nil }
        self.init(address, prefixLength: length)
    }

    private init(_ address: IPAddress, prefixLength: Int) {
        let all: UInt128 = address.isIPv4 ? 0xffff_ffff : .max
        let hostBits = UInt128(address.bitCount - prefixLength)
        // A shift by all the bits gives zero.
        mask = (all << hostBits) & all
        self.prefixLength = prefixLength
        self.address = IPAddress(bits: address.bits & mask, isIPv4: address.isIPv4)
    }

    /// Whether an address lies in the range; one of the other family never does.
    package func contains(_ other: IPAddress) -> Bool {
        other.isIPv4 == address.isIPv4 && other.bits & mask == address.bits
    }
}

extension CIDR: CustomStringConvertible {
    package var description: String { "\(address)/\(prefixLength)" }
}
