import NIOCore

/// A legacy completion: the request checked and the answer decided.
struct CompletionAnswer: Sendable {
    private static let usualMaximumTokens = 16

    var id: UInt64
    var created: Int
    var model: String
    var streams: Bool
    /// Each with the prompt to put before it, when the caller wants an echo.
    var choices: [(choice: AnswerChoice, echo: String)]
    var logprobs: Int?
    /// The tokens of all prompts.
    var promptTokens: Int
    var usage: UsageCounts?
    var includesUsage: Bool

    var tokens: Int { choices.reduce(0) { $0 + $1.choice.content.tokens } }

    init(_ bytes: UnsafeRawBufferPointer, _ controls: RequestControls, id: UInt64) throws(APIError) {
        let fields = try JSONFields(bytes)
        self.id = id
        created = Clock.unixSeconds()
        model = try ChatRequest.model(fields)
        streams = try fields.boolean("stream") ?? false
        includesUsage = try ChatRequest.includesUsage(fields, streams: streams) && !controls.omitsUsage
        let prompts = try TextInput.read("prompt", fields)
        promptTokens = prompts.reduce(0) { $0 + $1.tokens }
        let maximum = try fields.integer("max_tokens", in: 0...Int(Int32.max)) ?? Self.usualMaximumTokens
        let count = try fields.integer("n", in: 1...128) ?? 1
        logprobs = try fields.integer("logprobs", in: 0...5)
        let echoes = try fields.boolean("echo") ?? false
        let stops = try ChatRequest.stops(fields)
        try fields.checkNumber("temperature", in: 0...2)
        try fields.checkNumber("top_p", in: 0...1)
        let seed = try fields.integer("seed", in: Int.min...Int.max)
        choices = []
        for prompt in prompts {
            var hash = ContentHash()
            hash.add(model)
            hash.add(prompt.text)
            if let seed = controls.seed ?? seed { hash.add(UInt64(bitPattern: Int64(seed))) }
            for index in 0..<count {
                let seed = SeededRandom.mix(hash.value &+ UInt64(index))
                let wanted = controls.tokens ?? 16 + Int(truncatingIfNeeded: seed >> 8) & 63 % 49
                let choice =
                    controls.fixed?.choice(seed: seed, limit: maximum)
                    ?? AnswerChoice.text(seed: seed, wanted: wanted, limit: maximum, stops: stops, keepsPieces: logprobs != nil)
                choices.append((choice, echoes ? prompt.text : ""))
            }
        }
        if !controls.omitsUsage {
            usage = UsageCounts(prompt: promptTokens, completion: tokens, reasoning: 0, controls: controls)
        }
    }

    /// The plain answer.
    func body() -> ByteBuffer {
        var buffer = ByteBufferAllocator().buffer(capacity: 768 + 8 * tokens)
        writeEnvelope(&buffer)
        for (index, entry) in choices.enumerated() {
            if index > 0 { buffer.writeStaticString(",") }
            var text = entry.echo
            var tokens: [String] = entry.echo.isEmpty ? [] : [entry.echo]
            switch entry.choice.content {
            case .words(var words, let count):
                for _ in 0..<count { text += words.next() }
            case .pieces(let pieces):
                for case .text(let token) in pieces {
                    text += token
                    tokens.append(token)
                }
            }
            buffer.writeStaticString("{\"text\":")
            buffer.writeJSON(text)
            writeRest(of: entry.choice, at: index, tokens: tokens, position: 0, textOffset: 0, isLast: true, into: &buffer)
        }
        buffer.writeStaticString("]")
        if let usage {
            buffer.writeStaticString(",\"usage\":")
            usage.write(into: &buffer)
        }
        buffer.writeStaticString("}")
        return buffer
    }

    func writeEnvelope(_ buffer: inout ByteBuffer) {
        buffer.writeStaticString("{\"id\":\"cmpl-")
        buffer.writeHex16(id)
        buffer.writeStaticString("\",\"object\":\"text_completion\",\"created\":")
        buffer.writeDecimal(created)
        buffer.writeStaticString(",\"model\":")
        buffer.writeJSON(model)
        buffer.writeStaticString(",\"choices\":[")
    }

    /// Writes what follows a choice's text.
    func writeRest(
        of choice: AnswerChoice, at index: Int, tokens: [String], position: Int, textOffset: Int, isLast: Bool, into buffer: inout ByteBuffer
    ) {
        buffer.writeStaticString(",\"index\":")
        buffer.writeDecimal(index)
        buffer.writeStaticString(",\"logprobs\":")
        if let logprobs, !tokens.isEmpty {
            LogProbabilities(seed: choice.seed, alternatives: logprobs)
                .writeLegacy(tokens, from: position, textOffset: textOffset, into: &buffer)
        } else {
            buffer.writeStaticString("null")
        }
        buffer.writeStaticString(",\"finish_reason\":")
        buffer.writeJSON(isLast ? choice.finishReason : nil as String?)
        buffer.writeStaticString("}")
    }
}
