/// The tokens of one call, by kind.
///
/// Counted the way OpenAI counts: `cachedInput` is a part of `input`, and `reasoning` a part of `output`.
package struct TokenUsage: Sendable, Hashable {
    /// All prompt tokens, cached ones included.
    package var input: Int64
    /// The prompt tokens that the provider read from its own cache.
    package var cachedInput: Int64
    /// All completion tokens, reasoning included.
    package var output: Int64
    /// The completion tokens that were spent on reasoning.
    package var reasoning: Int64
    /// Whether the provider gave no counts and these are our own estimate (PRODUCT A10).
    package var isEstimate: Bool

    package init(input: Int64 = 0, cachedInput: Int64 = 0, output: Int64 = 0, reasoning: Int64 = 0, isEstimate: Bool = false) {
        self.input = input
        self.cachedInput = cachedInput
        self.output = output
        self.reasoning = reasoning
        self.isEstimate = isEstimate
    }

    /// Prompt and completion tokens together.
    package var total: Int64 { input &+ output }

    /// The most tokens of one kind that a single call is believed to have; a provider that claims more is clamped.
    ///
    /// It keeps the cost of one call inside `Int64` at any price that the configuration accepts.
    package static let countMax: Int64 = 1_000_000_000

    /// The same counts with every kind forced into `0...countMax` and parts no larger than their whole.
    package var clamped: TokenUsage {
        let input = Swift.min(Swift.max(input, 0), TokenUsage.countMax)
        let output = Swift.min(Swift.max(output, 0), TokenUsage.countMax)
        return TokenUsage(
            input: input,
            cachedInput: Swift.min(Swift.max(cachedInput, 0), input),
            output: output,
            reasoning: Swift.min(Swift.max(reasoning, 0), output),
            isEstimate: isEstimate
        )
    }
}
