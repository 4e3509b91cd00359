/// The form of an API key: `mk_`, 32 random characters, and 6 of checksum, all base 62 (PRODUCT H1).
///
/// The checksum is CRC-32 (the one of zlib) of everything before it, as GitHub's tokens have it: a mistyped key can be told from a wrong one
/// without a look-up, and scanners for leaked secrets know a real one when they see it.
package enum KeyFormat {
    package static let prefix = "mk_"
    package static let randomCount = 32
    package static let checksumCount = 6
    package static let length = 3 + randomCount + checksumCount

    private static let alphabet = Array("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz".utf8)

    /// A new key from the system's random generator.
    package static func make() -> String {
        var generator = SystemRandomNumberGenerator()
        return make(using: &generator)
    }

    package static func make(using generator: inout some RandomNumberGenerator) -> String {
        var bytes = Array(prefix.utf8)
        for _ in 0..<randomCount { bytes.append(alphabet[Int.random(in: 0..<62, using: &generator)]) }
        bytes += checksum(of: bytes)
        return String(decoding: bytes, as: UTF8.self)
    }

    /// `key_` and eleven random characters: the public name of a key, short enough for a string that needs no memory of its own.
    package static func makeID() -> String {
        var bytes = Array("key_".utf8)
        for _ in 0..<11 { bytes.append(alphabet[Int.random(in: 0..<62)]) }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Whether a text has the form of a key and its checksum is right.
    package static func isWellFormed(_ key: UnsafeBufferPointer<UInt8>) -> Bool {
        guard key.count == length, key[0] == UInt8(ascii: "m"), key[1] == UInt8(ascii: "k"), key[2] == UInt8(ascii: "_") else { return false }
        let body = UnsafeBufferPointer(rebasing: key[..<(length - checksumCount)])
        return checksum(of: body).elementsEqual(key[(length - checksumCount)...])
    }

    private static func checksum(of bytes: some Collection<UInt8>) -> [UInt8] {
        var rest = crc32(bytes)
        var text = [UInt8](repeating: alphabet[0], count: checksumCount)
        for place in stride(from: checksumCount - 1, through: 0, by: -1) {
            text[place] = alphabet[Int(rest % 62)]
            rest /= 62
        }
        return text
    }

    private static func crc32(_ bytes: some Collection<UInt8>) -> UInt32 {
        var crc: UInt32 = 0xffff_ffff
        for byte in bytes {
            crc ^= UInt32(byte)
            for _ in 0..<8 { crc = crc & 1 == 1 ? crc >> 1 ^ 0xedb8_8320 : crc >> 1 }
        }
        return ~crc
    }
}
