import Foundation
import MartletTestKit
import Testing
import Vocabulary

@Suite struct WallTimeTests {
    @Test func `a moment is written as Foundation writes it, and reads back`() throws {
        let formatter = ISO8601DateFormatter()
        formatter.formatOptions = [.withInternetDateTime]
        formatter.timeZone = TimeZone(identifier: "UTC")
        var random = SplitMix(seed: 4)
        // The years 1600 to 9999, after the calendar changed: Foundation's calendar is not the proleptic one before that.
        for _ in 0..<3_000 {
            let seconds = Int64.random(in: -11_676_096_000...253_402_300_799, using: &random)
            let fraction = Int64.random(in: 0..<1_000_000, using: &random)
            let moment = WallTime(microseconds: seconds * 1_000_000 + fraction)
            let text = formatter.string(from: Date(timeIntervalSince1970: TimeInterval(seconds)))
            let digits = String(fraction + 1_000_000).dropFirst()
            #expect(moment.rfc3339 == text.dropLast() + "." + digits + "Z")
            #expect(WallTime(moment.rfc3339) == moment)
        }
    }

    @Test(arguments: [
        ("1970-01-01T00:00:00Z", 0), ("1970-01-01", 0), ("1969-12-31T23:59:59.999999Z", -1), ("2000-02-29T12:00:00Z", 951_825_600_000_000),
        ("2026-11-21T01:24:04.5+01:00", 1_795_220_644_500_000), ("2026-11-21T01:24:04.5Z", 1_795_224_244_500_000),
        ("2026-11-21t01:24:04z", 1_795_224_244_000_000), ("2026-11-21 01:24:04Z", 1_795_224_244_000_000),
        ("2026-11-21T01:24Z", 1_795_224_240_000_000), ("2026-11-20T20:24:04-0500", 1_795_224_244_000_000),
        ("2016-12-31T23:59:60Z", 1_483_228_800_000_000), ("1795224244", 1_795_224_244_000_000), ("1795224244.25", 1_795_224_244_250_000),
        ("2026-11-21T01:24:04.123456789Z", 1_795_224_244_123_456), ("0001-01-01T00:00:00Z", -62_135_596_800_000_000),
    ])
    func `the known forms are read`(text: String, microseconds: Int64) {
        #expect(WallTime(text) == WallTime(microseconds: microseconds))
    }

    @Test(arguments: [
        "", "now", "2026", "2026-1-1", "2026-13-01", "2026-00-01", "2026-02-29", "2100-02-29", "2026-04-31", "2026-11-21T", "2026-11-21T24:00Z",
        "2026-11-21T01:60Z", "2026-11-21T01:24:61Z", "2026-11-21T01:24:04", "2026-11-21T01:24:04.Z", "2026-11-21T01:24:04+1:00",
        "2026-11-21T01:24:04+24:00", "2026-11-21T01:24:04Zx", "2026-11-21Z", "-1795224244", "+1795224244", "1795224244.", "1795224244.x", "12",
        "2026-11-21T01:24:04.1234567890Z", "999999999999999999999999",
    ])
    func `anything else is refused`(text: String) {
        #expect(WallTime(text) == nil)
    }

    @Test(arguments: [Int64.min, Int64.min + 1, -1, Int64.max]) func `even a nonsensical moment can be printed`(microseconds: Int64) {
        #expect(WallTime(microseconds: microseconds).rfc3339.hasSuffix("Z"))
    }

    @Test func `every day of four centuries follows the one before it`() async {
        var day = WallTime(microseconds: -86_400_000_000 * 146_097)
        var before = ""
        for number in 0..<146_097 {
            if number % 10_000 == 0 { await Task.yield() }
            let text = String(day.rfc3339.prefix(10))
            if !(text > before) || WallTime(text) != day { Issue.record("\(text) follows \(before)") }
            before = text
            day.microseconds += 86_400_000_000
        }
        #expect(before == "1969-12-31")
    }
}
