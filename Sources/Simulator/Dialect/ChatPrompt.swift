/// What the simulator wants to know of a chat's messages, read in one walk over their bytes.
struct ChatPrompt {
    var tokens = 3
    var lastRole = ""
    /// The text of the last user message, still escaped as in the request; `nil` when the last message is another's.
    var lastUserText: Range<Int>?

    // An array: six short texts are compared faster than one is hashed.
    private static let roles = ["user", "assistant", "system", "developer", "tool", "function"]
    private static let tokensOfMessage = 4
    private static let tokensOfImage = 85
    private static let tokensOfOtherPart = 100

    /// Checks and measures the messages.
    ///
    /// - Parameter fields: the request; `messages` has been found in it.
    init(_ fields: JSONFields) throws(APIError) {
        guard let range = fields.range("messages"), let kind = fields.kind("messages") else { throw .missing("messages") }
        guard kind == .array else { throw .wrongType("messages", expected: "an array of objects", got: kind) }
        var scanner = JSONScanner(fields.bytes, at: range.lowerBound + 1)
        var first = true
        var index = 0
        do {
            while try scanner.nextElement(first: &first) {
                try read(&scanner, "messages[\(index)]")
                index += 1
            }
        } catch let error as APIError {
            throw error
        } catch {
            throw .malformedBody
        }
        if index == 0 {
            throw .invalid(
                "messages", "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead.",
                code: "empty_array")
        }
    }

    private mutating func read(_ scanner: inout JSONScanner, _ path: @autoclosure () -> String) throws {
        let kind = try scanner.kind()
        guard kind == .object else { throw APIError.wrongType(path(), expected: "an object", got: kind) }
        try scanner.expect(UInt8(ascii: "{"))
        var role: String?
        var content: Range<Int>?
        var contentKind = JSONScanner.Kind.null
        var hasToolCalls = false
        var first = true
        while let key = try scanner.nextKey(first: &first) {
            let kind = try scanner.kind()
            let value = try scanner.skipValue()
            if scanner.text(key, is: "role") {
                guard kind == .string else { throw APIError.wrongType("\(path()).role", expected: "a string", got: kind) }
                role = JSONText.unescaped(scanner.bytes, (value.lowerBound + 1)..<(value.upperBound - 1))
            } else if scanner.text(key, is: "content") {
                content = value
                contentKind = kind
            } else if scanner.text(key, is: "tool_calls") || scanner.text(key, is: "function_call") {
                hasToolCalls = kind != .null
                tokens += (value.count + 3) / 4
            }
        }
        guard let role else { throw APIError.missing("\(path()).role") }
        guard Self.roles.contains(role) else {
            throw APIError.invalid(
                "\(path()).role",
                "Invalid value: '\(role)'. Supported values are: 'system', 'assistant', 'user', 'function', 'tool', and 'developer'.",
                code: "invalid_value")
        }
        lastRole = role
        lastUserText = nil
        tokens += Self.tokensOfMessage
        switch contentKind {
        case .string:
            if let content {
                tokens += (content.count - 2 + 3) / 4
                if role == "user" { lastUserText = content }
            }
        case .array:
            guard let content else { break }
            var parts = JSONScanner(scanner.bytes, at: content.lowerBound)
            tokens += try Self.tokens(ofParts: JSONValue(from: &parts), path())
            if role == "user" { lastUserText = content }
        case .null:
            guard role == "assistant" || hasToolCalls else {
                throw APIError.invalid("\(path()).content", "Invalid value for 'content': expected a string, got null.", code: "invalid_type")
            }
        case .number, .object, .boolean:
            throw APIError.wrongType("\(path()).content", expected: "a string or an array of content parts", got: contentKind)
        }
    }

    private static func tokens(ofParts parts: JSONValue, _ path: String) throws(APIError) -> Int {
        var tokens = 0
        for (index, part) in (parts.arrayValue ?? []).enumerated() {
            let name = "\(path).content[\(index)]"
            guard let type = part["type"]?.stringValue else { throw .missing("\(name).type") }
            switch type {
            case "text":
                guard let text = part["text"]?.stringValue else { throw .missing("\(name).text") }
                tokens += (text.utf8.count + 3) / 4
            case "refusal":
                tokens += ((part["refusal"]?.stringValue ?? "").utf8.count + 3) / 4
            case "image_url":
                guard part["image_url"]?["url"]?.stringValue != nil else { throw .missing("\(name).image_url.url") }
                tokens += tokensOfImage
            case "input_audio", "file":
                tokens += tokensOfOtherPart
            default:
                throw .invalid(
                    "\(name).type", "Invalid value: '\(type)'. Supported values are: 'text', 'image_url', 'input_audio', 'refusal', and 'file'.",
                    code: "invalid_value")
            }
        }
        return tokens
    }
}
