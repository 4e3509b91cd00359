import Edge
import NIOCore
import Testing
import Vocabulary

private let call = "POST /v1/chat/completions HTTP/1.1\r\n"
private let usual = call + "Host: m\r\nAuthorization: Bearer good\r\n"
private let chunked = usual + "Transfer-Encoding: chunked\r\n\r\n"

/// What a parser reports of bytes that come in these pieces: heads in brief, bodies in one piece, and the failure by its kind.
private func read(_ pieces: [String], _ context: RequestParser.Context = RequestParser.Context()) -> [String] {
    var parser = RequestParser()
    var seen: [String] = []
    var body = ""
    for piece in pieces {
        parser.feed(ByteBuffer(string: piece))
        do throws(RequestParser.Failure) {
            while let part = try parser.next(context) {
                switch part {
                case .head(let facts): seen.append("\(facts.method.name) \(facts.target) \(facts.fault == nil ? "" : "fault")")
                case .body(let bytes): body += String(buffer: bytes)
                case .end:
                    seen.append("end \(body)")
                    body = ""
                }
            }
        } catch {
            seen.append(error == .tooLarge ? "too large" : "malformed")
        }
    }
    return seen
}

private func facts(_ head: String, _ context: RequestParser.Context = RequestParser.Context()) throws -> RequestFacts {
    var parser = RequestParser()
    parser.feed(ByteBuffer(string: head))
    guard case .head(let facts) = try parser.next(context) else { throw NoHead() }
    return facts
}

private struct NoHead: Error {}

@Suite struct RequestParserTests {
    static let sound: [(request: String, parts: [String])] = [
        (usual + "Content-Length: 5\r\n\r\nhello", ["POST model(Vocabulary.Endpoint.chatCompletions) ", "end hello"]),
        (usual + "Content-Length: 0\r\n\r\n", ["POST model(Vocabulary.Endpoint.chatCompletions) ", "end "]),
        (chunked + "5\r\nhello\r\n0\r\n\r\n", ["POST model(Vocabulary.Endpoint.chatCompletions) ", "end hello"]),
        (
            chunked + "2;a\r\nhe\r\n00000003;b=c;d=\"e;\\\"\"\r\n" + "llo\r\n0;last\r\nX: y\r\nZ:\r\n\r\n",
            ["POST model(Vocabulary.Endpoint.chatCompletions) ", "end hello"]
        ),
        ("\r\n\r\nGET /v1/models HTTP/1.0\r\n\r\n\r\n", ["GET modelList ", "end "]),
        ("OPTIONS * HTTP/1.1\r\nHost:\r\n\r\n", ["OPTIONS control ", "end "]),
        ("M-SEARCH /a?b HTTP/1.1\r\nhOST:\t m \t\r\nx:\t\r\n\r\n", ["M-SEARCH control ", "end "]),
        ("GET http://m/v1/models/a%2Fb HTTP/1.1\r\nHost: M:80\r\n\r\n", ["GET modelItem(\"a/b\") ", "end "]),
        ("GET /caf\u{e9} HTTP/1.1\r\nHost: m\r\nX: \u{e9}\r\n\r\n", ["GET control ", "end "]),
    ]

    @Test func `sound requests are read, one behind the other and cut anywhere`() {
        for (request, parts) in RequestParserTests.sound {
            #expect(read([request]) == parts, "\(request)")
            let two = request + request
            #expect(read([two]) == parts + parts, "\(request)")
            for cut in cuts(two) { #expect(read(cut) == parts + parts, "\(cut)") }
        }
    }

    static let unsound = [
        "nonsense\r\n\r\n", "POST\r\n\r\n", "POST /v1\r\n\r\n", "POST  /v1 HTTP/1.1\r\n\r\n", "POST /v1  HTTP/1.1\r\n\r\n",
        "POST /v1 HTTP/1.1 \r\n\r\n",
        "POST /v 1 HTTP/1.1\r\n\r\n", "POST /v\t1 HTTP/1.1\r\n\r\n", "POST /v\u{1}1 HTTP/1.1\r\n\r\n", "POST /v1\u{7f} HTTP/1.1\r\n\r\n",
        "POST /v1 HTTP/1.2\r\n\r\n", "POST /v1 HTTP/2.0\r\n\r\n", "POST /v1 http/1.1\r\n\r\n", "POST /v1 HTTP/1.11\r\n\r\n",
        "post /v1 HTTP/1.1\r\n\r\n",
        "POSTS /v1 HTTP/1.1\r\n\r\n", " POST /v1 HTTP/1.1\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\u{16}\u{3}\u{1}\u{2}\r\n\r\n",
        "\nGET / HTTP/1.1\r\n\r\n",
        "\rGET / HTTP/1.1\r\n\r\n", call + "a\r\n\r\n", call + ":\r\n\r\n", call + ": a\r\n\r\n", call + "a : b\r\n\r\n", call + "a b: c\r\n\r\n",
        call + " a: b\r\n\r\n", call + "a: b\r\n c\r\n\r\n", call + "a: b\r\n\tc\r\n\r\n", call + "a\u{e9}: b\r\n\r\n", call + "a: b\u{0}c\r\n\r\n",
        call + "a: b\u{b}c\r\n\r\n", call + "a: 0123456789\u{1f}0123456789\r\n\r\n", call + "a: 01234567890123456789\u{7f}\r\n\r\n",
        call + "a: b\rc\r\n\r\n",
        call + "a: b\r\r\n\r\n", call + "a: b\nc: d\r\n\r\n", call + "a: b\r\n\n", call + "a: b\r\n\rx\r\n",
        "POST /v1 HTTP/1.1\na: b\r\n\r\n",
        usual + "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", usual + "Content-Length: 5, 5\r\n\r\n", usual + "Content-Length: +5\r\n\r\n",
        usual + "Content-Length: -5\r\n\r\n", usual + "Content-Length:\r\n\r\n", usual + "Content-Length: 0x5\r\n\r\n",
        usual + "Content-Length: 5 5\r\n\r\n",
        usual + "Content-Length: 18446744073709551621\r\n\r\n", usual + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        usual + "Transfer-Encoding: gzip\r\nContent-Length: 5\r\n\r\n", usual + "Transfer-Encoding:\r\nContent-Length: 5\r\n\r\n",
    ]

    @Test func `what is not HTTP by the letter is refused, cut anywhere, and nothing behind it is read`() {
        for head in RequestParserTests.unsound {
            let bytes = head + "GET / HTTP/1.1\r\nHost: m\r\n\r\n"
            #expect(read([bytes]) == ["malformed"], "\(head)")
            for cut in cuts(bytes) { #expect(read(cut) == ["malformed"], "\(cut)") }
        }
    }

    static let unsoundBodies = [
        "\r\nhello\r\n", "x\r\n", "+5\r\n", "-5\r\n", "0x5\r\n", " 5\r\n", "5 \r\n", "5\t\r\n", "5\nhello", "5\rhello", "12345678123456781\r\n",
        "5;\r\n", "5; a\r\n",
        "5;a\rb\r\n", "5;a\nb\r\n", "5;=a\r\n", "5;a=\r\n", "5;a b\r\n", "5;a=\"b\u{1}\"\r\n", "5;a=\"b\"c\r\n", "5\r\nhelloXX\r\n", "5\r\nhello\n",
        "5\r\nhello\rX",
        "5\r\nhello0\r\n\r\n", "0\r\na\r\n\r\n", "0\r\na b: c\r\n\r\n", "0\r\n a: b\r\n\r\n", "0\r\na: b\u{0}\r\n\r\n", "0\r\na: b\n\r\n", "0\r\n\n",
        "0\r\nContent-Length: 5\r\n\r\n", "0\r\ntransfer-encoding: chunked\r\n\r\n", "5;" + String(repeating: "a", count: 5_000) + "\r\n",
        String(repeating: "1;" + String(repeating: "a", count: 2_000) + "\r\nx\r\n", count: 9),
    ]

    @Test func `chunks that are not framed by the letter are refused, cut anywhere`() {
        for body in RequestParserTests.unsoundBodies {
            let bytes = chunked + body + "GET / HTTP/1.1\r\nHost: m\r\n\r\n"
            let parts = ["POST model(Vocabulary.Endpoint.chatCompletions) ", "malformed"]
            #expect(read([bytes]) == parts, "\(body)")
            if body.utf8.count < 100 { for cut in cuts(bytes) { #expect(read(cut) == parts, "\(cut)") } }
        }
    }

    @Test func `heads and trailers have bounds, however they come`() {
        let long = "x: " + String(repeating: "a", count: 100_000) + "\r\n\r\n"
        let many = String(repeating: "a: b\r\n", count: 300) + "\r\n"
        for head in [call + long, call + many, "GET /" + String(repeating: "a", count: 100_000) + " HTTP/1.1\r\n\r\n"] {
            #expect(read([head]) == ["too large"])
            #expect(read(pieces(head, of: 1_000)) == ["too large"])
        }
        #expect(read(pieces(call + many, of: 1)) == ["too large"])
        for trailers in ["x: " + String(repeating: "a", count: 20_000) + "\r\n\r\n", String(repeating: "a: b\r\n", count: 3_000)] {
            #expect(read([chunked + "0\r\n" + trailers]).last == "too large")
            #expect(read(pieces(chunked + "0\r\n" + trailers, of: 700)).last == "too large")
        }
        let largest = usual + "x: " + String(repeating: "a", count: 70_000) + "\r\n" + String(repeating: "b:\r\n", count: 253) + "\r\n"
        #expect(read([largest]).last == "end " && read(pieces(largest, of: 999)).last == "end ")
    }

    @Test(arguments: [
        usual + "Host: n\r\n", call, call + "Host: a/b\r\n", call + "Host: a b\r\n", usual + "Authorization: Bearer good\r\n",
        usual + "x-api-key: other\r\n",
        call + "Host: m\r\nx-api-key: a\r\napi-key: b\r\n", usual + "Transfer-Encoding: gzip, chunked\r\n",
        usual + "Transfer-Encoding: chunked, chunked\r\n",
        usual + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        usual.replacing("1.1", with: "1.0") + "Transfer-Encoding: chunked\r\n",
        usual.replacing("/v1", with: "http://n/v1"), usual.replacing("/v1", with: "http://u@m/v1"), usual.replacing("/v1", with: "v1"),
        usual.replacing("/v1/chat/completions", with: "/v1/chat/completions#/health"), "GET /health#/v1 HTTP/1.1\r\nHost: m\r\n",
        "CONNECT m:443 HTTP/1.1\r\nHost: m\r\n",
    ])
    func `a head that others may read otherwise is told with its fault, and nothing behind it is read`(head: String) {
        let bytes = head + "\r\n0\r\n\r\n" + usual + "\r\n"
        let seen = read([bytes])
        #expect(seen.count == 1 && seen[0].hasSuffix(" fault"), "\(seen)")
        for cut in cuts(bytes) { #expect(read(cut) == seen) }
    }

    // MARK: Facts

    @Test func `the facts are those of the head, whatever the case of its names`() throws {
        let read = try facts(
            call.replacing("1.1", with: "1.0")
                + "HOST: m\r\nauthorization: bEARER   key \r\nContent-Length:\t0012\r\nExpect: 100-Continue\r\nConnection: x, Keep-Alive\r\nX-Request-ID: id\r\n"
                + "Content-Encoding: gzip\r\nX-Martlet-Stream-Cost: TRUE\r\nX-Martlet-Session: s\r\nx-martlet-tags: t\r\nOpenAI-Beta: b\r\nX-Sim-Status:  500\r\n"
                + "Forwarded: for=a\r\nX-Forwarded-For: a\r\nx-forwarded-for: b\r\ncookie: c\r\n\r\n",
            RequestParser.Context(addressHeader: .xForwardedFor))
        #expect(read.method == .post && read.isHTTP10 && read.keepsAlive && read.contentLength == 12 && !read.isChunked && read.fault == nil)
        #expect(read.credential == "key" && read.requestID == "id" && read.contentEncoding == "gzip" && read.expects == .goOn)
        #expect(read.wantsStreamCost && read.session == "s" && read.tags == "t" && read.forwarded == "a,b")
        #expect(String(buffer: read.passedOn) == "openai-beta: b\r\nx-sim-status: 500\r\n")
    }

    @Test(arguments: [
        ("Authorization: Bearer a\r\n", "a"), ("Authorization: Basic a\r\n", ""), ("Authorization: Bearer\r\n", ""), ("api-key: a\r\n", "a"),
        ("x-api-key: a\r\nAuthorization: Bearer a\r\n", "a"), ("Authorization: Bearer a\r\napi-key: a\r\n", "a"),
        ("Authorization: Basic b\r\napi-key: a\r\n", ""),
    ])
    func `a key is found where clients put it`(lines: String, key: String) throws {
        for known in ["", "a", "b"] {
            let read = try facts(call + "Host: m\r\n" + lines + "\r\n", RequestParser.Context(knownCredential: known))
            #expect(read.credential == key && read.fault == nil)
        }
    }

    @Test(arguments: [
        ("1.1", "", true), ("1.1", "connection: close\r\n", false), ("1.1", "connection: x,CLOSE\r\n", false),
        ("1.1", "connection: closed\r\n", true),
        ("1.1", "upgrade: h2c\r\n", false), ("1.0", "", false), ("1.0", "connection: keep-alive\r\n", true),
        ("1.0", "connection: keep-alive, close\r\n", false),
    ])
    func `a connection goes on where both sides want it`(version: String, lines: String, goesOn: Bool) throws {
        #expect(try facts(call.replacing("1.1", with: version) + "Host: m\r\n" + lines + "\r\n").keepsAlive == goesOn)
    }

    @Test func `the control plane gets every header, and once`() throws {
        let read = try facts("GET /api/v1/keys?a=b HTTP/1.1\r\nHost: m\r\nX-A:  b c \r\nx-a:\r\nCookie: \u{e9}\r\n\r\n")
        #expect(read.uri == "/api/v1/keys?a=b")
        let headers = read.takeHeaders()
        #expect(headers.map(\.name) == ["Host", "X-A", "x-a", "Cookie"] && headers.map(\.value) == ["m", "b c", "", "\u{e9}"])
        #expect(read.takeHeaders().isEmpty)
    }
}

/// The text in pieces of that many bytes.
private func pieces(_ text: String, of length: Int) -> [String] {
    let bytes = Array(text.utf8)
    return stride(from: 0, to: bytes.count, by: length).map { String(decoding: bytes[$0..<min($0 + length, bytes.count)], as: UTF8.self) }
}

/// The text cut in two at every place, and all in single characters.
private func cuts(_ text: String) -> [[String]] {
    let scalars = Array(text.unicodeScalars)
    func part(_ range: Range<Int>) -> String {
        var part = String.UnicodeScalarView()
        part.append(contentsOf: scalars[range])
        return String(part)
    }
    return (1..<max(1, scalars.count)).map { [part(0..<$0), part($0..<scalars.count)] } + [scalars.indices.map { part($0..<$0 + 1) }]
}
