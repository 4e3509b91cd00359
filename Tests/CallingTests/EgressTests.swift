import Calling
import Contracts
import Testing
import Vocabulary

@Suite struct EgressTests {
    // MARK: Addresses

    /// Ways to write this machine's address that a resolver understands, a name among them.
    @Test(arguments: ["127.0.0.1", "localhost", "2130706433", "0x7f000001", "0177.0.0.1", "127.1"])
    func `a denied address is refused where the connection is made, however it is written`(host: String) async throws {
        let denied = try ["127.0.0.0/8", "::1"].map { try #require(CIDR($0)) }
        let bench = try await Bench(host: host, egress: { _ in Egress(addresses: AddressRules(denied: denied)) }) { _, _ in [.send(plainAnswer)] }
        let heard = try await bench.call()
        #expect(heard.fault == .unreachable && heard.starts == 0)
        #expect(bench.troubles.all.count == 1 && bench.troubles.all[0].contains("denied"), "\(bench.troubles.all)")
        #expect(try await bench.server.connectionCount() == 0)
        try await bench.shutdown()
    }

    @Test func `the addresses that a name may have are used`() async throws {
        let denied = try [#require(CIDR("10.0.0.0/8"))]
        let bench = try await Bench(host: "localhost", egress: { _ in Egress(addresses: AddressRules(denied: denied)) }) { _, _ in
            [.send(plainAnswer)]
        }
        #expect(try await bench.call().ends == 1)
        try await bench.shutdown()
    }

    @Test(arguments: ["169.254.169.254", "fe80::1", "fd00:ec2::254", "100.100.100.200", "2852039166", "::ffff:169.254.169.254"])
    func `a metadata service is not even knocked at, directly or through a proxy`(host: String) async throws {
        for isProxied in [false, true] {
            let bench = try await Bench(host: host, port: 80, isTLS: isProxied, egress: { port in proxied(isProxied ? port : nil) }) { _, _ in [] }
            #expect(try await bench.call().fault == .unreachable)
            #expect(bench.troubles.all.count == 1 && bench.troubles.all[0].contains("link-local"), "\(bench.troubles.all)")
            #expect(try await bench.server.connectionCount() == 0)
            try await bench.shutdown()
        }
    }

    @Test func `a name that nobody has is unreachable, and told as such`() async throws {
        let bench = try await Bench(host: "no-such-host.invalid") { _, _ in [] }
        #expect(try await bench.call().fault == .unreachable)
        #expect(bench.troubles.all == ["p: the name cannot be resolved"])
        // The same trouble is told once in a while, not once a call.
        #expect(try await bench.call().fault == .unreachable)
        #expect(bench.troubles.all.count == 1)
        try await bench.shutdown()
    }

    // MARK: Tunnels

    private func proxied(_ port: Int?, authorization: String? = nil) -> Egress {
        Egress(proxy: port.map { OutboundProxy(isTLS: false, host: "127.0.0.1", port: $0, authorization: authorization) })
    }

    @Test func `a proxy is asked for the provider, with its credentials`() async throws {
        let bench = try await Bench(host: "api.example", port: 443, isTLS: true, egress: { proxied($0, authorization: "Basic dTpw") }) { _, _ in
            [.send("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno")]
        }
        #expect(try await bench.call().fault == .unreachable)
        let asked: ScriptedServer.Event? = try await bench.server.events().dropFirst().first
        let wanted = """
            CONNECT api.example:443 HTTP/1.1\r
            host: api.example:443\r
            proxy-authorization: Basic dTpw\r
            user-agent: martlet/\(MartletVersion.current)\r
            \r

            """
        #expect(asked == .request(0, wanted))
        #expect(bench.troubles.all == ["p: the proxy refused (403)"])
        try await bench.shutdown()
    }

    /// Answers of a proxy that open no tunnel, and what is told of them.
    @Test(arguments: [
        ("HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic\r\ncontent-length: 0\r\n\r\n", "credentials (407)"),
        ("HTTP/1.0 502 Bad Gateway\r\n\r\n", "refused (502)"),
        ("HTTP/1.1 301 Moved\r\nlocation: http://elsewhere/\r\n\r\n", "refused (301)"),
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 504 Gateway Timeout\r\n\r\n", "refused (504)"),
        ("SSH-2.0-OpenSSH_9.6\r\n\r\n", "not sound HTTP"),
        ("HTTP/1.1 200 OK\r\nx: a\u{0}b\r\n\r\n", "not sound HTTP"),
        ("HTTP/1.1 200 OK\r\n\r\nearly", "not sound HTTP"),
        ("HTTP/1.1 200 OK\r\nx: " + String(repeating: "a", count: 40_000), "not sound HTTP"),
        (String(repeating: "HTTP/1.1 100 Continue\r\n\r\n", count: 2_000), "time to connect"),
    ])
    func `a proxy that opens no tunnel makes the provider unreachable`(answer: String, reason: String) async throws {
        let bench = try await Bench(host: "api.example", port: 443, isTLS: true, connectMilliseconds: 1_000, egress: { proxied($0) }) { _, _ in
            [.send(answer)]
        }
        let heard = try await bench.call()
        #expect(heard.fault == .unreachable && heard.starts == 0)
        #expect(bench.troubles.all.count == 1 && bench.troubles.all[0].contains(reason), "\(bench.troubles.all)")
        try await bench.server.wait(for: .closed(0))
        try await bench.shutdown()
    }

    @Test func `a proxy that says nothing costs the time to connect and no more`() async throws {
        let bench = try await Bench(concurrencyMax: 1, host: "api.example", port: 443, isTLS: true, connectMilliseconds: 200, egress: { proxied($0) })
        {
            _, _ in []
        }
        for _ in 0..<2 { #expect(try await bench.call().fault == .unreachable) }
        #expect(bench.troubles.all == ["p: the time to connect is over"])
        try await bench.server.wait(for: .closed(1))
        try await bench.shutdown()
    }

    @Test func `a tunnel whose far end closes is told as such`() async throws {
        let bench = try await Bench(host: "api.example", port: 443, isTLS: true, egress: { proxied($0) }) { _, _ in
            [.send("HTTP/1.0 200 Connection established\r\n\r\n"), .close]
        }
        #expect(try await bench.call().fault == .unreachable)
        #expect(bench.troubles.all.count == 1, "\(bench.troubles.all)")
        try await bench.shutdown()
    }

    @Test func `nobody at the proxy's address is unreachable`() async throws {
        let gone = try await Bench { _, _ in [] }
        try await gone.shutdown()
        let bench = try await Bench(host: "api.example", port: 443, isTLS: true, egress: { _ in proxied(gone.server.port) }) { _, _ in [] }
        #expect(try await bench.call().fault == .unreachable)
        #expect(bench.troubles.all == ["p: Connection refused"])
        try await bench.shutdown()
    }

    // MARK: Plain requests through a proxy

    @Test(arguments: [
        ("HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 2\r\n\r\nno", "credentials (407)"),
        ("HTTP/1.1 403 Forbidden\r\nX-Squid-Error: ERR_ACCESS_DENIED 0\r\ncontent-length: 2\r\n\r\nno", "refused (403)"),
        ("HTTP/1.1 503 Service Unavailable\r\nx-squid-error: ERR_CONNECT_FAIL 111\r\ncontent-length: 2\r\n\r\nno", "refused (503)"),
    ])
    func `an answer that is the proxy's own makes the provider unreachable`(answer: String, reason: String) async throws {
        let bench = try await Bench(host: "api.example", port: 80, egress: { proxied($0) }) { _, _ in [.send(answer)] }
        let heard = try await bench.call()
        #expect(heard.fault == .unreachable && heard.status == nil && heard.body.isEmpty)
        #expect(bench.troubles.all.count == 1 && bench.troubles.all[0].contains(reason), "\(bench.troubles.all)")
        try await bench.shutdown()
        // Without a proxy between, it is the provider's answer like any other.
        let direct = try await Bench { _, _ in [.send(answer)] }
        #expect(try await direct.call().ends == 1)
        try await direct.shutdown()
    }

    @Test func `a plain connection through a proxy is used again`() async throws {
        let bench = try await Bench(host: "api.example", port: 80, egress: { proxied($0) }) { _, _ in [.send(plainAnswer)] }
        for _ in 0..<3 { #expect(try await bench.call().ends == 1) }
        #expect(try await bench.server.connectionCount() == 1)
        try await bench.shutdown()
    }
}
