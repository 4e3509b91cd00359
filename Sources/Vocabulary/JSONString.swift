/// Appends text as a JSON string, quotes included.
///
/// Every control character is escaped (below U+0020, U+007F to U+009F), and so are U+2028 and U+2029, which some readers take for line ends: no
/// text can leave its string or its line, or command a terminal. A Swift string is valid Unicode, so the result is, too.
package func appendJSONString(_ text: String, to output: inout [UInt8]) {
    let hexadecimal = Array("0123456789abcdef".utf8)
    func escape(_ scalar: UInt16, to output: inout [UInt8]) {
        output.append(UInt8(ascii: "\\"))
        output.append(UInt8(ascii: "u"))
        for shift in [12, 8, 4, 0] as [UInt16] {
            output.append(hexadecimal[Int(scalar >> shift & 0xf)])
        }
    }
    output.append(UInt8(ascii: "\""))
    var text = text
    text.withUTF8 { bytes in
        var index = 0
        while index < bytes.count {
            let byte = bytes[index]
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"):
                output.append(UInt8(ascii: "\\"))
                output.append(byte)
            case 0x0a:
                output.append(contentsOf: [UInt8(ascii: "\\"), UInt8(ascii: "n")])
            case 0x0d:
                output.append(contentsOf: [UInt8(ascii: "\\"), UInt8(ascii: "r")])
            case 0x09:
                output.append(contentsOf: [UInt8(ascii: "\\"), UInt8(ascii: "t")])
            case 0..<0x20, 0x7f:
                escape(UInt16(byte), to: &output)
            case 0xc2 where index + 1 < bytes.count && bytes[index + 1] < 0xa0:
                // U+0080 to U+009F are C2 80 to C2 9F.
                escape(UInt16(bytes[index + 1]), to: &output)
                index += 1
            case 0xe2 where index + 2 < bytes.count && bytes[index + 1] == 0x80 && bytes[index + 2] & 0xfe == 0xa8:
                // U+2028 and U+2029 are E2 80 A8 and E2 80 A9.
                escape(0x2000 | UInt16(bytes[index + 2] & 0x3f), to: &output)
                index += 2
            default:
                output.append(byte)
            }
            index += 1
        }
    }
    output.append(UInt8(ascii: "\""))
}
