/// Makes numbers within a schema's bounds.
enum NumberMaker {
    /// How far from a bound a number may be when the other side is open.
    private static let usualSpan = 100.0

    static func integer(_ schema: JSONValue, _ random: inout SeededRandom) -> String {
        let step = schema["multipleOf"]?.integerValue ?? 1
        let bounds = bounds(schema, exclusiveStep: 1)
        let low = (bounds.low / Double(step)).rounded(.up)
        let high = (bounds.high / Double(step)).rounded(.down)
        let span = max(0, min(high - low, 1_000_000))
        let chosen = low + Double(random.below(Int(span) + 1))
        return Int(exactly: chosen * Double(step)).map { String($0) } ?? "0"
    }

    static func number(_ schema: JSONValue, _ random: inout SeededRandom) -> String {
        if let step = schema["multipleOf"]?.doubleValue, step > 0 {
            let bounds = bounds(schema, exclusiveStep: step)
            let low = (bounds.low / step).rounded(.up)
            let span = max(0, min((bounds.high / step).rounded(.down) - low, 1_000_000))
            return text((low + Double(random.below(Int(span) + 1))) * step)
        }
        let bounds = bounds(schema, exclusiveStep: 0)
        // Strictly inside the bounds, so exclusive ones hold too, and rounded only where there is room for it.
        let inside = bounds.low + (bounds.high - bounds.low) * (0.05 + 0.9 * random.unit())
        let rounded = (inside * 100).rounded() / 100
        return text(rounded > bounds.low && rounded < bounds.high ? rounded : inside)
    }

    private static func bounds(_ schema: JSONValue, exclusiveStep: Double) -> (low: Double, high: Double) {
        var low = schema["minimum"]?.doubleValue
        var high = schema["maximum"]?.doubleValue
        if let exclusive = schema["exclusiveMinimum"]?.doubleValue { low = max(low ?? -.infinity, exclusive + exclusiveStep) }
        if let exclusive = schema["exclusiveMaximum"]?.doubleValue { high = min(high ?? .infinity, exclusive - exclusiveStep) }
        let floor = low ?? min(0, (high ?? usualSpan) - usualSpan)
        return (floor, high ?? max(floor, 0) + usualSpan)
    }

    private static func text(_ number: Double) -> String {
        Int(exactly: number).map { String($0) } ?? String(number)
    }
}
