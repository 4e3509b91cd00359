import NIOCore
internal import Vocabulary

extension IPAddress {
    /// `nil` for a socket in the file system.
    init?(_ address: SocketAddress) {
        guard let text = address.ipAddress else { return nil }
        self.init(text)
    }

    /// What one subscriber has: an address of IPv4, a network of 64 bits of IPv6 (RFC 6177).
    var subscriber: IPAddress {
        guard !isIPv4 else { return self }
        let bytes = (0..<16).map { $0 < 8 ? UInt8(truncatingIfNeeded: bits >> UInt128(120 - 8 * $0)) : 0 }
        return IPAddress(networkBytes: bytes) ?? self
    }
}
