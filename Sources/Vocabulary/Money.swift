/// An exact amount of United States dollars, counted in nano-dollars (10⁻⁹ USD).
///
/// Accounts never touch floating point: every sum is an `Int64` of nano-dollars, which holds ± 9.2 billion dollars.
package struct Money: Sendable, Hashable, Comparable {
    /// The amount, in nano-dollars.
    package var nanodollars: Int64

    /// Nothing at all.
    package static let zero = Money(nanodollars: 0)

    package init(nanodollars: Int64) {
        self.nanodollars = nanodollars
    }

    package static func < (left: Money, right: Money) -> Bool { left.nanodollars < right.nanodollars }

    package static func + (left: Money, right: Money) -> Money { Money(nanodollars: left.nanodollars + right.nanodollars) }
}

extension Money {
    /// Reads an exact decimal such as `0.15`, `12`, `1e-3` or `.0375`.
    ///
    /// - Parameter text: dollars, with at most nine digits after the point that are not zero.
    /// - Returns: `nil` when the text is no decimal, is negative, is finer than a nano-dollar, or does not fit.
    package init?(dollars text: String) {
        let lowered = text.lowercased()
        let parts = lowered.split(separator: "e", maxSplits: 1, omittingEmptySubsequences: false)
        guard let mantissa = parts.first, !mantissa.isEmpty else { return nil }
        var exponent = 0
        if parts.count == 2 {
            guard let read = Int(parts[1]), (-18...18).contains(read) else { return nil }
            exponent = read
        }
        let pieces = mantissa.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        let whole = pieces[0]
        let fraction = pieces.count == 2 ? pieces[1] : ""
        guard !(whole.isEmpty && fraction.isEmpty) else { return nil }
        var amount: Int64 = 0
        // The power of ten that the digit about to be read stands for, counted in nano-dollars.
        var power = whole.utf8.count - 1 + exponent + 9
        for digit in (whole + fraction).utf8 {
            guard digit >= 0x30, digit <= 0x39 else { return nil }
            let value = Int64(digit - 0x30)
            if value != 0 {
                guard power >= 0, power <= 18 else { return nil }
                var scaled = value
                for _ in 0..<power {
                    let (product, overflow) = scaled.multipliedReportingOverflow(by: 10)
                    guard !overflow else { return nil }
                    scaled = product
                }
                let (sum, overflow) = amount.addingReportingOverflow(scaled)
                guard !overflow else { return nil }
                amount = sum
            }
            power -= 1
        }
        self.init(nanodollars: amount)
    }

    /// The amount in dollars as an exact decimal without trailing zeros: `0.00000135`, `12`, `-0.5`.
    package var dollars: String {
        var magnitude = nanodollars.magnitude
        var digits: [UInt8] = []
        digits.reserveCapacity(24)
        var seen = false
        for place in 0..<9 {
            let digit = UInt8(magnitude % 10)
            magnitude /= 10
            if digit != 0 { seen = true }
            if seen { digits.append(0x30 + digit) }
            if place == 8, seen { digits.append(UInt8(ascii: ".")) }
        }
        repeat {
            digits.append(0x30 + UInt8(magnitude % 10))
            magnitude /= 10
        } while magnitude > 0
        if nanodollars < 0 { digits.append(UInt8(ascii: "-")) }
        return String(decoding: digits.reversed(), as: UTF8.self)
    }
}
