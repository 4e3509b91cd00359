import Calling
import Contracts
import Testing

@Suite struct AnswerTests {
    /// An answer in the form that a provider may give it.
    struct Form: Sendable, CustomTestStringConvertible {
        var name: String
        var text: String
        var body: String
        var status = 200
        var closes = false
        /// Whether the connection can carry the next call.
        var isReused = true

        var testDescription: String { name }
    }

    static let forms = [
        Form(name: "length", text: "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", body: "hello"),
        Form(name: "no body", text: "HTTP/1.1 200 OK\r\nContent-Length:0\r\n\r\n", body: ""),
        Form(name: "the same length twice", text: "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 5\r\n\r\nhello", body: "hello"),
        Form(name: "no reason", text: "HTTP/1.1 429 \r\nCONTENT-LENGTH: \t 2 \t\r\n\r\nno", body: "no", status: 429),
        Form(name: "204", text: "HTTP/1.1 204 No Content\r\n\r\n", body: "", status: 204),
        Form(name: "204 with a length", text: "HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\n", body: "", status: 204),
        Form(name: "chunks", text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", body: "hello"),
        Form(
            name: "chunks with extensions and trailers",
            text:
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0003;a=b\r\nhel\r\n2 ; x=\"y\"\r\nlo\r\n000;z\r\nexpires: never\r\nx: y\r\n\r\n",
            body: "hello"),
        Form(
            name: "hexadecimal in both cases",
            text: "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nA\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", body: "01234567890123456789"
        ),
        Form(
            name: "interim answers",
            text: "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", body: "ok"
        ),
        Form(name: "until the end", text: "HTTP/1.1 200 OK\r\n\r\nhello", body: "hello", closes: true, isReused: false),
        Form(name: "HTTP/1.0", text: "HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello", body: "hello", isReused: false),
        Form(name: "HTTP/1.0 that stays", text: "HTTP/1.0 200 OK\r\nconnection: Keep-Alive\r\ncontent-length: 5\r\n\r\nhello", body: "hello"),
        Form(
            name: "HTTP/1.0 in chunks that says it stays",
            text: "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", body: "hello",
            isReused: false),
        Form(name: "close", text: "HTTP/1.1 200 OK\r\nConnection: Close\r\ncontent-length: 5\r\n\r\nhello", body: "hello", isReused: false),
        Form(
            name: "a body with the look of a head", text: "HTTP/1.1 200 OK\r\ncontent-length: 19\r\n\r\nHTTP/1.1 500 No\r\n\r\n",
            body: "HTTP/1.1 500 No\r\n\r\n"),
    ]

    @Test(arguments: forms, [false, true]) func `every form of an answer is read, whole or byte by byte`(form: Form, isTrickled: Bool) async throws {
        let bench = try await Bench { _, _ in [isTrickled ? .trickle(form.text) : .send(form.text)] + (form.closes ? [.close] : []) }
        for _ in 0..<2 {
            let heard = try await bench.call()
            #expect(heard.status == form.status && heard.body == form.body && heard.ends == 1 && heard.fault == nil && heard.starts == 1)
        }
        #expect(try await bench.server.connectionCount() == (form.isReused ? 1 : 2))
        try await bench.shutdown()
    }

    @Test func `an answer cut in two at every byte is the same`() async throws {
        let text =
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n5;x\r\nhello\r\n10\r\n0123456789abcdef\r\n0\r\nt: u\r\n\r\n"
        let bench = try await Bench { _, _ in [] }
        for place in 1..<text.utf8.count {
            let recorder = try await bench.start()
            try await bench.server.wait(for: .accepted(0))
            try await waitForRequest(place, bench)
            try await bench.server.send(String(text.prefix(place)), on: 0)
            try await bench.turn(2)
            try await bench.server.send(String(text.dropFirst(place)), on: 0)
            let heard = try await bench.end(of: recorder)
            #expect(heard.body == "hello0123456789abcdef" && heard.ends == 1, "cut at \(place)")
        }
        #expect(try await bench.server.connectionCount() == 1)
        try await bench.shutdown()
    }

    private func waitForRequest(_ number: Int, _ bench: Bench) async throws {
        try await bench.until { try await bench.server.events().count { if case .request = $0 { true } else { false } } >= number }
    }

    @Test(arguments: [
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\r\n", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\nhello",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: identity\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!", "HTTP/1.1 200 OK\r\ncontent-length: 5, 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ncontent-length: +5\r\n\r\nhello", "HTTP/1.1 200 OK\r\ncontent-length:\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ncontent-length: 0x5\r\n\r\nhello", "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nx: a\r\n folded\r\ncontent-length: 5\r\n\r\nhello", "HTTP/1.1 200 OK\r\n folded\r\ncontent-length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ncontent-length : 5\r\n\r\nhello", "HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "HTTP/1.1 200 OK\r\n: empty name\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-type: a\u{1}b\r\ncontent-length: 5\r\n\r\nhello", "HTTP/1.1 200 OK\nx: y\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nx: a\nb: c\r\n\r\n",
        "HTTP/2.0 200 OK\r\ncontent-length: 5\r\n\r\nhello", "HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 2000 OK\r\n\r\n", "HTTP/1.1 099 OK\r\n\r\n",
        "HTTP/1.1  200 OK\r\n\r\n", "http/1.1 200 OK\r\n\r\n", "SSH-2.0-OpenSSH_9.6\r\n\r\n", "\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", "<html>\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\rx: y\r\ncontent-length: 5\r\n\r\nhello", "HTTP/1.1 200 OK\r\nx: a\u{0}b\r\ncontent-length: 5\r\n\r\nhello",
        "HTTP/1.1 200 O\u{0}K\r\ncontent-length: 5\r\n\r\nhello", "HTTP/1.1 200 O\rK\r\ncontent-length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nretry-after: 1\rset-cookie: a=b\r\ncontent-length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-type: text/html\r\ncontent-length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5 hello\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5;a\rb\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx: a\u{0}b\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
        String(repeating: "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n", count: 17) + "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\n" + String(repeating: "x: y\r\n", count: 11_000) + "\r\n",
        "HTTP/1.1 200 OK\r\ncontent-type: " + String(repeating: "a", count: 2_000) + "\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
            + String(repeating: "1;" + String(repeating: "a", count: 4_000) + "\r\nx\r\n", count: 20),
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n"
            + String(repeating: "x: " + String(repeating: "a", count: 4_000) + "\r\n", count: 20),
    ])
    func `what is not sound HTTP is refused, and the connection with it`(text: String) async throws {
        let bench = try await Bench { _, _ in [.send(text)] }
        let heard = try await bench.call()
        #expect(heard.fault == .invalid && heard.ends == 0)
        try await bench.server.wait(for: .closed(0))
        try await bench.until { bench.shared.counts.connectionsOpen == 0 }
        try await bench.shutdown()
    }

    @Test func `a head without end is refused`() async throws {
        let bench = try await Bench { _, _ in [.send("HTTP/1.1 200 OK\r\nx: " + String(repeating: "a", count: 200_000))] }
        #expect(try await bench.call().fault == .invalid)
        try await bench.shutdown()
    }

    @Test func `a line of a chunk without end is refused`() async throws {
        let bench = try await Bench { _, _ in
            [.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5;" + String(repeating: "a", count: 100_000))]
        }
        #expect(try await bench.call().fault == .invalid)
        try await bench.shutdown()
    }

    @Test(arguments: [
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\nhello",
        "HTTP/1.1 204 No Content\r\n\r\nhello", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nmore",
    ])
    func `a connection that says more than it was asked is not used again`(text: String) async throws {
        let bench = try await Bench { _, _ in [.send(text)] }
        #expect(try await bench.call().ends == 1)
        #expect(try await bench.call().ends == 1)
        #expect(try await bench.server.connectionCount() == 2)
        try await bench.shutdown()
    }

    @Test func `only what concerns the client is passed on`() async throws {
        let bench = try await Bench { _, _ in
            [
                .send(
                    "HTTP/1.1 429 Too Many\r\nServer: nginx\r\nContent-Type:  text/event-stream; charset=utf-8\r\nRetry-After: 7\r\nset-cookie: a=b\r\n"
                        + "openai-organization: secret\r\nX-Request-ID: theirs\r\nOpenAI-Processing-MS: 12\r\nx-should-retry: true\r\nretry-after-ms: 50\r\n"
                        + "content-length: 0\r\nconnection: x-thing\r\n\r\n")
            ]
        }
        let heard = try await bench.call()
        #expect(heard.status == 429 && heard.isEventStream && !heard.isJSON && heard.length == 0)
        #expect(
            Set(heard.passedOn.split(separator: "\r\n").map(String.init)) == [
                "content-type: text/event-stream; charset=utf-8", "retry-after: 7", "openai-processing-ms: 12", "x-should-retry: true",
                "retry-after-ms: 50",
            ])
        try await bench.shutdown()
    }

    @Test func `a header that is there many times or is far too long reaches nobody more than once`() async throws {
        let flood = String(repeating: "retry-after: 7\r\n", count: 500)
        let long = "openai-version: " + String(repeating: "v", count: 5_000) + "\r\n"
        let bench = try await Bench { _, _ in
            [.send("HTTP/1.1 200 OK\r\n\(flood)\(long)content-type: a/b\r\ncontent-type: a/b\r\ncontent-length: 0\r\n\r\n")]
        }
        #expect(try await bench.call().passedOn == "content-type: a/b\r\nretry-after: 7\r\n")
        try await bench.shutdown()
    }

    @Test(arguments: [
        ("application/json", true, false), ("application/problem+json; a=b", true, false), ("text/event-stream", false, true),
        ("text/html", false, false),
    ])
    func `the kind of an answer is told by its content type`(type: String, isJSON: Bool, isEventStream: Bool) async throws {
        let bench = try await Bench { _, _ in [.send("HTTP/1.1 200 OK\r\ncontent-type: \(type)\r\ncontent-length: 0\r\n\r\n")] }
        let heard = try await bench.call()
        #expect(heard.isJSON == isJSON && heard.isEventStream == isEventStream)
        try await bench.shutdown()
    }
}
