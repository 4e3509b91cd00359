import MartletTestKit
import NIOCore

@testable import Simulator

/// One input: the bytes as they are, and ways to cut them that depend on nothing but the bytes, so that a file is a reproduction.
struct FuzzInput {
    let bytes: [UInt8]

    init(_ bytes: UnsafeBufferPointer<UInt8>) {
        self.bytes = Array(bytes)
    }

    /// FNV-1a of the bytes.
    var hash: UInt64 { bytes.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01b3 } }

    var buffer: ByteBuffer { ByteBuffer(bytes: bytes) }
    var text: String { String(decoding: bytes, as: UTF8.self) }

    /// The bytes in pieces of random length, empty ones among them.
    func pieces(longest: Int = 64) -> [ByteBuffer] {
        var random = SplitMix(seed: hash)
        // Short pieces find the edges of what a parser keeps; some inputs are cut at every byte.
        let longest = random.chance(oneIn: 4) ? 1 : longest
        var pieces: [ByteBuffer] = []
        var at = 0
        while at < bytes.count {
            let length = min(longest == 1 ? 1 : Int.random(in: 0...longest, using: &random), bytes.count - at)
            pieces.append(ByteBuffer(bytes: bytes[at..<at + length]))
            at += length
        }
        return pieces
    }
}

/// Ends the run when something is not as it must be; libFuzzer then writes the input down.
func check(_ condition: @autoclosure () -> Bool, _ message: @autoclosure () -> String, line: UInt = #line, file: StaticString = #fileID) {
    if !condition() { fatalError(message(), file: file, line: line) }
}

/// A whole JSON text, read by the simulator's parser: it shares nothing with the scanners of the path.
func parsedJSON(_ bytes: some Sequence<UInt8>) -> JSONValue? {
    String(validating: Array(bytes), as: UTF8.self).flatMap { JSONValue(parsing: $0) }
}
