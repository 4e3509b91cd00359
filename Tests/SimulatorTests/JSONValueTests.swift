import Simulator
import Testing

@Suite struct JSONValueTests {
    @Test(arguments: [
        #"{"a":[1,-2.5e3,true,false,null,"x"],"b":{}}"#, "[]", "0", #""\u00e9""#, #"{"a":1,"a":2}"#,
    ])
    func `what is JSON is read and written again`(text: String) throws {
        let value = try #require(JSONValue(parsing: text))
        #expect(JSONValue(parsing: value.text) == value)
    }

    @Test(arguments: [
        "", "{", "{]", #"{"a"}"#, #"{"a":}"#, #"{"a":1,}"#, "[1,]", "[1 2]", "01", "1.", ".5", "+1", "1e", "tru", "nul", "\"", #""\x""#, #""\u12g4""#,
        "\"\u{01}\"", "1 2",
        "{'a':1}",
    ])
    func `what is not JSON is refused`(text: String) {
        #expect(JSONValue(parsing: text) == nil)
    }

    @Test func `too deep nesting is refused and does not end the process`() {
        #expect(JSONValue(parsing: String(repeating: "[", count: 100_000)) == nil)
        #expect(JSONValue(parsing: String(repeating: "[", count: 100) + String(repeating: "]", count: 100)) != nil)
    }

    @Test func `escapes and surrogate pairs become characters`() {
        #expect(JSONValue(parsing: #""a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00""#) == .string("a\"\\/\u{08}\u{0C}\n\r\té😀"))
        #expect(JSONValue(parsing: #""\ud83d!""#) == .string("\u{FFFD}!"))
    }

    @Test func `special characters are escaped and others are not`() {
        #expect(JSONValue.string("a\"\\\n\r\t\u{01}é😀").text == #""a\"\\\n\r\t\u0001é😀""#)
    }

    @Test func `a special character is found at every place of a long text`() {
        for place in 0..<40 {
            var text = Array(repeating: "x", count: 40)
            text[place] = "\""
            #expect(JSONValue(parsing: "\"" + text.joined() + "\"") == nil)
            text[place] = "\u{1F}"
            #expect(JSONValue(parsing: "\"" + text.joined() + "\"") == nil)
            text[place] = "é"
            #expect(JSONValue(parsing: "\"" + text.joined() + "\"") == .string(text.joined()))
        }
    }
}
