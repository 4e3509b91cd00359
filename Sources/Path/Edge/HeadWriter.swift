import NIOCore

/// Writes the head of an answer into memory that is known to be large enough: a copy a piece, and no check of the buffer in between.
struct HeadWriter {
    private let start: UnsafeMutablePointer<UInt8>
    private let capacity: Int
    private(set) var count = 0

    init(_ target: UnsafeMutableRawBufferPointer) {
        // A buffer of the size that was asked for always has an address.
        start = target.bindMemory(to: UInt8.self).baseAddress.unsafelyUnwrapped
        capacity = target.count
    }

    mutating func put(_ text: StaticString) {
        copy(text.utf8Start, text.utf8CodeUnitCount)
    }

    /// A text that is no literal: with a name of its own, since a literal would rather be a `String` than a `StaticString`.
    mutating func put(text: String) {
        var text = text
        text.withUTF8 { bytes in
            if let base = bytes.baseAddress { copy(base, bytes.count) }
        }
    }

    mutating func put(_ bytes: [UInt8]) {
        bytes.withUnsafeBufferPointer { bytes in
            if let base = bytes.baseAddress { copy(base, bytes.count) }
        }
    }

    mutating func put(_ buffer: ByteBuffer) {
        buffer.withUnsafeReadableBytes { bytes in
            if let base = bytes.baseAddress { copy(base.assumingMemoryBound(to: UInt8.self), bytes.count) }
        }
    }

    /// A number in decimal.
    mutating func put(_ number: Int64) {
        precondition(count + 20 <= capacity)
        var magnitude = number.magnitude
        var digits = 1
        var probe = magnitude
        while probe >= 10 {
            probe /= 10
            digits += 1
        }
        if number < 0 {
            start[count] = UInt8(ascii: "-")
            count += 1
        }
        var at = count + digits - 1
        for _ in 0..<digits {
            start[at] = UInt8(truncatingIfNeeded: magnitude % 10) + 0x30
            magnitude /= 10
            at -= 1
        }
        count += digits
    }

    /// A length as a chunk tells it; not negative.
    mutating func put(hexadecimal number: Int) {
        precondition(count + 16 <= capacity)
        let digits = max(1, (Int.bitWidth - number.leadingZeroBitCount + 3) / 4)
        var rest = UInt64(number)
        var at = count + digits
        while at > count {
            at -= 1
            let digit = UInt8(truncatingIfNeeded: rest) & 15
            start[at] = digit < 10 ? digit + 0x30 : digit - 10 + UInt8(ascii: "a")
            rest >>= 4
        }
        count += digits
    }

    /// Microseconds as milliseconds with three decimals.
    mutating func put(millisecondsFromMicroseconds microseconds: Int64) {
        let value = max(0, microseconds)
        put(value / 1000)
        putFraction(UInt64(value % 1000), digits: 3, trims: false)
    }

    /// Nano-dollars as dollars, without zeros at the end.
    mutating func put(dollarsFromNanodollars nanodollars: Int64) {
        if nanodollars < 0 { put("-") }
        let magnitude = nanodollars.magnitude
        put(Int64(magnitude / 1_000_000_000))
        if magnitude % 1_000_000_000 != 0 { putFraction(magnitude % 1_000_000_000, digits: 9, trims: true) }
    }

    private mutating func putFraction(_ fraction: UInt64, digits: Int, trims: Bool) {
        precondition(count + digits + 1 <= capacity)
        start[count] = UInt8(ascii: ".")
        var rest = fraction
        for place in stride(from: digits, to: 0, by: -1) {
            start[count + place] = UInt8(truncatingIfNeeded: rest % 10) + 0x30
            rest /= 10
        }
        count += digits + 1
        if trims { while start[count - 1] == 0x30 { count -= 1 } }
    }

    private mutating func copy(_ bytes: UnsafePointer<UInt8>, _ length: Int) {
        precondition(count + length <= capacity)
        (start + count).update(from: bytes, count: length)
        count += length
    }
}
