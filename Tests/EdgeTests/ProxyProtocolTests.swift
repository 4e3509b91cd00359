import Edge
import NIOCore
import Testing
import Vocabulary

@Suite struct ProxyProtocolTests {
    private func read(_ bytes: [UInt8]) -> ProxyProtocol.Reading { ProxyProtocol.read(ByteBuffer(bytes: bytes).readableBytesView) }
    private func read(_ text: String) -> ProxyProtocol.Reading { read(Array(text.utf8)) }

    /// A header of version 2.
    private func binary(command: UInt8 = 0x21, family: UInt8 = 0x11, length: Int? = nil, _ block: [UInt8]) -> [UInt8] {
        let length = length ?? block.count
        return [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a, command, family, UInt8(length >> 8), UInt8(length & 255)]
            + block
    }

    @Test func `a line tells the client`() {
        let line = "PROXY TCP4 203.0.113.7 10.0.0.1 51000 443\r\n"
        #expect(read(line + "GET / HTTP/1.1\r\n") == .header(length: line.utf8.count, client: IPAddress("203.0.113.7")))
        #expect(read("PROXY TCP6 2001:db8::7 ::1 51000 443\r\n") == .header(length: 38, client: IPAddress("2001:db8::7")))
        #expect(read("PROXY UNKNOWN\r\n") == .header(length: 15, client: nil))
        #expect(read("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n") == .header(length: 35, client: nil))
    }

    @Test func `a header may come byte by byte`() {
        let line = Array("PROXY TCP4 203.0.113.7 10.0.0.1 51000 443\r\n".utf8)
        for count in 0..<line.count { #expect(read(Array(line[..<count])) == .incomplete) }
        let header = binary([203, 0, 113, 7, 10, 0, 0, 1, 0xc7, 0x38, 1, 0xbb])
        for count in 0..<header.count { #expect(read(Array(header[..<count])) == .incomplete) }
    }

    @Test(arguments: [
        "GET / HTTP/1.1\r\n", "PROXY \r\n", "PROXY TCP4\r\n", "PROXY TCP4 203.0.113.7 10.0.0.1 51000\r\n",
        "PROXY TCP4 203.0.113.7 10.0.0.1 51000 443\n",
        "PROXY TCP4 203.0.113.7 10.0.0.1 70000 443\r\n", "PROXY TCP4 203.0.113.07 10.0.0.1 1 443\r\n", "PROXY TCP4 2001:db8::7 ::1 1 443\r\n",
        "PROXY TCP9 203.0.113.7 10.0.0.1 1 443\r\n", "PROXY  TCP4 203.0.113.7 10.0.0.1 1 443\r\n", "proxy TCP4 203.0.113.7 10.0.0.1 1 443\r\n",
    ])
    func `a bad line is refused`(line: String) {
        #expect(read(line) == .invalid)
    }

    @Test func `a line without an end is refused`() {
        #expect(read("PROXY TCP4 " + String(repeating: "1", count: 200)) == .invalid)
    }

    @Test func `a binary header tells the client, and extensions are passed over`() {
        let four: [UInt8] = [203, 0, 113, 7, 10, 0, 0, 1, 0xc7, 0x38, 1, 0xbb]
        #expect(read(binary(four) + [1, 2, 3]) == .header(length: 28, client: IPAddress("203.0.113.7")))
        #expect(read(binary(four + [0x04, 0, 2, 9, 9])) == .header(length: 33, client: IPAddress("203.0.113.7")))
        let six = [0x20, 0x01, 0x0d, 0xb8] + [UInt8](repeating: 0, count: 11) + [7] + [UInt8](repeating: 0, count: 20)
        #expect(read(binary(family: 0x21, six)) == .header(length: 52, client: IPAddress("2001:db8::7")))
        #expect(read(binary(command: 0x20, family: 0, [])) == .header(length: 16, client: nil))
        #expect(read(binary(family: 0x31, [UInt8](repeating: 65, count: 216))) == .header(length: 232, client: nil))
    }

    @Test func `a bad binary header is refused`() {
        #expect(read(binary(command: 0x11, [])) == .invalid)
        #expect(read(binary(command: 0x22, [])) == .invalid)
        #expect(read(binary([203, 0, 113, 7])) == .invalid)
        #expect(read(binary(family: 0x21, [UInt8](repeating: 0, count: 12))) == .invalid)
        #expect(read(binary(length: 60_000, [])) == .invalid)
        #expect(read([0x0d, 0x0a, 0x0d, 0x0a, 0x01]) == .invalid)
    }
}
