import Vocabulary

/// Reading and writing of the quantities that a configuration names with units; always exact, never by floating point.
enum Quantity {
    /// Reads `500ms`, `30s`, `1.5m`, `1h`, or a plain number of seconds.
    ///
    /// - Returns: `nil` when the text is none of these, or is finer than a nanosecond or longer than 292 years.
    static func duration(_ text: String) -> Duration? {
        let units: [String: Int64] = [
            "": 1_000_000_000, "ms": 1_000_000, "s": 1_000_000_000, "m": 60_000_000_000, "h": 3_600_000_000_000, "d": 86_400_000_000_000,
        ]
        return scaled(text, by: { units[$0] }).map { .nanoseconds($0) }
    }

    /// Reads `10MB` (10⁶), `10MiB`, `512KiB`, `1.5GiB`, or a plain number of bytes.
    ///
    /// - Returns: `nil` when the text is none of these, or is no whole number of bytes.
    static func size(_ text: String) -> Int? {
        let units: [String: Int64] = [
            "": 1, "b": 1, "kb": 1000, "mb": 1_000_000, "gb": 1_000_000_000, "tb": 1_000_000_000_000,
            "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40,
        ]
        return scaled(text, by: { units[$0.lowercased()] }).map { Int($0) }
    }

    /// Reads an unsigned decimal with a unit behind it and multiplies the two.
    private static func scaled(_ text: String, by unit: (String) -> Int64?) -> Int64? {
        let number = text.prefix { ("0"..."9").contains($0) || $0 == "." }
        let name = text.dropFirst(number.count).drop { $0 == " " }
        guard let factor = unit(String(name)) else { return nil }
        let pieces = number.split(separator: ".", omittingEmptySubsequences: false)
        guard (1...2).contains(pieces.count), pieces.allSatisfy({ !$0.isEmpty && $0.utf8.count <= 18 }), let whole = Int64(pieces[0]) else {
            return nil
        }
        var numerator = Int128(whole)
        var denominator: Int128 = 1
        if pieces.count == 2 {
            guard let fraction = Int64(pieces[1]) else { return nil }
            for _ in pieces[1].utf8 { denominator *= 10 }
            numerator = numerator * denominator + Int128(fraction)
        }
        // At most 10³⁶ × 10¹⁴ could not fit, hence the check; whatever fits is exact.
        let (product, isTooLarge) = numerator.multipliedReportingOverflow(by: Int128(factor))
        guard !isTooLarge, product % denominator == 0 else { return nil }
        return Int64(exactly: product / denominator)
    }

    /// Writes a duration in the largest unit that divides it: `90s`, `100ms`, `5m`.
    static func text(of duration: Duration) -> String {
        let nanoseconds = duration.components.seconds * 1_000_000_000 + duration.components.attoseconds / 1_000_000_000
        let units: [(name: String, nanoseconds: Int64)] = [("h", 3_600_000_000_000), ("m", 60_000_000_000), ("s", 1_000_000_000), ("ms", 1_000_000)]
        if nanoseconds == 0 { return "0s" }
        for unit in units where nanoseconds % unit.nanoseconds == 0 {
            return "\(nanoseconds / unit.nanoseconds)\(unit.name)"
        }
        // Finer than a millisecond: seconds, with as many decimals as it takes.
        return Money(nanodollars: nanoseconds).dollars + "s"
    }

    /// Writes a size in the largest binary unit that divides it: `10MiB`, `1000000`.
    static func text(ofBytes bytes: Int) -> String {
        let units: [(name: String, shift: Int)] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)]
        if bytes == 0 { return "0" }
        for unit in units where bytes % (1 << unit.shift) == 0 {
            return "\(bytes >> unit.shift)\(unit.name)"
        }
        return String(bytes)
    }
}
