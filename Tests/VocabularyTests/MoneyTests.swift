import MartletTestKit
import Testing
import Vocabulary

@Suite struct MoneyTests {
    @Test(arguments: [
        ("0", 0), ("0.0", 0), (".5", 500_000_000), ("5.", 5_000_000_000), ("12", 12_000_000_000), ("0.15", 150_000_000), (".0375", 37_500_000),
        ("1e-3", 1_000_000), ("1E-9", 1), ("1e+2", 100_000_000_000), ("2.5e-8", 25), ("0.000000001", 1), ("0.0000000010000", 1),
        ("9223372036.854775807", Int64.max), ("0e18", 0), ("0000000000000000000000001", 1_000_000_000), ("1000e-3", 1_000_000_000),
    ])
    func `a decimal is read exactly`(text: String, nanodollars: Int64) {
        #expect(Money(dollars: text) == Money(nanodollars: nanodollars))
    }

    @Test(arguments: [
        "", ".", "e", "e5", "1e", "1e1.5", "-1", "+1", "-0", " 1", "1 ", "1,5", "1.2.3", "0x10", "1_000", "NaN", "inf", "١",
        "0.0000000001", "1e-10", "9223372036.854775808", "9300000000", "1e10", "1e19", "1e-9223372036854775808", "1e9223372036854775807",
        "1e99999999999999999999",
    ])
    func `what is no exact amount is refused`(text: String) {
        #expect(Money(dollars: text) == nil)
    }

    @Test(arguments: [
        (0, "0"), (1, "0.000000001"), (1_350, "0.00000135"), (12_000_000_000, "12"), (-500_000_000, "-0.5"), (1_100_000_000, "1.1"),
        (Int64.max, "9223372036.854775807"), (Int64.min, "-9223372036.854775808"), (10_000_000_000, "10"),
    ])
    func `an amount is written without trailing zeros`(nanodollars: Int64, text: String) {
        #expect(Money(nanodollars: nanodollars).dollars == text)
    }

    @Test func `what is written reads back as the same amount`() {
        var random = SplitMix(seed: 1)
        for _ in 0..<20_000 {
            let money = Money(nanodollars: Int64.random(in: 0...Int64.max, using: &random) >> Int64.random(in: 0..<63, using: &random))
            if Money(dollars: money.dollars) != money { Issue.record("\(money)") }
        }
    }
}
