import Edge
import NIOCore
import Vocabulary

/// The head of a request, which the OpenAI client for Python would send.
let headCases: [Case] = [
    Case("head-route", "read a request with a head of 11 headers and a body of 650 bytes, route it") {
        let body = chatBody(promptBytes: 230, isStream: false)
        var bytes = ByteBuffer(string: head.replacing("BODY", with: "\(body.readableBytes)"))
        bytes.writeImmutableBuffer(body)
        var parser = RequestParser()
        let context = RequestParser.Context(knownCredential: "mk_0123456789012345678901234567890123456")
        let read = try route(bytes, &parser, context)
        guard read.routed == 1, read.bodyBytes == body.readableBytes else { throw SetUpError(description: "the request was not read") }
        return { use((try? route(bytes, &parser, context).routed) ?? 0) }
    }
]

private let head =
    "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nAccept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\n"
    + "Accept: application/json\r\nContent-Type: application/json\r\nUser-Agent: OpenAI/Python 2.8.1\r\nX-Stainless-Lang: python\r\n"
    + "X-Stainless-Retry-Count: 0\r\nx-stainless-read-timeout: 600\r\nAuthorization: Bearer mk_0123456789012345678901234567890123456\r\n"
    + "Content-Length: BODY\r\n\r\n"

private func route(
    _ bytes: ByteBuffer, _ parser: inout RequestParser, _ context: RequestParser.Context
) throws -> (routed: Int, bodyBytes: Int) {
    var (routed, bodyBytes) = (0, 0)
    parser.feed(bytes)
    while let part = try parser.next(context) {
        switch part {
        case .head(let facts): if case .model(.chatCompletions) = facts.target, facts.credential?.isEmpty == false { routed += 1 }
        case .body(let bytes): bodyBytes += bytes.readableBytes
        case .end: break
        }
    }
    return (routed, bodyBytes)
}
