/// A moment in UTC, in microseconds since 1970-01-01T00:00:00Z.
///
/// Sampled once per call; durations come from the monotonic clock instead.
package struct WallTime: Sendable, Hashable, Comparable {
    package var microseconds: Int64

    package init(microseconds: Int64) {
        self.microseconds = microseconds
    }

    package static func < (left: WallTime, right: WallTime) -> Bool { left.microseconds < right.microseconds }
}

extension WallTime {
    /// `2026-11-21T01:24:04.123456Z`, the form of RFC 3339.
    package var rfc3339: String {
        let (seconds, fraction) = floorDivided(microseconds, 1_000_000)
        let (days, second) = floorDivided(seconds, 86_400)
        let date = CivilDate(daysSinceEpoch: days)
        return "\(padded(date.year, 4))-\(padded(date.month, 2))-\(padded(date.day, 2))"
            + "T\(padded(second / 3600, 2)):\(padded(second / 60 % 60, 2)):\(padded(second % 60, 2)).\(padded(fraction, 6))Z"
    }

    /// Reads RFC 3339 (`2026-11-21T01:24:04.5+01:00`), a plain date (`2026-11-21`, midnight UTC), or Unix seconds (`1795224244`, `1795224244.5`).
    ///
    /// - Returns: `nil` when the text is none of these.
    package init?(_ text: String) {
        let bytes = Array(text.utf8)
        if let seconds = WallTime.unixSeconds(bytes) {
            self = seconds
            return
        }
        var reader = DigitReader(bytes: bytes)
        guard let year = reader.number(4), reader.take("-"), let month = reader.number(2), reader.take("-"), let day = reader.number(2),
            (1...12).contains(month), day >= 1, day <= CivilDate.daysInMonth(year: year, month: month)
        else { return nil }
        var seconds = CivilDate(year: year, month: month, day: day).daysSinceEpoch * 86_400
        var fraction: Int64 = 0
        if !reader.isAtEnd {
            guard reader.take("T") || reader.take("t") || reader.take(" "), let hour = reader.number(2), reader.take(":"),
                let minute = reader.number(2), hour < 24, minute < 60
            else { return nil }
            var second: Int64 = 0
            if reader.take(":") {
                // A leap second (60) is read as the second after.
                guard let read = reader.number(2), read <= 60 else { return nil }
                second = read
                if reader.take(".") {
                    guard let read = reader.fraction() else { return nil }
                    fraction = read
                }
            }
            seconds += hour * 3600 + minute * 60 + second
            if !(reader.take("Z") || reader.take("z")) {
                let east = reader.take("+")
                guard east || reader.take("-"), let hours = reader.number(2), hours < 24 else { return nil }
                _ = reader.take(":")
                guard let minutes = reader.number(2), minutes < 60 else { return nil }
                let offset = hours * 3600 + minutes * 60
                seconds += east ? -offset : offset
            }
            guard reader.isAtEnd else { return nil }
        }
        self.init(microseconds: seconds * 1_000_000 + fraction)
    }

    private static func unixSeconds(_ bytes: [UInt8]) -> WallTime? {
        let pieces = bytes.split(separator: UInt8(ascii: "."), maxSplits: 1, omittingEmptySubsequences: false)
        guard let whole = pieces.first, (5...11).contains(whole.count) else { return nil }
        var digits = DigitReader(bytes: Array(whole))
        guard let seconds = digits.number(whole.count) else { return nil }
        var fraction: Int64 = 0
        if pieces.count == 2 {
            var reader = DigitReader(bytes: Array(pieces[1]))
            guard let read = reader.fraction(), reader.isAtEnd else { return nil }
            fraction = read
        }
        return WallTime(microseconds: seconds * 1_000_000 + fraction)
    }
}

/// Divides towards negative infinity, so that the rest is never negative.
private func floorDivided(_ value: Int64, _ divisor: Int64) -> (quotient: Int64, rest: Int64) {
    let (quotient, rest) = value.quotientAndRemainder(dividingBy: divisor)
    return rest < 0 ? (quotient - 1, rest + divisor) : (quotient, rest)
}

private func padded(_ value: Int64, _ width: Int) -> String {
    let text = String(value)
    return text.utf8.count >= width ? text : String(repeating: "0", count: width - text.utf8.count) + text
}

/// Takes fixed runs of digits from ASCII text.
private struct DigitReader {
    let bytes: [UInt8]
    var position = 0

    init(bytes: [UInt8]) { self.bytes = bytes }

    var isAtEnd: Bool { position == bytes.count }

    mutating func number(_ count: Int) -> Int64? {
        guard position + count <= bytes.count else { return nil }
        var value: Int64 = 0
        for byte in bytes[position..<position + count] {
            guard byte >= 0x30, byte <= 0x39 else { return nil }
            value = value * 10 + Int64(byte - 0x30)
        }
        position += count
        return value
    }

    mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard position < bytes.count, bytes[position] == UInt8(ascii: character) else { return false }
        position += 1
        return true
    }

    /// One to nine digits as microseconds; finer digits are cut off.
    mutating func fraction() -> Int64? {
        var value: Int64 = 0
        var count = 0
        while position < bytes.count, bytes[position] >= 0x30, bytes[position] <= 0x39, count < 9 {
            if count < 6 { value = value * 10 + Int64(bytes[position] - 0x30) }
            count += 1
            position += 1
        }
        guard count > 0 else { return nil }
        for _ in Swift.min(count, 6)..<6 { value *= 10 }
        return value
    }
}

/// A day of the proleptic Gregorian calendar, after Howard Hinnant's "chrono-Compatible Low-Level Date Algorithms".
struct CivilDate {
    var year: Int64
    var month: Int64
    var day: Int64

    init(year: Int64, month: Int64, day: Int64) {
        self.year = year
        self.month = month
        self.day = day
    }

    init(daysSinceEpoch: Int64) {
        let shifted = daysSinceEpoch + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
        month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
    }

    var daysSinceEpoch: Int64 {
        let shiftedYear = month <= 2 ? year - 1 : year
        let era = (shiftedYear >= 0 ? shiftedYear : shiftedYear - 399) / 400
        let yearOfEra = shiftedYear - era * 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        return era * 146_097 + dayOfEra - 719_468
    }

    static func daysInMonth(year: Int64, month: Int64) -> Int64 {
        switch month {
        case 2: (year % 4 == 0 && year % 100 != 0) || year % 400 == 0 ? 29 : 28
        case 4, 6, 9, 11: 30
        default: 31
        }
    }
}
