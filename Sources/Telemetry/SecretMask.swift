/// Recognises credentials by the name of their field or by their own shape, and takes them out of text.
enum SecretMask {
    /// What stands in the place of a secret.
    static let replacement = "***"

    private static let names: Set<String> = [
        "authorization", "api_key", "apikey", "key", "token", "secret", "password", "passwd", "passphrase", "credential", "credentials", "cookie",
    ]

    /// Whether a field of that name holds a secret: `authorization`, `provider.api_key`, `X-Api-Key`, `clientSecret`; not `key.id`, `tokens`.
    static func isSecretName(_ path: String) -> Bool {
        let name = path.split(separator: ".", omittingEmptySubsequences: true).last.map(String.init) ?? path
        var words: [String] = [""]
        for character in name {
            if character == "_" || character == "-" || character == " " {
                words.append("")
            } else {
                if character.isUppercase, words.last?.last?.isLowercase == true { words.append("") }
                words[words.count - 1].append(character)
            }
        }
        let lowered = words.map { $0.lowercased() }.filter { !$0.isEmpty }
        guard let last = lowered.last else { return false }
        return names.contains(last) || (lowered.count > 1 && names.contains(lowered.suffix(2).joined(separator: "_")))
    }

    /// The text without anything that looks like `mk_…`, `sk-…`, `Bearer …` or `Basic …`, or like the user part of a URL.
    static func masked(_ text: String) -> String {
        var text = text
        let result: [UInt8]? = text.withUTF8 { bytes in
            // Most texts hold none of the letters that every shape has, and are not copied.
            guard mayHoldSecret(bytes) else { return nil }
            return scanned(bytes)
        }
        return result.map { String(decoding: $0, as: UTF8.self) } ?? text
    }

    private static func mayHoldSecret(_ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
        guard bytes.count >= 6 else { return false }
        return bytes.indices.dropLast(2).contains { index in
            let next = bytes[index + 1] | 0x20
            switch bytes[index] | 0x20 {
            case UInt8(ascii: "m"), UInt8(ascii: "s"): return next == UInt8(ascii: "k")
            case UInt8(ascii: "b"): return next == UInt8(ascii: "e") || next == UInt8(ascii: "a")
            case UInt8(ascii: "/"): return bytes[index + 1] == UInt8(ascii: "/")
            default: return false
            }
        }
    }

    private static func scanned(_ bytes: UnsafeBufferPointer<UInt8>) -> [UInt8]? {
        var output: [UInt8] = []
        var copied = 0
        var index = 0
        while index < bytes.count {
            guard let range = secret(in: bytes, at: index) else {
                index += 1
                continue
            }
            output.append(contentsOf: bytes[copied..<range.lowerBound])
            output.append(contentsOf: replacement.utf8)
            copied = range.upperBound
            index = max(range.upperBound, index + 1)
        }
        guard copied > 0 else { return nil }
        output.append(contentsOf: bytes[copied...])
        return output
    }

    /// The secret part of a credential that begins at `start`.
    private static func secret(in bytes: UnsafeBufferPointer<UInt8>, at start: Int) -> Range<Int>? {
        if has("://", in: bytes, at: start) { return userPart(in: bytes, from: start + 3) }
        guard start == 0 || !isWordByte(bytes[start - 1]) else { return nil }
        for prefix in ["mk_", "sk-"] as [StaticString] where has(prefix, in: bytes, at: start) {
            let from = start + 3
            let end = bytes[from...].firstIndex { !isWordByte($0) } ?? bytes.count
            // Shorter ones are words, not keys.
            return end - from >= 8 ? from..<end : nil
        }
        for scheme in ["bearer ", "basic "] as [StaticString] where has(scheme, in: bytes, at: start) {
            let begin = start + scheme.utf8CodeUnitCount
            let from = bytes[begin...].firstIndex { $0 != 0x20 } ?? bytes.count
            let end = bytes[from...].firstIndex { $0 <= 0x20 || $0 == UInt8(ascii: "\"") || $0 == UInt8(ascii: ",") } ?? bytes.count
            return end > from ? from..<end : nil
        }
        return nil
    }

    /// `user:password` in front of the `@` of a URL.
    private static func userPart(in bytes: UnsafeBufferPointer<UInt8>, from start: Int) -> Range<Int>? {
        let end = bytes[start...].firstIndex { $0 <= 0x20 || "/?#\"@".utf8.contains($0) } ?? bytes.count
        return end < bytes.count && bytes[end] == UInt8(ascii: "@") && end > start ? start..<end : nil
    }

    /// Whether `word`, in lower case, stands at `start`, in any case.
    private static func has(_ word: StaticString, in bytes: UnsafeBufferPointer<UInt8>, at start: Int) -> Bool {
        guard start + word.utf8CodeUnitCount <= bytes.count else { return false }
        return word.withUTF8Buffer { word in
            word.indices.allSatisfy { offset in
                let byte = bytes[start + offset]
                return byte == word[offset] || ((0x41...0x5a).contains(byte) && byte | 0x20 == word[offset])
            }
        }
    }

    private static func isWordByte(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x61...0x7a).contains(byte | 0x20) || byte == UInt8(ascii: "_") || byte == UInt8(ascii: "-")
    }
}
