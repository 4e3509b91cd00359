import Edge
import Testing
import Vocabulary

@Suite struct ProxyRulesTests {
    private let trusted = ["10.0.0.0/8", "192.0.2.1", "2001:db8:1::/48"].compactMap { CIDR($0) }

    private func client(_ said: String, _ header: ProxyRules.Header = .xForwardedFor) -> String? {
        ProxyRules(trusted: trusted, header: header).client(said)?.description
    }

    @Test(arguments: [
        ("203.0.113.7", "203.0.113.7"),
        ("203.0.113.7, 10.1.2.3", "203.0.113.7"),
        // What a client sends itself stands before what the proxies say, and is not believed.
        ("1.1.1.1, 203.0.113.7, 10.1.2.3, 10.0.0.9", "203.0.113.7"),
        ("10.0.0.1,10.0.0.2", "10.0.0.1"),
        (" \t203.0.113.7\t", "203.0.113.7"),
        ("203.0.113.7:4711", "203.0.113.7"),
        ("2001:db8::7", "2001:db8::7"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("[2001:DB8::7]:4711, 2001:db8:1::5", "2001:db8::7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
    ])
    func `the client is the last that is no trusted proxy`(said: String, expected: String) {
        #expect(client(said) == expected)
    }

    @Test(arguments: [
        "", ",", "unknown", "localhost", "203.0.113", "203.0.113.7.1", "203.0.113.7:port", "[203.0.113.7]", "[::1", "fe80::1%eth0", "1.1.1.1,",
        "\u{0}",
    ])
    func `what is no address names nobody`(said: String) {
        #expect(client(said) == nil)
    }

    @Test func `garbage ends the search at the proxy that said it`() {
        #expect(client("1.1.1.1, garbage, 10.0.0.5") == "10.0.0.5")
        #expect(client("203.0.113.7,, 10.0.0.5") == "10.0.0.5")
    }

    @Test func `a chain of thousands costs no more than a short one`() {
        #expect(client(String(repeating: "10.0.0.1,", count: 20_000) + "10.0.0.2") == "10.0.0.1")
    }

    @Test(arguments: [
        ("for=203.0.113.7", "203.0.113.7"),
        ("for=\"203.0.113.7:80\";proto=https;by=10.0.0.1", "203.0.113.7"),
        ("For=\"[2001:db8::7]:4711\"", "2001:db8::7"),
        ("for=1.1.1.1, for=203.0.113.7;host=\"a,b;for=9.9.9.9\", proto=http;for=10.0.0.1", "203.0.113.7"),
        ("by=10.0.0.1; for=203.0.113.7", "203.0.113.7"),
    ])
    func `the standard header is understood`(said: String, expected: String) {
        #expect(client(said, .forwarded) == expected)
    }

    @Test(arguments: ["for=unknown", "for=_hidden", "proto=https", "for", "for=", "for=\"", "203.0.113.7", "for=2001:db8::7:x"])
    func `a standard header that tells no address names nobody`(said: String) {
        #expect(client(said, .forwarded) == nil)
    }

    @Test func `proxies are trusted by range and family`() throws {
        let rules = ProxyRules(trusted: trusted)
        func trusts(_ text: String) throws -> Bool { rules.trusts(try #require(IPAddress(text))) }
        #expect(try trusts("10.255.0.1") && trusts("192.0.2.1") && trusts("2001:db8:1:ffff::1") && trusts("::ffff:10.0.0.1"))
        #expect(try !trusts("11.0.0.1") && !trusts("192.0.2.2") && !trusts("2001:db8:2::1") && !trusts("::10.0.0.1"))
    }
}
