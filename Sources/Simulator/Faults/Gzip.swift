import NIOCore

/// Wraps bytes as gzip without compressing them: stored blocks are valid DEFLATE, and no library is needed. RFC 1951 §3.2.4, RFC 1952.
func storedGzip(_ bytes: [UInt8]) -> ByteBuffer {
    var out = ByteBuffer()
    out.writeBytes([0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 255])
    var start = 0
    repeat {
        let end = min(start + 65535, bytes.count)
        out.writeInteger(UInt8(end == bytes.count ? 1 : 0))
        out.writeInteger(UInt16(end - start), endianness: .little)
        out.writeInteger(~UInt16(end - start), endianness: .little)
        out.writeBytes(bytes[start..<end])
        start = end
    } while start < bytes.count
    out.writeInteger(crc32(bytes), endianness: .little)
    out.writeInteger(UInt32(truncatingIfNeeded: bytes.count), endianness: .little)
    return out
}

private func crc32(_ bytes: [UInt8]) -> UInt32 {
    var sum: UInt32 = 0xFFFF_FFFF
    for byte in bytes {
        sum ^= UInt32(byte)
        for _ in 0..<8 { sum = sum & 1 == 1 ? sum >> 1 ^ 0xEDB8_8320 : sum >> 1 }
    }
    return ~sum
}
