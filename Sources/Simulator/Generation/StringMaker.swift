/// Makes strings of a schema's format, pattern and length.
enum StringMaker {
    static func string(_ schema: JSONValue, _ random: inout SeededRandom) -> String {
        if let format = schema["format"]?.stringValue, let text = formatted(format, &random) { return text }
        if let pattern = schema["pattern"]?.stringValue, let text = PatternMaker.text(pattern, &random) { return text }
        let minimum = schema["minLength"]?.integerValue ?? 0
        let maximum = schema["maxLength"]?.integerValue
        var words = WordSequence(seed: random.next())
        var text = (0..<(2 + random.below(3))).map { _ in words.next() }.joined()
        while text.utf8.count < minimum { text += words.next() }
        // The words are ASCII, so bytes are characters; what is cut off must not leave the text too short.
        if let maximum, text.utf8.count > maximum { text = String(text.prefix(maximum)) }
        return text
    }

    private static func formatted(_ format: String, _ random: inout SeededRandom) -> String? {
        func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
        func word() -> String { WordSequence.word(&random) }
        func date() -> String { "20\(two(20 + random.below(10)))-\(two(1 + random.below(12)))-\(two(1 + random.below(28)))" }
        func time() -> String { "\(two(random.below(24))):\(two(random.below(60))):\(two(random.below(60)))Z" }
        switch format {
        case "date-time": return "\(date())T\(time())"
        case "date": return date()
        case "time": return time()
        case "duration": return "PT\(1 + random.below(59))M"
        case "email", "idn-email": return "\(word())@example.com"
        case "hostname", "idn-hostname": return "\(word()).example.com"
        case "uri", "url", "iri": return "https://example.com/\(word())"
        case "uri-reference": return "/\(word())"
        case "ipv4": return "192.0.2.\(1 + random.below(254))"
        case "ipv6": return "2001:db8::\(String(1 + random.below(65535), radix: 16))"
        case "uuid":
            let digits = hex(random.next()) + hex(random.next())
            let parts = [(0, 8), (8, 12), (13, 16), (17, 20), (20, 32)].map { String(Array(digits)[$0.0..<$0.1]) }
            return "\(parts[0])-\(parts[1])-4\(parts[2])-8\(parts[3])-\(parts[4])"
        default: return nil
        }
    }

    private static func hex(_ number: UInt64) -> String {
        let digits = String(number, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}
