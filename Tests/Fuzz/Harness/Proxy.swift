import NIOCore
import Vocabulary

@testable import Edge

/// The header of the PROXY protocol: a reading that is final stays what it is however much follows, and is right about its length.
func fuzzProxy(_ input: FuzzInput) {
    var final: ProxyProtocol.Reading?
    for count in 0...min(input.bytes.count, 400) {
        let reading = ProxyProtocol.read(ByteBuffer(bytes: input.bytes[..<count]).readableBytesView)
        if let final {
            check(reading == final, "\(final) becomes \(reading) with \(count) bytes")
        } else if reading != .incomplete {
            if case .header(let length, _) = reading { check(length == count, "a header of \(length) bytes is whole with \(count)") }
            final = reading
        }
    }
}
