import Vocabulary

/// Reads a price: US dollars per million tokens, taken from the text as it was written, so that no digit is lost.
///
/// - Parameter standard: what holds for amounts that are not given; without one, `input` must be.
/// - Returns: `nil` when there is none or it has a mistake, which is reported.
func price(_ parent: SectionReader, _ key: String, over standard: Price? = nil) -> Price? {
    let section = parent.section(key, keys: ["input", "output", "cached_input", "reasoning"])
    // Every amount is read even where one is missing, so that all mistakes come to light at once.
    let input = amount(section, "input")
    let output = amount(section, "output")
    let cachedInput = amount(section, "cached_input")
    let reasoning = amount(section, "reasoning")
    guard parent.node(key) != nil else { return nil }
    if let standard {
        return Price(
            input: input ?? standard.input, output: output ?? standard.output, cachedInput: cachedInput ?? standard.cachedInput,
            reasoning: reasoning ?? standard.reasoning, isKnown: standard.isKnown)
    }
    if section.node("input") == nil { section.fail("input", "is missing; it is the price of a million prompt tokens in US dollars") }
    guard let input else { return nil }
    if section.node("output") == nil {
        section.report.warn("\(section.path) has no output price, so output tokens cost nothing; write output: 0 if that is meant")
    }
    return Price(input: input, output: output ?? 0, cachedInput: cachedInput, reasoning: reasoning)
}

/// One amount, in nano-dollars per million tokens.
private func amount(_ section: SectionReader, _ key: String) -> Int64? {
    guard let text = section.text(key, as: .amount) else { return nil }
    guard !text.hasPrefix("-") else {
        section.fail(key, "must not be negative")
        return nil
    }
    guard let money = Money(dollars: text) else {
        section.fail(
            key,
            "must be a decimal number of US dollars per million tokens, such as 0.15, with at most nine decimals, not \(section.shown(key, text))")
        return nil
    }
    guard money.nanodollars <= Price.perMillionMax else {
        section.fail(key, "must not be more than \(Money(nanodollars: Price.perMillionMax).dollars) US dollars per million tokens")
        return nil
    }
    return money.nanodollars
}
