import Simulator
import Testing

@Suite struct SchemaMakerTests {
    private func made(_ schema: String, seed: UInt64) throws -> JSONValue {
        let root = try #require(JSONValue(parsing: schema))
        return try #require(JSONValue(parsing: SchemaMaker(root: root, seed: seed).text()))
    }

    @Test func `an object has its properties in the order of the schema`() throws {
        let schema =
            #"{"type":"object","properties":{"zeta":{"type":"string"},"alpha":{"type":"integer"},"mid":{"type":"boolean"}},"required":["alpha"]}"#
        for seed in UInt64(0)..<20 {
            let members = try #require(try made(schema, seed: seed).members)
            #expect(members.map(\.name) == ["zeta", "alpha", "mid"])
            #expect(members[0].value.stringValue != nil && members[1].value.integerValue != nil && members[2].value.boolValue != nil)
        }
    }

    @Test func `the same seed makes the same value and another seed another`() throws {
        let schema = #"{"type":"object","properties":{"name":{"type":"string"},"tags":{"type":"array","items":{"type":"string"}}}}"#
        #expect(try made(schema, seed: 4) == made(schema, seed: 4))
        #expect(try made(schema, seed: 4) != made(schema, seed: 5))
    }

    @Test(arguments: [
        (#"{"type":"integer","minimum":3,"maximum":5}"#, 3.0, 5.0), (#"{"type":"integer","exclusiveMinimum":3,"exclusiveMaximum":6}"#, 4, 5),
        (#"{"type":"integer","minimum":-7,"multipleOf":5,"maximum":1}"#, -5, 0), (#"{"type":"number","minimum":0,"maximum":1}"#, 0, 1),
        (#"{"type":"number","exclusiveMaximum":-1000}"#, -1100, -1000), (#"{"type":"number","minimum":0.5,"maximum":0.5001}"#, 0.5, 0.5001),
    ])
    func `numbers stay within their bounds`(schema: String, low: Double, high: Double) throws {
        for seed in UInt64(0)..<50 {
            let number = try #require(try made(schema, seed: seed).doubleValue)
            #expect((low...high).contains(number))
        }
    }

    @Test func `texts have the length asked for`() throws {
        for seed in UInt64(0)..<50 {
            let text = try #require(try made(#"{"type":"string","minLength":30,"maxLength":33}"#, seed: seed).stringValue)
            #expect((30...33).contains(text.count))
        }
    }

    @Test func `enumerations and constants are taken literally`() throws {
        let cases = try #require(JSONValue(parsing: #"["a",3,null,{"x":[1]}]"#)?.arrayValue)
        for seed in UInt64(0)..<20 {
            #expect(cases.contains(try made(#"{"enum":["a",3,null,{"x":[1]}]}"#, seed: seed)))
            #expect(try made(#"{"const":{"k":"v"}}"#, seed: seed) == .object([JSONMember("k", .string("v"))]))
        }
    }

    @Test func `a recursive schema ends`() throws {
        let schema = """
            {"$ref":"#/$defs/node","$defs":{"node":{"type":"object","required":["value","next","children"],"properties":{
            "value":{"type":"integer"},"next":{"anyOf":[{"$ref":"#/$defs/node"},{"type":"null"}]},"children":{"type":"array","items":{"$ref":"#/$defs/node"}}}}}}
            """
        func check(_ node: JSONValue) {
            #expect(node["value"]?.integerValue != nil && node["next"] != nil && node["children"]?.arrayValue != nil)
            if let next = node["next"], next != .null { check(next) }
            for child in node["children"]?.arrayValue ?? [] { check(child) }
        }
        for seed in UInt64(0)..<50 { check(try made(schema, seed: seed)) }
    }

    @Test func `a schema that refers to itself alone has no value and still ends`() throws {
        #expect(try made(##"{"$ref":"#"}"##, seed: 1) != .bool(true))
    }

    @Test func `arrays have as many elements as they must and no more than they may`() throws {
        for seed in UInt64(0)..<30 {
            let many = try #require(
                try made(#"{"type":"array","items":{"type":"integer"},"minItems":4,"maxItems":6,"uniqueItems":true}"#, seed: seed).arrayValue)
            #expect((4...6).contains(many.count) && Set(many.compactMap(\.integerValue)).count == many.count)
            let pair = try #require(
                try made(#"{"type":"array","prefixItems":[{"type":"integer"},{"type":"null"}],"items":false}"#, seed: seed).arrayValue)
            #expect(pair.count == 2 && pair[0].integerValue != nil && pair[1] == .null)
        }
    }

    @Test(arguments: ["^[a-z]{3,8}$", #"^\d{4}-\d{2}$"#, "^(foo|ba[rz])+$", "^[^abc]+$", #"^\+?[1-9]\d{1,14}$"#, #"^(?:[A-Z]\w*\s?){1,3}$"#])
    func `a text made for a pattern matches it`(pattern: String) throws {
        let expression = try Regex(pattern)
        var random = SeededRandom(seed: 9)
        for _ in 0..<50 {
            let text = try #require(PatternMaker.text(pattern, &random))
            #expect(text.wholeMatch(of: expression) != nil, "\(text)")
        }
    }

    @Test(arguments: [#"(a)\1"#, "(?=a)b", "a{2", "[a", "*", "(a"])
    func `a pattern that is not understood has no text`(pattern: String) {
        var random = SeededRandom(seed: 1)
        #expect(PatternMaker.text(pattern, &random) == nil)
    }
}
