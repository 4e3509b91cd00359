import Dialects
import NIOCore
import Testing
import Vocabulary

/// Answers that nobody could read, and counts that no call can have.
@Suite struct BrokenAnswerTests {
    private func meter(_ text: String) -> OpenAIAnswerMeter {
        var meter = OpenAIAnswerMeter()
        meter.feed(ByteBuffer(string: text))
        return meter
    }

    /// What a scanner passes on, and what it thinks of the stream.
    private func scanned(_ bytes: [UInt8], step: Int) -> (output: String, scanner: OpenAIStreamScanner) {
        var scanner = OpenAIStreamScanner(hidesUsage: true)
        var output = ByteBuffer()
        for start in stride(from: 0, to: bytes.count, by: step) {
            if var part = scanner.feed(ByteBuffer(bytes: bytes[start..<min(start + step, bytes.count)])) { output.writeBuffer(&part) }
        }
        if var rest = scanner.rest() { output.writeBuffer(&rest) }
        return (String(buffer: output), scanner)
    }

    @Test(arguments: [
        #"{"choices":[]}"#, "\u{feff}{\"choices\":[ ]}\n", #"{"choices":[{"a":null,"b":true,"c":false,"d":-1.5e+3}]}"#, "\n\n {\"choices\":[]} \r\n",
    ]) func `a whole object is one`(text: String) {
        #expect(meter(text).isWholeObject)
    }

    @Test(arguments: [
        #"{"choices":[}"#, #"{"choices":[]]"#, #"{"choices":[undefined]}"#, #"{"choices":[NaN]}"#, #"{"choices":['a']}"#, #"{"choices":[]"#, "[]",
        "]", "",
        #"{"choices":[],"a":{"b":[1,2}}"#, "<html>{}</html>{",
        #"{"choices":[]}abc"#, #"{"choices":[]}{"choices":[]}"#, #"{"choices":[]}}"#, "{\"choices\":[]}\n\n x", "{\"choices\":[]}\0",
    ]) func `what is cut or malformed is none`(text: String) {
        #expect(!meter(text).isWholeObject)
        var cut = OpenAIAnswerMeter()
        for byte in text.utf8 { cut.feed(ByteBuffer(bytes: [byte])) }
        #expect(!cut.isWholeObject)
    }

    @Test func `what stands behind the end is not read, however it is cut`() {
        let text = #"{"choices":[]}x{"error":1,"usage":{"prompt_tokens":1,"completion_tokens":2}}"#
        var cut = OpenAIAnswerMeter()
        for byte in text.utf8 { cut.feed(ByteBuffer(bytes: [byte])) }
        for meter in [cut, meter(text)] { #expect(!meter.isWholeObject && !meter.hasError && meter.usage == nil && meter.hasResult) }
    }

    @Test(
        arguments: [
            #"data: {"choices":[{"delta":{"content":undefined}}]}"#, #"data: {"choices":[{"delta":{"content":"x"}]}"#, "data: {\"choices\":[",
            #"data: {"choices""#, #"data: {"choices":[{"delta":{"content":"b"}}]}abc"#, #"data: {"choices":[]}{"choices":[]}"#,
        ], [1, 3, 1000]) func `an event that nobody can read ends what is passed on`(broken: String, step: Int)
    {
        let good = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n"
        let (output, scanner) = scanned(Array("\(good): ping\n\n\(broken)\n\n\(good)data: [DONE]\n\n".utf8), step: step)
        #expect(output == "\(good): ping\n\n" && scanner.isBroken && !scanner.isDone && scanner.contentEvents == 1)
    }

    @Test(arguments: [1, 7, 1000]) func `bytes that are no UTF-8 are an event that nobody can read`(step: Int) {
        let good = "data: {\"choices\":[{\"delta\":{\"content\":\"ünï🐦\"}}]}\n\n"
        let broken: [UInt8] = Array("data: {\"choices\":[{\"delta\":{\"content\":\"".utf8) + [0xE2, 0x82] + Array("\"}}]}\n\n".utf8)
        let (output, scanner) = scanned(Array(good.utf8) + broken, step: step)
        #expect(output == good && scanner.isBroken)
        #expect(OpenAIAnswerMeter.isUTF8(ByteBuffer(string: good)) && !OpenAIAnswerMeter.isUTF8(ByteBuffer(bytes: broken)))
        #expect(OpenAIAnswerMeter.isUTF8(ByteBuffer()))
    }

    @Test(arguments: ["data", "data:", "data: ", "data: {", "data: {\"choices\":[]", ": comm", "event: x\ndata: "])
    func `half an event at the end is not passed on`(half: String) {
        let good = "data: {\"choices\":[]}\n\n"
        for step in [1, 1000] { #expect(scanned(Array((good + half).utf8), step: step).output == good) }
    }

    @Test func `a chunk of usage that only we asked for is hidden, whatever stands in it`() {
        for counts in [#""prompt_tokens":"3""#, #""prompt_tokens":-3,"completion_tokens":1"#, #""prompt_tokens":1e99"#, #""prompt_tokens":3.5"#] {
            let (output, scanner) = scanned(Array("data: {\"choices\":[],\"usage\":{\(counts)}}\n\ndata: [DONE]\n\n".utf8), step: 1000)
            #expect(output.isEmpty && scanner.usage == nil && scanner.isDone, "\(counts)")
        }
    }

    @Test func `more tokens than a call can have are not believed`() {
        func usage(_ prompt: Int, _ completion: Int, text: Int = 0) -> TokenUsage? {
            let content = String(repeating: "x", count: text)
            return meter(
                #"{"choices":[{"message":{"content":"\#(content)"}}],"usage":{"prompt_tokens":\#(prompt),"completion_tokens":\#(completion)}}"#
            ).usage
        }
        #expect(usage(20_000_000, 1_000_000) == TokenUsage(input: 20_000_000, output: 1_000_000))
        #expect(usage(20_000_001, 1) == nil && usage(1, 1_000_001) == nil)
        #expect(usage(1, 1_000_500, text: 500) == TokenUsage(input: 1, output: 1_000_500))
        let said = "data: {\"choices\":[{\"delta\":{\"content\":\"\(String(repeating: "y", count: 500))\"}}]}\n\n"
        let told = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1000500}}\n\n"
        #expect(scanned(Array((said + told).utf8), step: 50).scanner.usage == TokenUsage(input: 1, output: 1_000_500))
        #expect(scanned(Array(told.utf8), step: 50).scanner.usage == nil)
    }

    @Test func `the provider's own error is kept as it came`() {
        let (_, scanner) = scanned(Array("event: error\ndata: {\"error\":\ndata: {\"message\":\"no\"}}\n\n".utf8), step: 5)
        #expect(scanner.hasError && !scanner.isEmpty)
        #expect(scanner.errorEvent.map { String(buffer: $0.eventData) } == #"{"error":{"message":"no"}}"#)
        #expect(scanned(Array("data: {}\n\ndata: [DONE]\n\n".utf8), step: 5).scanner.isEmpty)
    }
}
