import Dialects
import MartletTestKit
import NIOCore
import Testing
import Vocabulary

@Suite struct RequestScannerTests {
    private let scanner = OpenAIRequestScanner()

    private func scan(_ body: String, _ endpoint: Endpoint = .chatCompletions) throws -> OpenAIRequest {
        try scanner.scan(ByteBuffer(string: body), endpoint: endpoint)
    }

    private func failure(_ body: [UInt8], _ endpoint: Endpoint = .chatCompletions) -> GatewayError? {
        do throws(GatewayError) {
            _ = try scanner.scan(ByteBuffer(bytes: body), endpoint: endpoint)
            return nil
        } catch {
            return error
        }
    }

    private func failure(_ body: String, _ endpoint: Endpoint = .chatCompletions) -> GatewayError? { failure(Array(body.utf8), endpoint) }

    @Test func `the governed fields are found wherever they stand`() throws {
        let request = try scan(
            #"{"messages":[{"role":"user","content":"{\"model\":\"no\"}"}],"user":"Zoë","max_tokens":9,"stream" : true ,"stream_options":{"include_usage":true},"model":"gpt-4o"}"#
        )
        #expect(request.model == "gpt-4o" && request.isStream && request.wantsUsageChunk)
        #expect(request.endUser == "Zoë")
        let plain = try scan(#"{"model":"m","messages":[]}"#)
        #expect(!plain.isStream && !plain.wantsUsageChunk && plain.endUser.isEmpty)
        let nulls = try scan(#"{"model":"m","messages":[],"stream":null,"stream_options":null,"user":null,"max_tokens":null,"n":null}"#)
        #expect(!nulls.isStream && !nulls.wantsUsageChunk && nulls.endUser.isEmpty)
    }

    @Test func `escapes are undone before anything is compared`() throws {
        #expect(try scan(#"{"\u006dodel":"gpt\u002d4o\/\"x\"","messages":[]}"#).model == #"gpt-4o/"x""#)
        #expect(try scan(#"{"model":"m","messages":[],"\u0073tream":true}"#).isStream)
        #expect(try scan(#"{"model":"\ud83d\ude00","messages":[]}"#).model == "😀")
    }

    @Test func `fields of the same names deeper down are none of ours`() throws {
        let request = try scan(
            #"{"metadata":{"model":1,"stream":"x","stream_options":[],"user":{}},"messages":[{"model":2,"stream":true}],"model":"m","stream_options":{"extra":{"include_usage":7}}}"#
        )
        #expect(request.model == "m" && !request.isStream && !request.wantsUsageChunk)
    }

    @Test func `a limit of tokens may come in either form, in both, or as nothing`() throws {
        for limits in [
            #""max_tokens":5,"max_completion_tokens":7"#, #""max_completion_tokens":null,"max_tokens":5"#, #""max_tokens":null"#, #""max_tokens":0"#,
        ] {
            #expect(try scan(#"{"model":"m","messages":[],\#(limits)}"#).model == "m")
        }
    }

    @Test func `a name has a bound, since it is echoed, logged and counted`() throws {
        let longest = String(repeating: "n", count: 256)
        #expect(try scan(#"{"model":"\#(longest)","messages":[]}"#).model == longest)
        #expect(failure(#"{"model":"\#(longest)n","messages":[]}"#)?.parameter == "model")
    }

    @Test(arguments: [
        ("model", #""model":"a","model":"b","messages":[]"#), ("model", #""model":"a","\u006dodel":"a","messages":[]"#),
        ("stream", #""model":"a","messages":[],"stream":true,"stream":true"#),
        ("stream", #""stream":false,"model":"a","messages":[],"str\u0065am":true"#),
        ("messages", #""model":"a","messages":[],"messages":[]"#), ("user", #""model":"a","messages":[],"user":"a","user":"b""#),
        ("max_tokens", #""model":"a","messages":[],"max_tokens":1,"max_tokens":2"#), ("n", #""model":"a","messages":[],"n":1,"\u006e":2"#),
        ("stream_options", #""model":"a","messages":[],"stream_options":{},"stream_options":null"#),
        ("stream_options.include_usage", #""model":"a","messages":[],"stream_options":{"include_usage":true,"include_us\u0061ge":false}"#),
        ("max_completion_tokens", #""model":"a","messages":[],"max_completion_tokens":1,"max_completion_tokens":1"#),
        ("prompt", #""model":"a","messages":[],"prompt":"","prompt":"""#), ("input", #""model":"a","messages":[],"input":"","input":"""#),
    ])
    func `a field that is there twice is refused`(field: String, fields: String) {
        #expect(failure("{\(fields)}") == .duplicateField(field))
    }

    @Test(arguments: [
        ("model", #"{"model":7,"messages":[]}"#), ("model", #"{"model":null,"messages":[]}"#), ("model", #"{"model":["a"],"messages":[]}"#),
        ("messages", #"{"model":"m","messages":"hi"}"#), ("messages", #"{"model":"m","messages":null}"#),
        ("messages", #"{"model":"m","messages":{}}"#),
        ("stream", #"{"model":"m","messages":[],"stream":"true"}"#), ("stream", #"{"model":"m","messages":[],"stream":1}"#),
        ("stream_options", #"{"model":"m","messages":[],"stream_options":true}"#),
        ("stream_options", #"{"model":"m","messages":[],"stream_options":[]}"#),
        ("stream_options.include_usage", #"{"model":"m","messages":[],"stream_options":{"include_usage":"yes"}}"#),
        ("user", #"{"model":"m","messages":[],"user":5}"#), ("max_tokens", #"{"model":"m","messages":[],"max_tokens":"5"}"#),
        ("max_tokens", #"{"model":"m","messages":[],"max_tokens":-5}"#), ("max_tokens", #"{"model":"m","messages":[],"max_tokens":1.5}"#),
        ("max_tokens", #"{"model":"m","messages":[],"max_tokens":99999999999999999999}"#), ("n", #"{"model":"m","messages":[],"n":[]}"#),
        ("max_completion_tokens", #"{"model":"m","messages":[],"max_completion_tokens":true}"#), ("n", #"{"model":"m","messages":[],"n":-1}"#),
    ])
    func `a field of the wrong type is named`(field: String, body: String) {
        guard case .wrongType(field: field, _) = failure(body) else {
            Issue.record("\(body) gave \(String(describing: failure(body)))")
            return
        }
    }

    @Test func `each endpoint misses its own fields`() {
        #expect(failure("{}") == .missingField("model"))
        #expect(failure(#"{"messages":[]}"#) == .missingField("model"))
        #expect(failure(#"{"model":"","messages":[]}"#) == .missingField("model"))
        #expect(failure(#"{"model":"m"}"#) == .missingField("messages"))
        #expect(failure(#"{"model":"m"}"#, .embeddings) == .missingField("input"))
        #expect(failure(#"{"model":"m","input":null}"#, .embeddings) != nil)
        #expect(failure(#"{"model":"m","input":[1,2]}"#, .embeddings) == nil && failure(#"{"model":"m","input":"x"}"#, .embeddings) == nil)
        #expect(failure(#"{"model":"m"}"#, .completions) == nil && failure(#"{"model":"m","prompt":["a"]}"#, .completions) == nil)
        #expect(failure(#"{"model":"m","prompt":5}"#, .completions) != nil)
    }

    @Test(arguments: [
        "", " ", "\n\t", "null", "5", "\"text\"", "[]", #"[{"model":"m"}]"#, "{", "}", #"{"model""#, #"{"model":}"#, #"{"model":"m""#,
        #"{"model":"m}"#,
        #"{"model":"m","messages":[}"#, #"{"model":"m","messages":[]"#, #"{"model":"m" "messages":[]}"#, #"{"model":"m","messages":[],}"#,
        #"{"model":"m","messages":[],"stream":tru}"#, #"{"model":"m","messages":[],"stream":truee}"#, #"{"model":"m","messages":[],"n":01}"#,
        #"{"model":"\ud800","messages":[]}"#, #"{"model":"\x","messages":[]}"#, #"{model:"m","messages":[]}"#, "{'model':'m'}",
        #"{"model":"m","messages":[]}x"#, #"{"model":"m","messages":[]}{}"#, #"{"model":"m","messages":[]} ,"#, #"{"model":"m","messages":[]}]"#,
        #"{"model":"m","messages":[],"user":nul}"#,
    ])
    func `what is no JSON object is refused`(body: String) {
        guard case .malformedJSON = failure(body) else {
            Issue.record("\(body) gave \(String(describing: failure(body)))")
            return
        }
    }

    @Test func `white space around the object is fine`() throws {
        #expect(try scan("\n\t {\"model\" : \"m\" , \"messages\" : [ ] }\r\n ").model == "m")
    }

    @Test func `text that is no UTF-8 is refused wherever it stands`() {
        let broken: [[UInt8]] = [[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xe2, 0x82], [0x80]]
        for bytes in broken {
            for (before, after) in [
                (#"{"model":"m","messages":[{"content":""#, #""}]}"#), (#"{"model":""#, #"","messages":[]}"#),
                (#"{"model":"m","messages":[],""#, #"":1}"#),
            ] {
                #expect(failure(Array(before.utf8) + bytes + Array(after.utf8)) == .malformedJSON("it is not valid UTF-8"))
            }
        }
    }

    @Test func `a deep nest ends in an answer`() {
        for depth in [10, 1_000, 5_000, 200_000] {
            let nest = String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
            let found = failure(#"{"model":"m","messages":"# + nest + #","stream":true}"#)
            if let found { #expect(found.code == "invalid_json") }
            #expect(failure(#"{"model":"m","messages":"# + String(repeating: "[", count: depth)) != nil)
        }
    }

    @Test func `a body of any size is read the same, with room behind it or without`() throws {
        for size in [0, 1, 63, 64, 1_000, 16_383, 16_384, 300_000] {
            let body = #"{"messages":[{"role":"user","content":""# + String(repeating: "x", count: size) + #""}],"stream":true,"model":"gpt-4o"}"#
            let exact = ByteBuffer(bytes: Array(body.utf8))
            var roomy = ByteBufferAllocator().buffer(capacity: body.utf8.count + OpenAIRequestScanner.padding)
            roomy.writeString(body)
            // What follows the readable bytes must not be taken for a part of them.
            roomy.setString("}}}}]]]]\"\"", at: roomy.writerIndex)
            var shifted = ByteBuffer(string: "junk")
            shifted.writeString(body)
            shifted.moveReaderIndex(forwardBy: 4)
            for buffer in [exact, roomy, shifted, shifted.slice()] {
                let request = try scanner.scan(buffer, endpoint: .chatCompletions)
                #expect(request.model == "gpt-4o" && request.isStream)
                let renamed = request.body(buffer, modelJSON: Array("\"other\"".utf8), forcesUsage: false)
                #expect(renamed.map(\.text).joined() == body.replacing("gpt-4o", with: "other"))
            }
        }
    }

    @Test func `every prefix of a body is refused and none is read beyond its end`() {
        let body = Array(
            #"{"model":"gpt-4o","messages":[{"role":"user","content":"hé\n"}],"stream":true,"stream_options":{"include_usage":false},"n":1}"#.utf8)
        for length in 0..<body.count { #expect(failure(Array(body[..<length]))?.status == 400) }
        #expect(failure(body) == nil)
    }

    @Test func `random damage is answered, never a crash`() async {
        var random = SplitMix(seed: 11)
        let body = Array(
            #"{"model":"gpt-4o","messages":[{"role":"user","content":"h\u00e9"}],"stream":true,"stream_options":{"include_usage":false},"user":"u"}"#
                .utf8)
        var accepted = 0
        for round in 0..<20_000 {
            if round % 500 == 0 { await Task.yield() }
            var damaged = body
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                let place = Int.random(in: 0..<damaged.count, using: &random)
                switch Int.random(in: 0..<3, using: &random) {
                case 0: damaged[place] = UInt8.random(in: 0...255, using: &random)
                case 1: damaged.remove(at: place)
                default: damaged.insert(Array("{}[]\",:\\ntf0".utf8).randomElement(using: &random) ?? 0, at: place)
                }
            }
            let buffer = ByteBuffer(bytes: damaged)
            guard let request = try? scanner.scan(buffer, endpoint: .chatCompletions) else { continue }
            if request.model.isEmpty { Issue.record("no model in \(buffer.text)") }
            // The insides of other values are left to the provider, so some of what passes is no JSON; then there is nothing to compare.
            guard (try? parsed(damaged)) != nil else { continue }
            accepted += 1
            let pieces = request.body(buffer, modelJSON: Array("\"other\"".utf8), forcesUsage: true)
            let again = pieces.reduce(into: ByteBuffer()) { $0.writeImmutableBuffer($1) }
            // What goes on to the provider has the model and the usage that we mean.
            let second = try? scanner.scan(again, endpoint: .chatCompletions)
            let isMeant = second?.model == "other" && second?.isStream == request.isStream && (!request.isStream || second?.wantsUsageChunk == true)
            if !isMeant { Issue.record("\(buffer.text) became \(again.text)") }
        }
        #expect(accepted > 1_000)
    }
}
