import NIOCore

/// The tokens of a call, in OpenAI's `usage` shape.
///
/// The rule: a prompt token is four bytes of text, rounded up per message, plus four a message and three a prompt (an image, a file
/// or a sound is a fixed number); a completion token is one frame of the stream, and a plain answer counts the frames it would have had.
struct UsageCounts: Sendable {
    var prompt: Int
    var cached: Int
    /// Reasoning included.
    var completion: Int
    var reasoning: Int

    /// Prompts from 1024 tokens on have half of it cached, in steps of 128, so that the same prompt always counts the same.
    static func cached(ofPrompt prompt: Int) -> Int { prompt < 1024 ? 0 : prompt / 2 / 128 * 128 }

    init(prompt: Int, completion: Int, reasoning: Int, controls: RequestControls) {
        self.prompt = controls.promptTokens ?? prompt
        cached = min(controls.cachedTokens ?? Self.cached(ofPrompt: self.prompt), self.prompt)
        self.completion = completion
        self.reasoning = reasoning
    }

    func write(into buffer: inout ByteBuffer) {
        buffer.writeStaticString("{\"prompt_tokens\":")
        buffer.writeDecimal(prompt)
        buffer.writeStaticString(",\"completion_tokens\":")
        buffer.writeDecimal(completion)
        buffer.writeStaticString(",\"total_tokens\":")
        buffer.writeDecimal(prompt + completion)
        buffer.writeStaticString(",\"prompt_tokens_details\":{\"cached_tokens\":")
        buffer.writeDecimal(cached)
        buffer.writeStaticString(",\"audio_tokens\":0},\"completion_tokens_details\":{\"reasoning_tokens\":")
        buffer.writeDecimal(reasoning)
        buffer.writeStaticString(",\"audio_tokens\":0,\"accepted_prediction_tokens\":0,\"rejected_prediction_tokens\":0}}")
    }
}
