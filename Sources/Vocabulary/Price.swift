/// What a model costs, in nano-dollars per million tokens of each kind.
///
/// A price per token would not be exact: $0.0375 per million is 37.5 nano-dollars a token (PRODUCT C6).
package struct Price: Sendable, Hashable {
    package var input: Int64
    package var output: Int64
    /// Cached prompt tokens; `nil` charges them as `input`.
    package var cachedInput: Int64?
    /// Reasoning tokens; `nil` charges them as `output`.
    package var reasoning: Int64?
    /// Whether this price was configured for the model. `false` marks the conservative price of a model without one.
    package var isKnown: Bool

    package init(input: Int64, output: Int64, cachedInput: Int64? = nil, reasoning: Int64? = nil, isKnown: Bool = true) {
        self.input = input
        self.output = output
        self.cachedInput = cachedInput
        self.reasoning = reasoning
        self.isKnown = isKnown
    }

    /// The dearest price that a configuration may name: $1 000 000 per million tokens.
    package static let perMillionMax: Int64 = 1_000_000_000_000_000

    /// The exact cost of some tokens: multiplied in 128 bits, summed, divided once, rounded half up once.
    ///
    /// - Parameter usage: counts that are clamped first, so the result always fits.
    package func cost(of usage: TokenUsage) -> Money {
        let tokens = usage.clamped
        var sum = Int128(tokens.input - tokens.cachedInput) * Int128(input)
        sum += Int128(tokens.cachedInput) * Int128(cachedInput ?? input)
        sum += Int128(tokens.output - tokens.reasoning) * Int128(output)
        sum += Int128(tokens.reasoning) * Int128(reasoning ?? output)
        let million: Int128 = 1_000_000
        return Money(nanodollars: Int64(clamping: (sum + million / 2) / million))
    }

    /// A short stable fingerprint of the numbers, stored with every usage row so that a past cost can be explained.
    package var version: String {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for part in [input, output, cachedInput ?? -1, reasoning ?? -1, isKnown ? 1 : 0] {
            var rest = UInt64(bitPattern: part)
            for _ in 0..<8 {
                hash = (hash ^ (rest & 0xff)) &* 0x0000_0100_0000_01b3
                rest >>= 8
            }
        }
        let text = String(hash, radix: 16)
        return "p" + String(repeating: "0", count: 16 - text.count) + text
    }
}
