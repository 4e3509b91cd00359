import NIOCore

/// A chat completion, decided but not yet written: the plain and the streamed form come from the same value.
struct ChatAnswer: Sendable {
    /// The same in every answer, like that of a model whose backend never changes.
    static let fingerprint: StaticString = "fp_5a3c9e1b70"

    var id: UInt64
    var created: Int
    var model: String
    var choices: [AnswerChoice]
    var topLogprobs: Int?
    /// `nil` leaves usage out altogether.
    var usage: UsageCounts?
    var includesUsage: Bool

    /// Tokens of all choices that the answer shows, which is also its number of content frames.
    var tokens: Int { choices.reduce(0) { $0 + $1.content.tokens } }

    init(_ request: ChatRequest, _ controls: RequestControls, id: UInt64) {
        self.id = id
        created = Clock.unixSeconds()
        model = request.model
        topLogprobs = request.topLogprobs
        includesUsage = request.includesUsage && !controls.omitsUsage
        // A reasoning model thinks first: its thoughts come out of the same allowance.
        let reasoning = min(request.reasoningTokens, request.maximumTokens ?? request.reasoningTokens)
        let limit = request.maximumTokens.map { $0 - reasoning }
        choices = (0..<request.choices).map { index in
            Self.choice(request, controls, seed: SeededRandom.mix(request.contentHash &+ UInt64(index)), limit: limit)
        }
        if !controls.omitsUsage {
            let shown = choices.reduce(0) { $0 + $1.content.tokens }
            usage = UsageCounts(
                prompt: request.prompt.tokens, completion: shown + reasoning * request.choices, reasoning: reasoning * request.choices,
                controls: controls)
        }
    }

    private static func choice(_ request: ChatRequest, _ controls: RequestControls, seed: UInt64, limit: Int?) -> AnswerChoice {
        if let fixed = controls.fixed?.choice(seed: seed, limit: limit) { return fixed }
        if let tools = request.tools?.called(lastUserText: request.lastUserText), !tools.isEmpty {
            return .pieces(ToolCallMaker.pieces(tools, seed: seed), limit: limit, reason: "tool_calls", seed: seed)
        }
        let json: String? =
            switch request.format {
            case .text: nil
            case .jsonObject: SchemaMaker(root: Self.anyObject, seed: seed).text()
            case .schema(let schema): SchemaMaker(root: schema, seed: seed).text()
            }
        if let json { return .pieces(tokenPieces(json).map { .text($0) }, limit: limit, reason: "stop", seed: seed) }
        let wanted = controls.tokens ?? 16 + Int(truncatingIfNeeded: seed >> 8) & 63 % 49
        return .text(seed: seed, wanted: wanted, limit: limit, stops: request.stops, keepsPieces: request.topLogprobs != nil)
    }

    /// What an answer in JSON mode looks like when there is no schema.
    private static let anyObject = JSONValue.object([
        JSONMember("type", .string("object")),
        JSONMember(
            "properties",
            .object([
                JSONMember("answer", .object([JSONMember("type", .string("string"))])),
                JSONMember(
                    "confidence",
                    .object([JSONMember("type", .string("number")), JSONMember("minimum", .number("0")), JSONMember("maximum", .number("1"))])),
                JSONMember("topics", .object([JSONMember("type", .string("array"))])),
            ])),
    ])

    /// The plain answer.
    func body() -> ByteBuffer {
        var buffer = ByteBufferAllocator().buffer(capacity: 768 + 8 * tokens)
        buffer.writeStaticString("{\"id\":\"chatcmpl-")
        buffer.writeHex16(id)
        buffer.writeStaticString("\",\"object\":\"chat.completion\",\"created\":")
        buffer.writeDecimal(created)
        buffer.writeStaticString(",\"model\":")
        buffer.writeJSON(model)
        buffer.writeStaticString(",\"choices\":[")
        for (index, choice) in choices.enumerated() {
            if index > 0 { buffer.writeStaticString(",") }
            write(choice, at: index, into: &buffer)
        }
        buffer.writeStaticString("]")
        if let usage {
            buffer.writeStaticString(",\"usage\":")
            usage.write(into: &buffer)
        }
        buffer.writeStaticString(",\"service_tier\":\"default\",\"system_fingerprint\":\"")
        buffer.writeStaticString(Self.fingerprint)
        buffer.writeStaticString("\"}")
        return buffer
    }

    private func write(_ choice: AnswerChoice, at index: Int, into buffer: inout ByteBuffer) {
        buffer.writeStaticString("{\"index\":")
        buffer.writeDecimal(index)
        buffer.writeStaticString(",\"message\":{\"role\":\"assistant\",\"content\":")
        switch choice.content {
        case .words(var words, let count):
            buffer.writeStaticString("\"")
            for _ in 0..<count { buffer.writeString(words.next()) }
            buffer.writeStaticString("\"")
        case .pieces where choice.content.hasToolCalls:
            buffer.writeStaticString("null")
        case .pieces(let pieces):
            buffer.writeStaticString("\"")
            for case .text(let text) in pieces { buffer.writeJSONContent(text) }
            buffer.writeStaticString("\"")
        }
        if case .pieces(let pieces) = choice.content, choice.content.hasToolCalls { Self.writeToolCalls(pieces, into: &buffer) }
        buffer.writeStaticString(",\"refusal\":null,\"annotations\":[]},\"logprobs\":")
        if let topLogprobs, case .pieces(let pieces) = choice.content, !choice.content.hasToolCalls {
            LogProbabilities(seed: choice.seed, alternatives: topLogprobs).writeChat(pieces, from: 0, into: &buffer)
        } else {
            buffer.writeStaticString("null")
        }
        buffer.writeStaticString(",\"finish_reason\":\"")
        buffer.writeString(choice.finishReason)
        buffer.writeStaticString("\"}")
    }

    private static func writeToolCalls(_ pieces: [AnswerPiece], into buffer: inout ByteBuffer) {
        buffer.writeStaticString(",\"tool_calls\":[")
        for piece in pieces {
            guard case .callStart(let index, let id, let name, let isCustom) = piece else { continue }
            var arguments = ""
            for case .callArguments(index, let fragment) in pieces { arguments += fragment }
            if index > 0 { buffer.writeStaticString(",") }
            buffer.writeStaticString("{\"id\":")
            buffer.writeJSON(id)
            buffer.writeStaticString(isCustom ? ",\"type\":\"custom\",\"custom\":{\"name\":" : ",\"type\":\"function\",\"function\":{\"name\":")
            buffer.writeJSON(name)
            buffer.writeStaticString(isCustom ? ",\"input\":" : ",\"arguments\":")
            buffer.writeJSON(arguments)
            buffer.writeStaticString("}}")
        }
        buffer.writeStaticString("]")
    }
}
