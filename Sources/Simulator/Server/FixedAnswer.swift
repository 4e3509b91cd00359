import NIOCore

/// What a script says that an answer is, in place of what the seed would make of it.
final class FixedAnswer: Sendable {
    /// One call of a tool.
    struct ToolCall: Sendable {
        var name: String
        /// JSON text, or whatever a broken model would write.
        var arguments: String
    }

    /// What the model says.
    let text: String?
    let toolCalls: [ToolCall]
    let finishReason: String?
    /// The status of `body`.
    let status: Int
    let headers: [(name: String, value: String)]
    /// The body, sent as it is.
    let body: ByteBuffer?
    /// All bytes of the answer, the head too.
    let raw: ByteBuffer?

    init(
        text: String? = nil, toolCalls: [ToolCall] = [], finishReason: String? = nil, status: Int = 200,
        headers: [(name: String, value: String)] = [], body: ByteBuffer? = nil, raw: ByteBuffer? = nil
    ) {
        self.text = text
        self.toolCalls = toolCalls
        self.finishReason = finishReason
        self.status = status
        self.headers = headers
        self.body = body
        self.raw = raw
    }

    /// The words or the calls of one choice; `nil` leaves them to the seed.
    func choice(seed: UInt64, limit: Int?) -> AnswerChoice? {
        if !toolCalls.isEmpty {
            var random = SeededRandom(seed: seed)
            var pieces: [AnswerPiece] = []
            for (index, call) in toolCalls.enumerated() {
                pieces.append(.callStart(index: index, id: ToolCallMaker.identifier(&random), name: call.name, isCustom: false))
                pieces += tokenPieces(call.arguments).map { .callArguments(index: index, $0) }
            }
            return .pieces(pieces, limit: limit, reason: finishReason ?? "tool_calls", seed: seed)
        }
        guard let text else { return nil }
        return .pieces(tokenPieces(text).map { .text($0) }, limit: limit, reason: finishReason ?? "stop", seed: seed)
    }
}
