import Dialects
import MartletTestKit
import NIOCore
import Testing
import Vocabulary

/// A stream of server-sent events as OpenAI sends them, and what must come of it.
enum Streams {
    static func chunk(_ inner: String) -> String {
        #"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","system_fingerprint":"fp",\#(inner)}"#
    }

    static let role = chunk(
        #""choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}],"usage":null"#)
    static let hello = chunk(#""choices":[{"index":0,"delta":{"content":"Héllo \"usage\": {\\"},"finish_reason":null}],"usage":null"#)
    static let world = chunk(#""choices":[{"index":0,"delta":{"content":" world\n\n"},"finish_reason":null}],"usage":null"#)
    static let tool = chunk(
        #""choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"name":"f","arguments":"{\"usage\":{\"prompt_tokens\":9}}"}}]},"finish_reason":null}]"#
    )
    static let finish = chunk(#""choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}],"usage":null"#)
    static let usage = chunk(
        #""choices":[],"usage":{"prompt_tokens":19,"completion_tokens":10,"total_tokens":29,"prompt_tokens_details":{"cached_tokens":5,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":3,"audio_tokens":0}}"#
    )
    static let counted = TokenUsage(input: 19, cachedInput: 5, output: 10, reasoning: 3)

    static func events(_ data: [String], end: String = "\n") -> String {
        data.map { "data: \($0)\(end)\(end)" }.joined()
    }

    static let whole = [role, hello, world, tool, finish, usage, "[DONE]"]
}

/// What a scanner makes of a stream that comes in these parts.
struct Scanned: Equatable {
    var output = ""
    var isDone = false
    var hasFinish = false
    var hasError = false
    var usage: TokenUsage?
    var contentEvents: Int64 = 0
    var contentBytes: Int64 = 0

    init(_ parts: [[UInt8]], hidesUsage: Bool = true) {
        var scanner = OpenAIStreamScanner(hidesUsage: hidesUsage)
        var bytes: [UInt8] = []
        for part in parts {
            if let out = scanner.feed(ByteBuffer(bytes: part)) { bytes += out.bytes }
        }
        if let rest = scanner.rest() { bytes += rest.bytes }
        output = String(decoding: bytes, as: UTF8.self)
        isDone = scanner.isDone
        hasFinish = scanner.hasFinish
        hasError = scanner.hasError
        usage = scanner.usage
        contentEvents = scanner.contentEvents
        contentBytes = scanner.contentBytes
    }

    init(_ text: String, hidesUsage: Bool = true) { self.init([Array(text.utf8)], hidesUsage: hidesUsage) }

    /// The lines of data that a client reads from the output.
    var data: [String] {
        output.replacing("\r\n", with: "\n").replacing("\r", with: "\n").split(separator: "\n").filter { $0.hasPrefix("data:") }.map {
            String($0.dropFirst($0.hasPrefix("data: ") ? 6 : 5))
        }
    }
}

@Suite struct StreamScannerTests {
    @Test func `a byte order mark in front of a stream hides nothing`() {
        let stream = "\u{feff}" + Streams.events([Streams.hello, Streams.usage, "[DONE]"])
        for size in [1, 2, 3, 7, stream.utf8.count] {
            let bytes = Array(stream.utf8)
            let scanned = Scanned(stride(from: 0, to: bytes.count, by: size).map { Array(bytes[$0..<min($0 + size, bytes.count)]) })
            #expect(scanned.isDone && scanned.usage == Streams.counted && scanned.contentEvents == 1, "in pieces of \(size)")
            #expect(scanned.output == "\u{feff}" + Streams.events([Streams.hello]))
        }
        // Only the first bytes of a stream are a mark: behind them it makes a line nobody knows.
        #expect(Scanned(Streams.events([Streams.hello]) + "\u{feff}" + Streams.events([Streams.usage])).usage == nil)
        #expect(Scanned("\u{feff}" + Streams.events([Streams.usage, "[DONE]"])).output == "")
    }

    @Test func `what the client wished for it gets byte for byte`() {
        let shown = Scanned(Streams.events(Streams.whole), hidesUsage: false)
        #expect(shown.output == Streams.events(Array(Streams.whole.dropLast())))
        #expect(shown.isDone && shown.hasFinish && !shown.hasError && shown.usage == Streams.counted)
        // Two of text and one of arguments; the empty first one is no content.
        #expect(shown.contentEvents == 3)
    }

    @Test func `usage that only we asked for is hidden`() {
        let hidden = Scanned(Streams.events(Streams.whole))
        #expect(hidden.output == Streams.events([Streams.role, Streams.hello, Streams.world, Streams.tool, Streams.finish]))
        #expect(hidden.usage == Streams.counted)
    }

    @Test func `usage in the chunk that finishes is shown and counted`() {
        let last = Streams.finish.replacing(#""usage":null"#, with: #""usage":{"prompt_tokens":4,"completion_tokens":2}"#)
        let scanned = Scanned(Streams.events([Streams.hello, last, "[DONE]"]))
        #expect(scanned.output == Streams.events([Streams.hello, last]))
        #expect(scanned.usage == TokenUsage(input: 4, output: 2))
    }

    @Test func `the last usage counts, as some providers send it with every chunk`() {
        let running = (1...5).map { Streams.hello.replacing(#""usage":null"#, with: #""usage":{"prompt_tokens":4,"completion_tokens":\#($0)}"#) }
        let scanned = Scanned(Streams.events(running + ["[DONE]"]))
        #expect(scanned.output == Streams.events(running) && scanned.usage == TokenUsage(input: 4, output: 5))
    }

    @Test(arguments: ["\n", "\r\n", "\r"], [true, false]) func `a cut at any byte changes nothing`(end: String, hidesUsage: Bool) async {
        let text = Array((": ping\(end)\(end)" + Streams.events(Streams.whole, end: end)).utf8)
        let reference = Scanned([text], hidesUsage: hidesUsage)
        #expect(reference.data == Array(Streams.whole.dropLast(hidesUsage ? 2 : 1)))
        for place in 0...text.count {
            await Task.yield()
            let cut = Scanned([Array(text[..<place]), Array(text[place...])], hidesUsage: hidesUsage)
            #expect(cut.data == reference.data && cut.usage == reference.usage && cut.isDone, "cut at \(place)")
            #expect(cut.contentBytes == reference.contentBytes && cut.contentEvents == reference.contentEvents && cut.hasFinish, "cut at \(place)")
            if end == "\n" { #expect(cut == reference, "cut at \(place)") }
        }
        let single = Scanned(text.map { [$0] }, hidesUsage: hidesUsage)
        #expect(single.data == reference.data && single.usage == reference.usage && single.isDone && single.contentBytes == reference.contentBytes)
    }

    @Test func `cuts at random places change nothing`() async {
        let text = Array((": ping\n\n" + Streams.events(Streams.whole + ["after"]) + "data: more").utf8)
        let reference = Scanned([text])
        var random = SplitMix(seed: 14)
        for _ in 0..<1_000 {
            await Task.yield()
            var parts: [[UInt8]] = []
            var at = 0
            while at < text.count {
                let length = random.chance(oneIn: 3) ? Int.random(in: 0...3, using: &random) : Int.random(in: 1...400, using: &random)
                parts.append(Array(text[at..<min(at + length, text.count)]))
                at += length
            }
            if Scanned(parts) != reference { Issue.record("cut into \(parts.map(\.count))") }
        }
    }

    @Test func `nothing that follows the end mark is passed on`() {
        let events = Streams.events([Streams.hello, "[DONE]"])
        for tail in ["\n", "data: {\"x\":1}\n\n", "garbage", "\0\0"] {
            let scanned = Scanned(events + tail)
            #expect(scanned.output == Streams.events([Streams.hello]) && scanned.isDone)
        }
        for mark in ["data:[DONE]\n\n", "data: [DONE] \n\n", "data: [DONE]\r\n\r\n", ": x\ndata: [DONE]\n\n", "event: done\ndata: [DONE]\n\n"] {
            #expect(Scanned(mark).isDone && Scanned(mark).output.isEmpty)
        }
        for other in ["data: [DONE]x\n\n", "data: \"[DONE]\"\n\n", ": [DONE]\n\n", "xdata: [DONE]\n\n", "data: {\"c\":\"[DONE]\"}\n\n"] {
            #expect(!Scanned(other).isDone && Scanned(other).output == other)
        }
    }

    @Test(arguments: ["\r\n", "\r", "\r\r\n"]) func `a cut between the halves of a blank line takes no byte away`(end: String) {
        let bytes = Array(Streams.events(Streams.whole, end: end).utf8)
        for hidesUsage in [false, true] {
            let reference = Scanned([bytes], hidesUsage: hidesUsage)
            for place in 0...bytes.count {
                let scanned = Scanned([Array(bytes[..<place]), [], Array(bytes[place...])], hidesUsage: hidesUsage)
                #expect(scanned == reference, "cut at \(place)")
            }
            #expect(Scanned(bytes.map { [$0] }, hidesUsage: hidesUsage) == reference)
        }
    }

    @Test func `comments, pings and unknown fields pass as they are`() {
        let text = ": OPENROUTER PROCESSING\n\nevent: ping\n\nid: 7\nretry: 10\ndata: {\"choices\":[]}\n\n\n\n:\n\n"
        #expect(Scanned(text).output == text)
    }

    @Test func `data over several lines is read as one`() {
        let text = "data: {\"choices\":[],\ndata: \"usage\":\ndata:{\"prompt_tokens\":7,\"completion_tokens\":8}}\n\n"
        #expect(Scanned(text).usage == TokenUsage(input: 7, output: 8))
        #expect(Scanned(text).output.isEmpty && Scanned(text, hidesUsage: false).output == text)
    }

    @Test func `an error of the provider's is seen and passed on`() {
        let error = #"{"error":{"message":"overloaded","type":"server_error","code":null}}"#
        let scanned = Scanned(Streams.events([Streams.hello, error]))
        #expect(scanned.hasError && scanned.output == Streams.events([Streams.hello, error]) && !scanned.isDone)
        #expect(!Scanned(Streams.events([#"{"error":null,"choices":[]}"#])).hasError)
        #expect(!Scanned(Streams.events([#"{"choices":[{"delta":{"content":"error"},"error":{"a":1}}]}"#])).hasError)
    }

    @Test func `a last event without its blank line is not lost`() {
        for end in ["", "\n", "\r\n"] {
            let scanned = Scanned(Streams.events([Streams.hello]) + "data: " + Streams.finish + end)
            #expect(scanned.data == [Streams.hello, Streams.finish] && scanned.hasFinish && scanned.output.hasSuffix("\n\n"))
            #expect(Scanned("data: [DONE]" + end).isDone && Scanned("data: [DONE]" + end).output.isEmpty)
            #expect(Scanned("data: " + Streams.usage + end).usage == Streams.counted && Scanned("data: " + Streams.usage + end).output.isEmpty)
        }
    }

    @Test func `an event that is too large passes unread, and the next one is read again`() async {
        let huge = #"{"choices":[{"delta":{"content":""# + String(repeating: "x", count: OpenAIStreamScanner.pendingMax + 5_000) + #""}}]}"#
        let text = Array(Streams.events([Streams.hello, huge, Streams.usage, Streams.finish, "[DONE]"]).utf8)
        let expected = Streams.events([Streams.hello, huge, Streams.finish])
        for size in [text.count, 65_536, 4_096] {
            await Task.yield()
            let parts = stride(from: 0, to: text.count, by: size).map { Array(text[$0..<min($0 + size, text.count)]) }
            let scanned = Scanned(parts)
            #expect(scanned.output == expected && scanned.isDone && scanned.usage == Streams.counted && scanned.hasFinish, "parts of \(size)")
        }
    }

    @Test(arguments: [-1, 0, 1, 2, 3]) func `an event that is too large may be cut in its very end`(offset: Int) throws {
        let huge = #"{"choices":[{"delta":{"content":""# + String(repeating: "x", count: OpenAIStreamScanner.pendingMax + 5_000) + #""}}]}"#
        let first = "data: " + huge
        let text = Array((first + "\n\n" + Streams.events([Streams.usage, Streams.finish, "[DONE]"])).utf8)
        let place = first.utf8.count + offset
        let scanned = Scanned([Array(text[..<place]), Array(text[place...])])
        #expect(scanned.output == Streams.events([huge, Streams.finish]) && scanned.isDone && scanned.usage == Streams.counted, "cut at \(offset)")
    }

    @Test func `random bytes pass without a crash, and nothing is held for ever`() {
        var random = SplitMix(seed: 15)
        let words = ["data:", " ", "[DONE", "]", "\n", "\r", "\r\n", "{", "}", "\"usage\":", "\"choices\":[", "1", "\\", "\"", ":", "\u{0}"]
        for _ in 0..<5_000 {
            let parts = (0..<Int.random(in: 1...20, using: &random)).map { _ in Array((words.randomElement(using: &random) ?? "").utf8) }
            let scanned = Scanned(parts, hidesUsage: false)
            let together = Scanned([parts.flatMap { $0 }], hidesUsage: false)
            #expect(scanned.data == together.data && scanned.isDone == together.isDone, "\(parts.map { String(decoding: $0, as: UTF8.self) })")
        }
    }
}
