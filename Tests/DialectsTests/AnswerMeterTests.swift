import Dialects
import MartletTestKit
import NIOCore
import Testing
import Vocabulary

@Suite struct AnswerMeterTests {
    /// What a meter says of an answer that comes in these parts.
    private struct Measured: Equatable {
        var usage: TokenUsage?
        var contentBytes: Int64
        var isWhole: Bool
        var hasError: Bool
        var hasResult: Bool

        init(_ parts: [[UInt8]]) {
            var meter = OpenAIAnswerMeter()
            for part in parts { meter.feed(ByteBuffer(bytes: part)) }
            usage = meter.usage
            contentBytes = meter.contentBytes
            isWhole = meter.isWholeObject
            hasError = meter.hasError
            hasResult = meter.hasResult
        }

        init(_ text: String) { self.init([Array(text.utf8)]) }
    }

    private static let numbers =
        #"{"prompt_tokens":12,"completion_tokens":34,"total_tokens":46,"prompt_tokens_details":{"cached_tokens":5},"completion_tokens_details":{"reasoning_tokens":6}}"#
    private static let counted = TokenUsage(input: 12, cachedInput: 5, output: 34, reasoning: 6)
    private static let choices =
        #""choices":[{"index":0,"message":{"role":"assistant","content":"say \"usage\":{\"prompt_tokens\":99} ü","refusal":null},"finish_reason":"stop"}]"#

    private static let answers = [
        #"{"id":"x",\#(choices),"usage":\#(numbers)}"#, #"{"usage":\#(numbers),\#(choices)}"#,
        #"{"a":{"usage":{"prompt_tokens":1}},"usage":\#(numbers),\#(choices)}"#,
        " {\n \"usage\" : { \"completion_tokens_details\" : { \"reasoning_tokens\" : 6 } , \"completion_tokens\" : 34 ,\n \"prompt_tokens_details\" : {\"cached_tokens\":5},\"prompt_tokens\" : 12 } , \(choices) }\n",
    ]

    @Test(arguments: answers) func `usage is found wherever it stands`(answer: String) {
        let measured = Measured(answer)
        #expect(measured.usage == AnswerMeterTests.counted && measured.isWhole && !measured.hasError && measured.hasResult)
    }

    @Test(arguments: answers) func `a cut at any byte changes nothing`(answer: String) {
        let bytes = Array(answer.utf8)
        let reference = Measured([bytes])
        for place in 0...bytes.count { #expect(Measured([Array(bytes[..<place]), Array(bytes[place...])]) == reference, "cut at \(place)") }
        #expect(Measured(bytes.map { [$0] }) == reference)
        for place in 0..<bytes.count where !answer.dropFirst(place).allSatisfy(\.isWhitespace) {
            #expect(!Measured([Array(bytes[..<place])]).isWhole || bytes[place...].allSatisfy { $0 <= 0x20 })
        }
    }

    @Test(arguments: [
        #"{"choices":[{"message":{"content":"\"usage\":{\"prompt_tokens\":9}"}}]}"#, #"{"choices":[],"data":{"usage":{"prompt_tokens":9}}}"#,
        #"{"usage":null}"#, #"{"usage":5}"#, #"{"usage":[{"prompt_tokens":9}]}"#, #"[{"usage":{"prompt_tokens":9}}]"#, #""usage""#, "",
        #"{"x":"usage","y":{"prompt_tokens":9}}"#, #"{"usage ":{"prompt_tokens":9}}"#, #"{"Usage":{"prompt_tokens":9}}"#,
    ])
    func `what only looks like usage is none`(answer: String) {
        #expect(Measured(answer).usage == nil)
    }

    @Test func `counts that cannot be are not believed`() {
        func tokens(_ inner: String) -> TokenUsage? { Measured("{\"usage\":{\(inner)}}").usage }
        // A usage with one count that is none is no usage: an estimate is nearer to the truth than a zero.
        for unbelievable in [
            #""prompt_tokens":-5,"completion_tokens":15"#, #""prompt_tokens":5,"completion_tokens":1.5"#, #""prompt_tokens":1e1"#,
            #""prompt_tokens":99999999999999999999999,"completion_tokens":7"#, #""prompt_tokens":1000000001,"completion_tokens":7"#,
            #""prompt_tokens":"12","completion_tokens":3"#, #""prompt_tokens":12,"completion_tokens":null"#, #""total_tokens":7"#, "",
        ] {
            #expect(tokens(unbelievable) == nil, "\(unbelievable)")
        }
        #expect(tokens(#""prompt_tokens":3,"prompt_tokens_details":{"cached_tokens":null}"#) == TokenUsage(input: 3))
        #expect(tokens(#""prompt_tokens":3,"prompt_tokens_details":{"cached_tokens":8}"#) == TokenUsage(input: 3, cachedInput: 3))
        #expect(
            tokens(#""prompt_tokens":3,"x":{"prompt_tokens":8,"y":[{"completion_tokens":8}]},"completion_tokens":4"#)
                == TokenUsage(input: 3, output: 4))
    }

    @Test func `the text of the model is measured, and nothing else`() {
        #expect(Measured(#"{"choices":[{"message":{"content":"12345","role":"assistant"}}],"model":"long model name"}"#).contentBytes == 5)
        #expect(Measured(#"{"choices":[{"message":{"content":"a\nb"}},{"message":{"reasoning_content":"xyz"}}]}"#).contentBytes == 6)
        #expect(Measured(#"{"choices":[{"text":"1234"}]}"#).contentBytes == 4)
        #expect(Measured(#"{"choices":[{"message":{"tool_calls":[{"function":{"name":"f","arguments":"{}"}}]}}]}"#).contentBytes == 2)
        #expect(Measured(#"{"object":"list","data":[{"embedding":[0.1,-2e-5,3],"index":0}]}"#) == Measured(#"{"data":[]}"#))
    }

    @Test func `errors and wholeness are seen`() {
        #expect(Measured(#"{"error":{"message":"x"}}"#).hasError && Measured(#"{"error":"x"}"#).hasError)
        #expect(!Measured(#"{"error":null}"#).hasError && !Measured(#"{"error":false}"#).hasError && !Measured(#"{"x":{"error":"y"}}"#).hasError)
        #expect(
            Measured("{}").isWhole && !Measured("[]").isWhole && !Measured("{").isWhole && !Measured(#"{"a":"}"#).isWhole
                && !Measured("<html>{}").hasResult)
        #expect(Measured(#"{"a":"\\"}"#).isWhole && !Measured(#"{"a":"\"}"#).isWhole)
    }

    @Test func `any nesting and any bytes end in an answer`() {
        let deep =
            #"{"choices":"# + String(repeating: "[{\"a\":", count: 3_000) + "1" + String(repeating: "}]", count: 3_000)
            + #","usage":\#(AnswerMeterTests.numbers)}"#
        #expect(Measured(deep).usage == AnswerMeterTests.counted && Measured(deep).isWhole)
        var random = SplitMix(seed: 16)
        let letters = Array("{}[]\",:\\usage1-.e tn".utf8)
        for _ in 0..<20_000 {
            let bytes = (0..<Int.random(in: 0...60, using: &random)).map { _ in
                random.chance(oneIn: 10) ? UInt8.random(in: 0...255, using: &random) : letters.randomElement(using: &random) ?? 0
            }
            let place = Int.random(in: 0...bytes.count, using: &random)
            let isSame = Measured([bytes]) == Measured([Array(bytes[..<place]), Array(bytes[place...])])
            if !isSame { Issue.record("\(bytes) cut at \(place)") }
        }
    }
}
