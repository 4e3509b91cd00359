import Foundation
import NIOCore
import Testing

/// Parses with Foundation, which shares nothing with the scanners under test.
func parsed(_ bytes: some Sequence<UInt8>) throws -> NSObject {
    try #require(try JSONSerialization.jsonObject(with: Data(bytes), options: [.fragmentsAllowed]) as? NSObject)
}

func parsed(_ text: String) throws -> NSObject { try parsed(text.utf8) }

extension ByteBuffer {
    var bytes: [UInt8] { Array(readableBytesView) }
    var text: String { String(decoding: readableBytesView, as: UTF8.self) }
}
