/// A chat completion request, checked as OpenAI checks it.
struct ChatRequest {
    enum Format {
        case text
        case jsonObject
        case schema(JSONValue)
    }

    var model: String
    var streams: Bool
    var includesUsage: Bool
    var maximumTokens: Int?
    var choices: Int
    /// How many alternatives each token's log probability has; `nil` for no log probabilities.
    var topLogprobs: Int?
    var stops: [String]
    var prompt: ChatPrompt
    var format: Format
    var tools: ToolRequest?
    /// The last message when the user wrote it and the request has tools, its escapes as they were sent: enough to look for words in it.
    var lastUserText: String?
    var reasoningTokens: Int
    /// Equal for requests with the same answer: model, messages, tools, format and seed.
    var contentHash: UInt64

    init(_ bytes: UnsafeRawBufferPointer, _ controls: RequestControls) throws(APIError) {
        let fields = try JSONFields(bytes)
        model = try ChatRequest.model(fields)
        prompt = try ChatPrompt(fields)
        streams = try fields.boolean("stream") ?? false
        includesUsage = try ChatRequest.includesUsage(fields, streams: streams)
        let newer = try fields.integer("max_completion_tokens", in: 1...Int(Int32.max))
        let older = try fields.integer("max_tokens", in: 1...Int(Int32.max))
        if newer != nil, older != nil {
            throw .invalid(
                "max_tokens", "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.",
                code: "invalid_parameter_combination")
        }
        maximumTokens = newer ?? older
        choices = try fields.integer("n", in: 1...128) ?? 1
        let wantsLogprobs = try fields.boolean("logprobs") ?? false
        let alternatives = try fields.integer("top_logprobs", in: 0...20)
        if alternatives != nil, !wantsLogprobs {
            throw .invalid("top_logprobs", "'top_logprobs' is only allowed when 'logprobs' is enabled.")
        }
        topLogprobs = wantsLogprobs ? alternatives ?? 0 : nil
        stops = try ChatRequest.stops(fields)
        try fields.checkNumber("temperature", in: 0...2)
        try fields.checkNumber("top_p", in: 0...1)
        try fields.checkNumber("frequency_penalty", in: -2...2)
        try fields.checkNumber("presence_penalty", in: -2...2)
        format = try ChatRequest.format(fields)
        tools = try ToolRequest(fields)
        if let tools {
            prompt.tokens += (tools.bytes + 3) / 4
            lastUserText = prompt.lastUserText.map { String(decoding: bytes[$0], as: UTF8.self) }
        }
        let thinking = try ChatRequest.reasoningTokens(fields, model)
        reasoningTokens = controls.reasoningTokens ?? thinking
        contentHash = try ChatRequest.hash(fields, model, controls)
    }

    /// The model's name, which every endpoint requires; names that begin with `unknown` do not exist here.
    static func model(_ fields: JSONFields) throws(APIError) -> String {
        guard let model = try fields.string("model"), !model.isEmpty else { throw .invalid("model", "you must provide a model parameter") }
        if model.hasPrefix("unknown") { throw .unknownModel(model) }
        return model
    }

    static func includesUsage(_ fields: JSONFields, streams: Bool) throws(APIError) -> Bool {
        guard let kind = fields.kind("stream_options") else { return false }
        guard kind == .object, let options = fields.value("stream_options") else {
            throw .wrongType("stream_options", expected: "an object", got: kind)
        }
        guard streams else {
            throw .invalid("stream_options", "The 'stream_options' parameter is only allowed when 'stream' is enabled.")
        }
        return options["include_usage"]?.boolValue ?? false
    }

    static func stops(_ fields: JSONFields) throws(APIError) -> [String] {
        guard let kind = fields.kind("stop") else { return [] }
        switch fields.value("stop") {
        case .string(let stop): return [stop]
        case .array(let stops):
            if stops.count > 4 {
                throw .invalid(
                    "stop",
                    "Invalid 'stop': array too long. Expected an array with maximum length 4, but got an array with length \(stops.count) instead.",
                    code: "array_above_max_length")
            }
            let texts = stops.compactMap(\.stringValue)
            guard texts.count == stops.count else { throw .wrongType("stop", expected: "a string or an array of strings", got: kind) }
            return texts
        default: throw .wrongType("stop", expected: "a string or an array of strings", got: kind)
        }
    }

    private static func format(_ fields: JSONFields) throws(APIError) -> Format {
        guard let kind = fields.kind("response_format") else { return .text }
        guard kind == .object, let format = fields.value("response_format") else {
            throw .wrongType("response_format", expected: "an object", got: kind)
        }
        switch format["type"]?.stringValue {
        case "text": return .text
        case "json_object":
            let text = fields.range("messages").map { String(decoding: fields.bytes[$0], as: UTF8.self) } ?? ""
            guard text.lowercased().contains("json") else {
                throw .invalid(
                    "messages", "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.")
            }
            return .jsonObject
        case "json_schema":
            guard let description = format["json_schema"] else { throw .missing("response_format.json_schema") }
            guard description["name"]?.stringValue != nil else { throw .missing("response_format.json_schema.name") }
            guard let schema = description["schema"] else { throw .missing("response_format.json_schema.schema") }
            return .schema(schema)
        case let other?:
            throw .invalid(
                "response_format.type", "Invalid value: '\(other)'. Supported values are: 'json_object', 'json_schema', and 'text'.",
                code: "invalid_value")
        case nil: throw .missing("response_format.type")
        }
    }

    /// Reasoning models think before they answer, others only when told to.
    private static func reasoningTokens(_ fields: JSONFields, _ model: String) throws(APIError) -> Int {
        let effort = try fields.string("reasoning_effort")
        guard effort != nil || ["o1", "o3", "o4", "gpt-5"].contains(where: { model.hasPrefix($0) }) else { return 0 }
        return switch effort {
        case "none", "minimal": 0
        case "low": 16
        case "high", "xhigh": 128
        default: 64
        }
    }

    private static func hash(_ fields: JSONFields, _ model: String, _ controls: RequestControls) throws(APIError) -> UInt64 {
        var hash = ContentHash()
        hash.add(model)
        for name: StaticString in ["messages", "tools", "response_format"] {
            if let range = fields.range(name) { hash.add(fields.bytes, range) }
        }
        let seed = try fields.integer("seed", in: Int.min...Int.max)
        if let seed = controls.seed ?? seed { hash.add(UInt64(bitPattern: Int64(seed))) }
        return hash.value
    }
}
