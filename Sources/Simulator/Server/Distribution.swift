#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// How long something takes: a number of milliseconds, or one drawn anew each time.
package enum Distribution: Sendable, Equatable {
    /// Always that many.
    case fixed(Double)
    /// Every number between the two is as likely as any other.
    case uniform(Double, Double)
    /// A bell around the mean; what falls below zero is zero.
    case normal(mean: Double, deviation: Double)
    /// Most answers near the median, some far above it: what models are like.
    case lognormal(median: Double, sigma: Double)
    /// Without memory: many short ones, few long ones.
    case exponential(mean: Double)

    /// What a text has to look like.
    package static let forms = "a number of milliseconds, uniform(from,to), normal(mean,deviation), lognormal(median,sigma) or exponential(mean)"
    private static let maximumMilliseconds = 86_400_000.0

    /// Reads one of the ``forms``; `nil` when the text is none of them or a number is out of range.
    package init?(_ text: String) {
        if let number = Double(text) {
            guard (0...Self.maximumMilliseconds).contains(number) else { return nil }
            self = .fixed(number)
            return
        }
        guard let open = text.firstIndex(of: "("), text.last == ")" else { return nil }
        let parts = text[text.index(after: open)...].dropLast().split(separator: ",", omittingEmptySubsequences: false)
        let numbers = parts.compactMap { Double($0.filter { $0 != " " }) }
        guard numbers.count == parts.count, numbers.allSatisfy({ (0...Self.maximumMilliseconds).contains($0) }) else { return nil }
        switch (text[..<open], numbers.count) {
        case ("uniform", 2) where numbers[0] <= numbers[1]: self = .uniform(numbers[0], numbers[1])
        case ("normal", 2): self = .normal(mean: numbers[0], deviation: numbers[1])
        case ("lognormal", 2): self = .lognormal(median: numbers[0], sigma: numbers[1])
        case ("exponential", 1): self = .exponential(mean: numbers[0])
        default: return nil
        }
    }

    /// Whether it never takes any time.
    var isZero: Bool { self == .fixed(0) }

    /// The next duration in nanoseconds.
    func nanoseconds(_ random: inout SeededRandom) -> Int64 {
        let milliseconds: Double
        switch self {
        case .fixed(let number): milliseconds = number
        case .uniform(let from, let to): milliseconds = from + (to - from) * random.unit()
        case .normal(let mean, let deviation): milliseconds = mean + deviation * Self.bell(&random)
        case .lognormal(let median, let sigma): milliseconds = median * exp(sigma * Self.bell(&random))
        case .exponential(let mean): milliseconds = -mean * log(1 - random.unit())
        }
        return Int64(min(max(milliseconds, 0), Self.maximumMilliseconds) * 1_000_000)
    }

    /// The duration of so many of them, one after the other.
    package func nanoseconds(of count: Int, _ random: inout SeededRandom) -> Int64 {
        if case .fixed(let number) = self { return Int64(number * 1_000_000) * Int64(count) }
        return (0..<count).reduce(0) { sum, _ in sum + nanoseconds(&random) }
    }

    /// Box and Muller's way from even numbers to normal ones.
    private static func bell(_ random: inout SeededRandom) -> Double {
        (-2 * log(1 - random.unit())).squareRoot() * cos(2 * .pi * random.unit())
    }
}
