import MartletTestKit
import Testing
import Vocabulary

@Suite struct PriceTests {
    /// The sum of the products, in decimal digits, so that the reference shares no arithmetic with what it checks.
    private func reference(_ parts: [(tokens: Int64, price: Int64)]) -> Int64 {
        var digits = [Int](repeating: 0, count: 60)
        for part in parts {
            let left = String(part.tokens).utf8.reversed().map { Int($0) - 48 }
            let right = String(part.price).utf8.reversed().map { Int($0) - 48 }
            for (i, a) in left.enumerated() {
                for (j, b) in right.enumerated() { digits[i + j] += a * b }
            }
        }
        // Half a nano-dollar, then the last six digits fall away: rounding half up.
        digits[5] += 5
        for place in 0..<59 {
            digits[place + 1] += digits[place] / 10
            digits[place] %= 10
        }
        return digits[6...].reversed().reduce(Int64(0)) { $0 * 10 + Int64($1) }
    }

    @Test func `a cost is exact for any tokens at any price`() {
        var random = SplitMix(seed: 2)
        func small(_ limit: Int64) -> Int64 { Int64.random(in: 0...limit, using: &random) >> Int64.random(in: 0..<50, using: &random) }
        for _ in 0..<5_000 {
            let price = Price(
                input: small(Price.perMillionMax), output: small(Price.perMillionMax),
                cachedInput: random.chance(oneIn: 2) ? small(Price.perMillionMax) : nil,
                reasoning: random.chance(oneIn: 2) ? small(Price.perMillionMax) : nil)
            let input = small(TokenUsage.countMax)
            let output = small(TokenUsage.countMax)
            let cached = Int64.random(in: 0...input, using: &random)
            let reasoning = Int64.random(in: 0...output, using: &random)
            let cost = price.cost(of: TokenUsage(input: input, cachedInput: cached, output: output, reasoning: reasoning))
            let expected = reference([
                (input - cached, price.input), (cached, price.cachedInput ?? price.input), (output - reasoning, price.output),
                (reasoning, price.reasoning ?? price.output),
            ])
            #expect(cost.nanodollars == expected)
        }
    }

    @Test(arguments: [(1, 499_999, 0), (1, 500_000, 1), (3, 500_000, 2), (1, 1_499_999, 1), (1, 1_500_000, 2), (5, 100_000, 1), (4, 100_000, 0)])
    func `half a nano-dollar is rounded up, once`(tokens: Int64, price: Int64, expected: Int64) {
        #expect(Price(input: price, output: 0).cost(of: TokenUsage(input: tokens)).nanodollars == expected)
        // Split over two kinds the halves are summed before they are rounded.
        #expect(
            Price(input: price, output: price).cost(of: TokenUsage(input: tokens, output: tokens)).nanodollars == (tokens * price * 2 + 500_000)
                / 1_000_000)
    }

    @Test func `the dearest call of all fits`() {
        let price = Price(input: Price.perMillionMax, output: Price.perMillionMax)
        let cost = price.cost(of: TokenUsage(input: .max, output: .max))
        #expect(cost.nanodollars == 2 * TokenUsage.countMax * 1_000_000_000)
    }

    @Test func `counts are forced into their bounds, and parts into their whole`() {
        let wild = TokenUsage(input: -5, cachedInput: 7, output: 10, reasoning: 11, isEstimate: true).clamped
        #expect(wild == TokenUsage(input: 0, cachedInput: 0, output: 10, reasoning: 10, isEstimate: true))
        let huge = TokenUsage(input: .max, cachedInput: .max, output: .min, reasoning: .min).clamped
        #expect(huge == TokenUsage(input: TokenUsage.countMax, cachedInput: TokenUsage.countMax, output: 0, reasoning: 0))
        let sane = TokenUsage(input: 9, cachedInput: 4, output: 3, reasoning: 2)
        #expect(sane.clamped == sane)
        var random = SplitMix(seed: 3)
        for _ in 0..<2_000 {
            func any() -> Int64 { Int64(bitPattern: random.next()) >> Int64.random(in: 0..<60, using: &random) }
            let clamped = TokenUsage(input: any(), cachedInput: any(), output: any(), reasoning: any()).clamped
            #expect((0...TokenUsage.countMax).contains(clamped.input) && (0...clamped.input).contains(clamped.cachedInput))
            #expect((0...TokenUsage.countMax).contains(clamped.output) && (0...clamped.output).contains(clamped.reasoning))
        }
    }

    @Test func `the version tells prices apart and stays what it was`() {
        let price = Price(input: 150_000_000, output: 600_000_000)
        #expect(price.version == Price(input: 150_000_000, output: 600_000_000).version)
        let others = [
            Price(input: 150_000_001, output: 600_000_000), Price(input: 600_000_000, output: 150_000_000),
            Price(input: 150_000_000, output: 600_000_000, cachedInput: 150_000_000),
            Price(input: 150_000_000, output: 600_000_000, reasoning: 600_000_000),
            Price(input: 150_000_000, output: 600_000_000, isKnown: false),
        ]
        #expect(Set(others.map(\.version) + [price.version]).count == 6)
        #expect(price.version.utf8.count == 17 && price.version.hasPrefix("p"))
    }
}
