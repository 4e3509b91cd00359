import Testing
import Vocabulary

@Suite struct CIDRTests {
    @Test(arguments: [
        ("0.0.0.0", "0.0.0.0"), ("255.255.255.255", "255.255.255.255"), ("10.1.2.3", "10.1.2.3"), ("::", "::"), ("::1", "::1"), ("1::", "1::"),
        ("fe80::1", "fe80::1"), ("FD00:EC2::254", "fd00:ec2::254"), ("1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"),
        ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"),
        ("2001:0:0:1:0:0:0:1", "2001:0:0:1::1"), ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"), ("::ffff:127.0.0.1", "127.0.0.1"),
        ("::ffff:7f00:1", "127.0.0.1"), ("64:ff9b::169.254.169.254", "64:ff9b::a9fe:a9fe"), ("1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"),
    ])
    func `an address is read, and written in its one short form`(text: String, shown: String) {
        #expect(IPAddress(text)?.description == shown)
        #expect(IPAddress(shown) == IPAddress(text))
    }

    @Test(arguments: [
        "", "1.2.3", "1.2.3.4.5", "1.2.3.256", "01.2.3.4", "1.2.3.04", "1.2.3.-4", "1.2.3.+4", "1.2.3.4 ", "0x7f000001", "2130706433", "127.1",
        "a.b.c.d",
        ":", ":::", "1::2::3", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8::", "12345::", "g::", "fe80::1%eth0", "[::1]", "::1.2.3",
        "1.2.3.4::", "1:2:3:4:5:1.2.3.4::", "1:1.2.3.4::1",
        "+1::", "-0::", "::-1", ":1:2:3:4:5:6:7:8",
    ])
    func `what is no plain address is none`(text: String) {
        #expect(IPAddress(text) == nil)
    }

    @Test func `bytes in network order make an address`() {
        #expect(IPAddress(networkBytes: [127, 0, 0, 1])?.description == "127.0.0.1")
        #expect(IPAddress(networkBytes: [0xfe, 0x80] + [UInt8](repeating: 0, count: 13) + [1])?.description == "fe80::1")
        #expect(IPAddress(networkBytes: [UInt8](repeating: 0, count: 10) + [0xff, 0xff, 10, 0, 0, 1])?.description == "10.0.0.1")
        #expect(IPAddress(networkBytes: [1, 2, 3]) == nil)
    }

    @Test func `a translated address tells where it leads`() {
        #expect(IPAddress("64:ff9b::a9fe:a9fe")?.translatedIPv4?.description == "169.254.169.254")
        #expect(IPAddress("64:ff9c::a9fe:a9fe")?.translatedIPv4 == nil)
        #expect(IPAddress("10.0.0.1")?.translatedIPv4 == nil)
    }

    @Test(arguments: [
        ("10.0.0.0/8", ["10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3"], ["9.255.255.255", "11.0.0.0", "::10.0.0.1"]),
        ("10.1.2.3/8", ["10.9.9.9"], ["11.1.2.3"]),
        ("192.168.1.1", ["192.168.1.1"], ["192.168.1.0", "192.168.1.2"]),
        ("0.0.0.0/0", ["0.0.0.0", "255.255.255.255"], ["::", "::1"]),
        ("::/0", ["::", "ffff::"], ["10.0.0.1", "::ffff:10.0.0.1"]),
        ("fe80::/10", ["fe80::1", "febf:ffff::"], ["fec0::", "fe7f::"]),
        ("fd00:ec2::254", ["fd00:ec2::254"], ["fd00:ec2::253"]),
        ("128.0.0.0/1", ["128.0.0.0", "255.0.0.0"], ["127.255.255.255"]),
        ("::ffff:10.0.0.0/104", ["10.1.2.3"], ["11.1.2.3"]),
        ("2001:db8::/127", ["2001:db8::", "2001:db8::1"], ["2001:db8::2"]),
    ])
    func `a range holds its own addresses and no other`(range: String, inside: [String], outside: [String]) throws {
        let range = try #require(CIDR(range))
        for text in inside { #expect(range.contains(try #require(IPAddress(text))), "\(text) is in \(range)") }
        for text in outside { #expect(!range.contains(try #require(IPAddress(text))), "\(text) is not in \(range)") }
    }

    @Test(arguments: [
        "", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/8/8", "::/129", "10.0.0/8", "::ffff:10.0.0.0/64", "x/8",
        "10.0.0.0/0008",
    ])
    func `what is no range is none`(text: String) {
        #expect(CIDR(text) == nil)
    }

    @Test(arguments: [("10.1.2.3/8", "10.0.0.0/8"), ("FE80::1/10", "fe80::/10"), ("127.0.0.1", "127.0.0.1/32"), ("::1", "::1/128")])
    func `a range is written without what means nothing`(text: String, shown: String) {
        #expect(CIDR(text)?.description == shown)
    }
}
