package import NIOCore

/// Vectors that are the same for the same text and model, different for others, and of length one.
package enum EmbeddingVector {
    /// - Parameter dimensions: a shorter vector is the start of the longer one, scaled to length one again, as OpenAI shortens.
    package static func make(text: String, model: String, dimensions: Int) -> [Float] {
        var hash = ContentHash()
        hash.add(model)
        hash.add(text)
        var random = SeededRandom(seed: hash.value)
        var numbers: [Double] = []
        numbers.reserveCapacity(dimensions)
        var squares = 0.0
        for _ in 0..<dimensions {
            let bits = random.next()
            // The sum of four uniform numbers is bell-shaped enough for directions to be spread evenly.
            let sum = Double(bits & 0xFFFF) + Double(bits >> 16 & 0xFFFF) + Double(bits >> 32 & 0xFFFF) + Double(bits >> 48)
            let number = sum / 131070 - 1
            numbers.append(number)
            squares += number * number
        }
        // Only a vector of one zero has no length; it points up then.
        guard squares > 0 else { return [1] + Array(repeating: 0, count: dimensions - 1) }
        let length = squares.squareRoot()
        return numbers.map { Float($0 / length) }
    }
}

extension ByteBuffer {
    /// Writes numbers as base64 of their little-endian bytes.
    package mutating func writeBase64(_ vector: [Float]) {
        let bytes = vector.flatMap { number -> [UInt8] in
            let bits = number.bitPattern
            return [
                UInt8(truncatingIfNeeded: bits), UInt8(truncatingIfNeeded: bits >> 8), UInt8(truncatingIfNeeded: bits >> 16),
                UInt8(truncatingIfNeeded: bits >> 24),
            ]
        }
        let letters = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
        var text: [UInt8] = []
        text.reserveCapacity((bytes.count + 2) / 3 * 4)
        var index = 0
        while index < bytes.count {
            let left = bytes.count - index
            let group = UInt32(bytes[index]) << 16 | (left > 1 ? UInt32(bytes[index + 1]) << 8 : 0) | (left > 2 ? UInt32(bytes[index + 2]) : 0)
            text.append(letters[Int(group >> 18 & 63)])
            text.append(letters[Int(group >> 12 & 63)])
            text.append(left > 1 ? letters[Int(group >> 6 & 63)] : UInt8(ascii: "="))
            text.append(left > 2 ? letters[Int(group & 63)] : UInt8(ascii: "="))
            index += 3
        }
        writeBytes(text)
    }
}
