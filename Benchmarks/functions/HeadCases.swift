import Edge
import NIOCore
import NIOEmbedded
import NIOHTTP1
import Vocabulary

/// The head of a request, which the OpenAI client for Python would send.
let headCases: [Case] = [
    Case("head-route", "parse a head of 11 headers and a body of 650 bytes in NIO's pipeline, read its facts, route it") {
        let channel = EmbeddedChannel()
        let reader = HeadReader()
        try channel.pipeline.syncOperations.addHandler(ByteToMessageHandler(HTTPRequestDecoder(leftOverBytesStrategy: .dropBytes)))
        try channel.pipeline.syncOperations.addHandler(reader)
        let body = chatBody(promptBytes: 230, isStream: false)
        var bytes = ByteBuffer(string: head.replacing("BODY", with: "\(body.readableBytes)"))
        bytes.writeImmutableBuffer(body)
        channel.pipeline.fireChannelRead(bytes)
        guard reader.routed == 1, reader.bodyBytes == body.readableBytes else { throw SetUpError(description: "the request was not read") }
        return {
            channel.pipeline.fireChannelRead(bytes)
            use(reader.routed)
        }
    },
    Case("head-facts", "read the facts of a head that is parsed, and route it") {
        var head = HTTPRequestHead(version: .http1_1, method: .POST, uri: "/v1/chat/completions")
        head.headers = HTTPHeaders([
            ("Host", "127.0.0.1:8000"), ("Accept-Encoding", "gzip, deflate"), ("Connection", "keep-alive"), ("Accept", "application/json"),
            ("Content-Type", "application/json"), ("User-Agent", "OpenAI/Python 2.8.1"), ("X-Stainless-Lang", "python"),
            ("X-Stainless-Retry-Count", "0"), ("x-stainless-read-timeout", "600"),
            ("Authorization", "Bearer mk_0123456789012345678901234567890123456"), ("Content-Length", "650"),
        ])
        return { use(route(head)) }
    },
]

private let head =
    "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nAccept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\n"
    + "Accept: application/json\r\nContent-Type: application/json\r\nUser-Agent: OpenAI/Python 2.8.1\r\nX-Stainless-Lang: python\r\n"
    + "X-Stainless-Retry-Count: 0\r\nx-stainless-read-timeout: 600\r\nAuthorization: Bearer mk_0123456789012345678901234567890123456\r\n"
    + "Content-Length: BODY\r\n\r\n"

private func route(_ head: HTTPRequestHead) -> Int {
    let facts = RequestFacts(head, addressHeader: nil)
    guard case .model(.chatCompletions) = RequestTarget(uri: head.uri), let credential = facts.credential else { return 0 }
    return credential.utf8.count > 0 ? 1 : 0
}

/// Stands where the lane stands.
private final class HeadReader: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart

    private(set) var routed = 0
    private(set) var bodyBytes = 0

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head): routed += route(head)
        case .body(let bytes): bodyBytes += bytes.readableBytes
        case .end: break
        }
    }
}
