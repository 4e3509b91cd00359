import Dialects
import Foundation
import MartletTestKit
import NIOCore
import Testing
import Vocabulary

@Suite struct WritingTests {
    private func numbers() -> [Int64] {
        var random = SplitMix(seed: 13)
        var all: [Int64] = [0, 1, 9, 10, 99, 100, 255, 256, 65_535, 65_536, 999_999_999, 1_000_000_000, .max, .min, -1, -9, -10]
        for power in 0..<19 { all += (-1...1).map { (0..<power).reduce(Int64(1)) { value, _ in value * 10 } + $0 } }
        for _ in 0..<5_000 { all.append(Int64(bitPattern: random.next()) >> Int64.random(in: 0..<64, using: &random)) }
        return all
    }

    private func written(_ write: (inout ByteBuffer) -> Void) -> String {
        var buffer = ByteBuffer()
        write(&buffer)
        return buffer.text
    }

    @Test func `numbers are written as the standard library writes them`() {
        for number in numbers() {
            #expect(written { $0.writeDecimal(number) } == String(number))
            let size = Int(number & .max)
            #expect(written { $0.writeHexadecimal(size) } == String(size, radix: 16))
        }
    }

    @Test func `milliseconds have three decimals`() {
        for number in numbers() {
            let positive = max(0, number)
            let text = "\(positive / 1000)." + String(1000 + positive % 1000).dropFirst()
            #expect(written { $0.writeMilliseconds(fromMicroseconds: number) } == text)
        }
    }

    @Test func `dollars are the exact decimal that money itself gives`() {
        for number in numbers() {
            #expect(written { $0.writeDollars(fromNanodollars: number) } == Money(nanodollars: number).dollars)
        }
    }

    @Test func `every text survives the way through JSON`() throws {
        var texts = (UInt32(0)...0x2100).compactMap(Unicode.Scalar.init).map { "a\(Character($0))b" }
        texts += ["", "\"", "\\", "\\\"", "\r\n", "😀", "e\u{301}", "\u{10ffff}", "</script>", String(repeating: "\u{1}", count: 5_000)]
        for text in texts {
            let bytes = jsonString(text)
            #expect(try parsed(bytes) as? String == text)
            if !bytes.allSatisfy({ $0 >= 0x20 && $0 != 0x7f }) { Issue.record("\(bytes)") }
        }
    }

    private static let errors: [GatewayError] = [
        .malformedRequest("bad \"line\"\r\n"), .malformedJSON("x"), .missingField("model"), .wrongType(field: "n", expected: "a number"),
        .duplicateField("model"), .headTooLarge, .bodyTooLarge(limitBytes: 10), .unsupportedEncoding("gzip\u{0}"), .expectationFailed,
        .requestTimeout, .unknownPath("/v1/\u{1b}[31m\"é"), .wrongMethod(allowed: "POST"), .missingKey, .invalidKey, .expiredKey,
        .missingRight("keys"),
        .unknownModel("\u{0}\"\\\n😀"), .modelNotAllowed("m"), .journalUnavailable, .overloaded, .queueFull(provider: "p"), .draining, .internalFault,
        .upstreamUnreachable(provider: "p"), .upstreamTimeout(provider: "p"), .upstreamInvalidAnswer(provider: "p"),
        .upstreamStatus(provider: "p", status: 418), .streamCut(provider: "p"),
    ]

    @Test(arguments: errors) func `an error body says what the error says`(error: GatewayError) throws {
        var buffer = ByteBuffer()
        buffer.writeOpenAIError(error)
        let inner: [String: Any] = [
            "message": error.message, "type": error.type, "param": error.parameter.map { $0 as Any } ?? NSNull(), "code": error.code,
        ]
        #expect(try parsed(buffer.bytes) == ["error": inner] as NSDictionary)
        var event = ByteBuffer()
        event.writeOpenAIErrorEvent(error)
        let text = event.text
        #expect(text.hasPrefix("data: ") && text.hasSuffix("\n\n") && !text.dropLast(2).contains("\n"))
        #expect(try parsed(text.dropFirst(6).dropLast(2).utf8) == parsed(buffer.bytes))
        #expect((400...599).contains(error.status))
    }

    @Test func `a model stands in the list as OpenAI has it`() throws {
        let provider = Provider(
            id: "p\"1", kind: "openai", host: "h", port: 1, isTLS: false, caFile: nil, basePath: "/v1",
            timeouts: ProviderTimeouts(connectMilliseconds: 1, firstByteMilliseconds: 1, idleMilliseconds: 1), concurrencyMax: 1, queueMax: 1,
            acceptsStreamOptions: true, retriesStaleConnections: true, requestHeads: [])
        let model = Model(
            name: "a/b \"c\"", nameJSON: jsonString("a/b \"c\""),
            deployments: [Deployment(provider: provider, model: "x", modelJSON: jsonString("x"))],
            price: Price(input: 0, output: 0), createdAt: WallTime(microseconds: 1_700_000_000_999_999))
        var buffer = ByteBuffer()
        buffer.writeOpenAIModel(model)
        #expect(try parsed(buffer.bytes) == ["id": "a/b \"c\"", "object": "model", "created": 1_700_000_000, "owned_by": "p\"1"] as NSDictionary)
    }

    @Test func `an estimate is a token per four bytes, or per event`() {
        #expect(estimatedUsage(promptBytes: 9, contentBytes: 8, contentEvents: 0) == TokenUsage(input: 3, output: 2, isEstimate: true))
        #expect(estimatedUsage(promptBytes: 0, contentBytes: 8, contentEvents: 7) == TokenUsage(input: 0, output: 7, isEstimate: true))
        #expect(estimatedUsage(promptBytes: 1, contentBytes: 1, contentEvents: 1) == TokenUsage(input: 1, output: 1, isEstimate: true))
    }
}
