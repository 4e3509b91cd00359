package import NIOCore

extension ByteBuffer {
    /// Writes a number in decimal digits.
    mutating func writeDecimal(_ number: Int) {
        // Small numbers are string literals of at most fifteen bytes: no allocation.
        writeString(String(number))
    }

    /// Writes a text as a JSON string with its quotes.
    mutating func writeJSON(_ text: String) {
        writeInteger(UInt8(ascii: "\""))
        writeJSONContent(text)
        writeInteger(UInt8(ascii: "\""))
    }

    /// Writes a text as it stands between the quotes of a JSON string.
    mutating func writeJSONContent(_ text: String) {
        guard text.utf8.contains(where: { $0 < 0x20 || $0 == UInt8(ascii: "\"") || $0 == UInt8(ascii: "\\") }) else {
            writeString(text)
            return
        }
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""): writeStaticString("\\\"")
            case UInt8(ascii: "\\"): writeStaticString("\\\\")
            case 0x0A: writeStaticString("\\n")
            case 0x0D: writeStaticString("\\r")
            case 0x09: writeStaticString("\\t")
            case 0..<0x20:
                writeStaticString("\\u00")
                writeInteger(Self.hexDigits[Int(byte >> 4)])
                writeInteger(Self.hexDigits[Int(byte & 15)])
            default: writeInteger(byte)
            }
        }
    }

    /// Writes a text as a JSON string, or `null`.
    mutating func writeJSON(_ text: String?) {
        if let text { writeJSON(text) } else { writeStaticString("null") }
    }

    /// Writes a value in compact form, members in their order.
    package mutating func writeJSON(_ value: JSONValue) {
        switch value {
        case .null: writeStaticString("null")
        case .bool(let value): writeString(value ? "true" : "false")
        case .number(let text): writeString(text)
        case .string(let text): writeJSON(text)
        case .array(let elements):
            writeStaticString("[")
            for (index, element) in elements.enumerated() {
                if index > 0 { writeStaticString(",") }
                writeJSON(element)
            }
            writeStaticString("]")
        case .object(let members):
            writeStaticString("{")
            for (index, member) in members.enumerated() {
                if index > 0 { writeStaticString(",") }
                writeJSON(member.name)
                writeStaticString(":")
                writeJSON(member.value)
            }
            writeStaticString("}")
        }
    }

    /// Writes the sixteen hexadecimal digits of a number.
    mutating func writeHex16(_ number: UInt64) {
        writeWithUnsafeMutableBytes(minimumWritableBytes: 16) { target in
            for position in 0..<16 { target[position] = Self.hexDigits[Int(truncatingIfNeeded: number >> UInt64(60 - 4 * position)) & 15] }
            return 16
        }
    }

    private static let hexDigits: [UInt8] = Array("0123456789abcdef".utf8)
}

extension JSONValue {
    /// The value as compact JSON text.
    package var text: String {
        var buffer = ByteBuffer()
        buffer.writeJSON(self)
        return String(buffer: buffer)
    }
}
