/// The tools of a chat request and what the caller said about using them.
struct ToolRequest {
    struct Tool: Sendable {
        var name: String
        /// JSON Schema of the arguments; an empty object when there is none.
        var parameters: JSONValue
        /// A custom tool takes free text instead of JSON.
        var isCustom: Bool
    }

    enum Choice {
        case none
        case automatic
        case required
        case named(String)
    }

    var tools: [Tool]
    var choice: Choice
    var allowsParallel: Bool
    /// The length of the definitions as they were sent, for the prompt's tokens.
    var bytes: Int

    /// - Returns: `nil` when the request has no tools.
    init?(_ fields: JSONFields) throws(APIError) {
        guard let kind = fields.kind("tools"), let range = fields.range("tools") else {
            if fields.has("tool_choice") {
                throw .invalid("tool_choice", "Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are specified.")
            }
            return nil
        }
        guard kind == .array, let elements = fields.value("tools")?.arrayValue else { throw .wrongType("tools", expected: "an array", got: kind) }
        if elements.isEmpty { throw .invalid("tools", "Invalid 'tools': empty array. Expected an array with minimum length 1.", code: "empty_array") }
        var tools: [Tool] = []
        for (index, element) in elements.enumerated() { tools.append(try Self.tool(element, "tools[\(index)]")) }
        self.tools = tools
        bytes = range.count
        allowsParallel = try fields.boolean("parallel_tool_calls") ?? true
        choice = try Self.choice(fields.value("tool_choice"), among: &self.tools)
    }

    private static func tool(_ element: JSONValue, _ path: String) throws(APIError) -> Tool {
        guard let type = element["type"]?.stringValue else { throw .missing("\(path).type") }
        guard type == "function" || type == "custom" else {
            throw .invalid("\(path).type", "Invalid value: '\(type)'. Supported values are: 'function' and 'custom'.", code: "invalid_value")
        }
        guard let definition = element[type] else { throw .missing("\(path).\(type)") }
        guard let name = definition["name"]?.stringValue else { throw .missing("\(path).\(type).name") }
        let letters = name.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
                UInt8(ascii: "_"), UInt8(ascii: "-"):
                true
            default: false
            }
        }
        guard letters, (1...64).contains(name.utf8.count) else {
            throw .invalid(
                "\(path).\(type).name",
                "Invalid '\(path).\(type).name': string does not match pattern. Expected a string that matches the pattern "
                    + "'^[a-zA-Z0-9_-]+$' of at most 64 characters.", code: "invalid_value")
        }
        return Tool(name: name, parameters: definition["parameters"] ?? .object([]), isCustom: type == "custom")
    }

    private static func choice(_ value: JSONValue?, among tools: inout [Tool]) throws(APIError) -> Choice {
        switch value {
        case nil: return .automatic
        case .string("none"): return .none
        case .string("auto"): return .automatic
        case .string("required"): return .required
        case .object:
            let type = value?["type"]?.stringValue ?? ""
            if type == "allowed_tools" {
                let allowed = value?["allowed_tools"]
                let names = (allowed?["tools"]?.arrayValue ?? []).compactMap { ($0["function"] ?? $0["custom"])?["name"]?.stringValue }
                tools.removeAll { !names.contains($0.name) }
                return allowed?["mode"]?.stringValue == "required" ? .required : .automatic
            }
            guard let name = value?[type]?["name"]?.stringValue else { throw .missing("tool_choice.function.name") }
            guard tools.contains(where: { $0.name == name }) else {
                throw .invalid("tool_choice", "Tool choice '\(name)' not found in 'tools' parameter.")
            }
            return .named(name)
        default:
            throw .invalid(
                "tool_choice", "Invalid value for 'tool_choice'. Supported values are: 'none', 'auto', 'required', or a named tool.",
                code: "invalid_value")
        }
    }

    /// The tools that the answer calls, at most two; empty for an answer in words.
    ///
    /// - Parameter lastUserText: the last message when the user wrote it. Without a demand by `tool_choice`, it has to mention a tool, the word "tool" or the weather.
    func called(lastUserText: String?) -> [Tool] {
        let text = lastUserText?.lowercased() ?? ""
        let mentioned = tools.filter { text.contains($0.name.lowercased()) }
        switch choice {
        case .none: return []
        case .named(let name): return tools.filter { $0.name == name }
        case .automatic where mentioned.isEmpty && !text.contains("tool") && !text.contains("weather"): return []
        case .automatic, .required:
            let others = tools.filter { tool in !mentioned.contains { $0.name == tool.name } }
            return Array((mentioned + others).prefix(allowsParallel ? 2 : 1))
        }
    }
}
