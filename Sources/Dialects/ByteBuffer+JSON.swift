package import NIOCore

extension ByteBuffer {
    /// Writes a JSON string, quotes included. Control characters are escaped, so no text can end its string or its line.
    package mutating func writeJSONString(_ text: String) {
        writeInteger(UInt8(ascii: "\""))
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""): writeStaticString("\\\"")
            case UInt8(ascii: "\\"): writeStaticString("\\\\")
            case UInt8(ascii: "\n"): writeStaticString("\\n")
            case UInt8(ascii: "\r"): writeStaticString("\\r")
            case UInt8(ascii: "\t"): writeStaticString("\\t")
            case 0..<0x20, 0x7f:
                writeStaticString("\\u00")
                writeInteger(hexDigit(byte >> 4))
                writeInteger(hexDigit(byte & 15))
            default: writeInteger(byte)
            }
        }
        writeInteger(UInt8(ascii: "\""))
    }

    /// Writes a number in decimal, without making a string of it.
    package mutating func writeDecimal(_ number: Int64) {
        if number >= 0, number < 10 {
            writeInteger(UInt8(truncatingIfNeeded: number) + 0x30)
            return
        }
        var magnitude = number.magnitude
        // Twenty bytes hold every 64-bit number with its sign.
        var digits: (UInt64, UInt64, UInt64) = (0, 0, 0)
        withUnsafeMutableBytes(of: &digits) { scratch in
            var at = 24
            repeat {
                at -= 1
                scratch[at] = UInt8(truncatingIfNeeded: magnitude % 10) + 0x30
                magnitude /= 10
            } while magnitude > 0
            if number < 0 {
                at -= 1
                scratch[at] = UInt8(ascii: "-")
            }
            writeBytes(UnsafeRawBufferPointer(rebasing: scratch[at...]))
        }
    }

    /// Writes a number in hexadecimal, as chunk sizes are.
    package mutating func writeHexadecimal(_ number: Int) {
        var shift = number < 0x100 ? 4 : (number < 0x10000 ? 12 : 60)
        var isLeading = true
        while shift >= 0 {
            let digit = UInt8(truncatingIfNeeded: number >> shift) & 15
            if digit != 0 || !isLeading || shift == 0 {
                isLeading = false
                writeInteger(hexDigit(digit))
            }
            shift -= 4
        }
    }

    /// Writes microseconds as milliseconds with three decimals: `12.345`.
    package mutating func writeMilliseconds(fromMicroseconds microseconds: Int64) {
        let value = max(0, microseconds)
        writeDecimal(value / 1000)
        writeInteger(UInt8(ascii: "."))
        let fraction = value % 1000
        writeInteger(UInt8(truncatingIfNeeded: fraction / 100) + 0x30)
        writeInteger(UInt8(truncatingIfNeeded: fraction / 10 % 10) + 0x30)
        writeInteger(UInt8(truncatingIfNeeded: fraction % 10) + 0x30)
    }

    /// Writes an amount of dollars as an exact decimal: nine decimals, less the zeros at the end.
    package mutating func writeDollars(fromNanodollars nanodollars: Int64) {
        var magnitude = nanodollars.magnitude
        if nanodollars < 0 { writeInteger(UInt8(ascii: "-")) }
        writeDecimal(Int64(magnitude / 1_000_000_000))
        magnitude %= 1_000_000_000
        guard magnitude > 0 else { return }
        writeInteger(UInt8(ascii: "."))
        var place: UInt64 = 100_000_000
        while magnitude > 0 {
            writeInteger(UInt8(truncatingIfNeeded: magnitude / place) + 0x30)
            magnitude %= place
            place /= 10
        }
    }
}

func hexDigit(_ value: UInt8) -> UInt8 {
    value < 10 ? value + 0x30 : value - 10 + UInt8(ascii: "a")
}

/// A text as a JSON string, quotes included.
package func jsonString(_ text: String) -> [UInt8] {
    var buffer = ByteBuffer()
    buffer.writeJSONString(text)
    return Array(buffer.readableBytesView)
}
