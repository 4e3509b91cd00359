import Dialects
import Foundation
import MartletTestKit
import NIOCore
import Testing
import Vocabulary

@Suite struct SpliceTests {
    private let scanner = OpenAIRequestScanner()

    private func spliced(_ body: String, model: String = "m", forcesUsage: Bool = true) throws -> String {
        let buffer = ByteBuffer(string: body)
        let request = try scanner.scan(buffer, endpoint: .chatCompletions)
        return request.body(buffer, modelJSON: jsonString(model), forcesUsage: forcesUsage).map(\.text).joined()
    }

    /// The same change, done by a JSON library.
    private func reference(_ body: String, model: String, forcesUsage: Bool) throws -> NSObject {
        var object = try #require(try parsed(body) as? [String: Any])
        object["model"] = model
        if forcesUsage, object["stream"] as? Bool == true {
            var options = object["stream_options"] as? [String: Any] ?? [:]
            options["include_usage"] = true
            object["stream_options"] = options
        }
        return object as NSDictionary
    }

    private static let bodies = [
        #"{"model":"m","messages":[]}"#,
        #"{"model":"m","messages":[],"stream":true}"#,
        #"{"stream":true,"messages":[{"role":"user","content":"model"}],"model":"m"}"#,
        #"{ "stream" : true , "model" : "m" , "messages" : [ ] }"#,
        #"{"model":"m","messages":[],"stream":true,"stream_options":null}"#,
        #"{"model":"m","messages":[],"stream":true,"stream_options":{}}"#,
        #"{"model":"m","messages":[],"stream":true,"stream_options":{  }}"#,
        #"{"model":"m","messages":[],"stream":true,"stream_options":{"include_usage":false}}"#,
        #"{"model":"m","messages":[],"stream":true,"stream_options":{"include_usage":null}}"#,
        #"{"model":"m","messages":[],"stream":true,"stream_options":{"include_usage":true}}"#,
        #"{"model":"m","messages":[],"stream":true,"stream_options":{"include_usage" : false , "x":1}}"#,
        #"{"model":"m","messages":[],"stream":true,"stream_options":{"x":[1,{"include_usage":false}]}}"#,
        #"{"stream_options":{"x":1},"stream":true,"messages":[],"model":"m"}"#,
        #"{"stream_options":null,"model":"m","stream":true,"messages":[]}"#,
        #"{"model":"m","messages":[],"stream":false,"stream_options":{"include_usage":false}}"#,
        #"{"model":"m","messages":[],"stream":null}"#,
        "\n\t{\n  \"model\"\n:\n\"m\"\n,\"messages\":[],\"stream\":true}\n",
        #"{"\u006dodel":"\u006d","messages":[],"str\u0065am":true,"stream_option\u0073":{"include\u005fusage":false}}"#,
        #"{"model":"m","messages":[{"role":"user","content":"é😀\u0000\""}],"stream":true,"temperature":0.1,"x":1e400000}"#,
    ]

    @Test(arguments: bodies, [true, false]) func `nothing but the model and the usage changes`(body: String, forcesUsage: Bool) throws {
        // Foundation reads no number of that size; ours passes it through untouched.
        let readable = body.replacing("1e400000", with: "1e40")
        for model in ["m", "gpt-4o-mini", "a \"quoted\" \u{7f}\n name"] {
            let result = try spliced(readable, model: model, forcesUsage: forcesUsage)
            #expect(try parsed(result) == reference(readable, model: model, forcesUsage: forcesUsage), "\(result)")
        }
    }

    @Test func `a body that needs no change is the very same buffer`() throws {
        for body in [SpliceTests.bodies[0], SpliceTests.bodies[9], SpliceTests.bodies[14]] {
            let buffer = ByteBuffer(string: body)
            let pieces = try scanner.scan(buffer, endpoint: .chatCompletions).body(buffer, modelJSON: Array("\"m\"".utf8), forcesUsage: true)
            #expect(pieces.count == 1 && pieces.first == buffer)
        }
    }

    @Test func `the client's own bytes stay as they are`() throws {
        #expect(
            try spliced(#"{ "model":"m","n":1,"messages":[1.50,  1e400000] }"#, model: "other")
                == #"{ "model":"other","n":1,"messages":[1.50,  1e400000] }"#)
        #expect(try spliced(#"{"a":"\/","model":"m","messages":[],"stream":true}"#).hasSuffix(#""a":"\/","model":"m","messages":[],"stream":true}"#))
    }

    @Test func `random orders and spaces change nothing else`() async throws {
        var random = SplitMix(seed: 12)
        let options = [nil, "null", "{}", "{ }", #"{"include_usage":true}"#, #"{"include_usage":false,"a":{}}"#, #"{"b":[],"include_usage":null}"#]
        for _ in 0..<2_000 {
            await Task.yield()
            func space() -> String { String(repeating: " \n\t", count: Int.random(in: 0...1, using: &random)) }
            var members = [#""model""# + space() + ":" + space() + #""m""#, #""messages":[{"content":"stream_options"}]"#, #""z":{"model":"n"}"#]
            if !random.chance(oneIn: 4) { members.append(#""stream":"# + space() + "true") }
            if let chosen = options.randomElement(using: &random), let text = chosen { members.append(#""stream_options":"# + space() + text) }
            members.shuffle(using: &random)
            let body = space() + "{" + space() + members.joined(separator: space() + "," + space()) + space() + "}" + space()
            let model = random.chance(oneIn: 2) ? "m" : "longer-model-name"
            let result = try spliced(body, model: model)
            #expect(try parsed(result) == reference(body, model: model, forcesUsage: true), "\(body) became \(result)")
        }
    }
}
