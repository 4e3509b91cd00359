import NIOCore
import NIOHTTP1
internal import Vocabulary

/// What the head of a request says, read in one pass over its headers.
///
/// A class, so that the lane and its call hold it at the price of one retain.
final class RequestFacts {
    private(set) var contentLength: Int?
    private(set) var isChunked = false
    private(set) var credential: String?
    private(set) var requestID: String?
    private(set) var contentEncoding: String?
    private(set) var expect: String?
    private(set) var wantsStreamCost = false
    private(set) var session = ""
    private(set) var tags = ""
    /// The headers that go on to the provider, as lines.
    private(set) var passedOn = ByteBuffer()

    init(_ head: HTTPRequestHead) {
        for (name, value) in head.headers { take(name, value) }
    }

    /// Whether a body follows.
    var hasBody: Bool { isChunked || (contentLength ?? 0) > 0 }

    private func take(_ name: String, _ value: String) {
        switch name.utf8.count {
        case 6 where isName(name, "expect"): expect = value
        case 7 where isName(name, "api-key"):
            if credential == nil { credential = value }
        case 9 where isName(name, "x-api-key"):
            if credential == nil { credential = value }
        case 10 where isName(name, "tracestate"): pass("tracestate", value)
        case 11 where isName(name, "traceparent"): pass("traceparent", value)
        case 11 where isName(name, "openai-beta"): pass("openai-beta", value)
        case 12 where isName(name, "x-request-id"):
            if isUsableID(value) { requestID = value }
        case 13 where isName(name, "authorization"): credential = bearer(value) ?? ""
        case 14 where isName(name, "content-length"): contentLength = Int(value)
        case 14 where isName(name, "x-martlet-tags"): tags = value
        case 15 where isName(name, "idempotency-key"): pass("idempotency-key", value)
        case 16 where isName(name, "content-encoding"):
            if !isName(value, "identity") { contentEncoding = value }
        case 17 where isName(name, "transfer-encoding"): isChunked = true
        case 17 where isName(name, "x-martlet-session"): session = value
        case 21 where isName(name, "x-martlet-stream-cost"): wantsStreamCost = value == "1" || isName(value, "true")
        default:
            // The simulator's controls: no real provider knows them.
            if hasPrefix(name, "x-sim-") { pass(name, value) }
        }
    }

    private func pass(_ name: String, _ value: String) {
        passedOn.writeString(name)
        passedOn.writeStaticString(": ")
        passedOn.writeString(value)
        passedOn.writeStaticString("\r\n")
    }
}

/// The credential of `Bearer …`; RFC 6750 has the scheme's name in any case.
private func bearer(_ value: String) -> String? {
    guard value.utf8.count > 7, hasPrefix(value, "bearer ") else { return nil }
    let rest = value.utf8.dropFirst(7).drop { $0 == UInt8(ascii: " ") }
    return rest.isEmpty ? nil : String(Substring(rest))
}

/// Whether a client's request id can be echoed, logged and stored as it is.
private func isUsableID(_ value: String) -> Bool {
    let count = value.utf8.count
    return count > 0 && count <= 128 && value.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f }
}

/// Compares without regard to ASCII case; `lowercase` is lower case.
func isName(_ text: String, _ lowercase: StaticString) -> Bool {
    guard text.utf8.count == lowercase.utf8CodeUnitCount else { return false }
    return matches(text, lowercase)
}

private func hasPrefix(_ text: String, _ lowercase: StaticString) -> Bool {
    text.utf8.count >= lowercase.utf8CodeUnitCount && matches(text, lowercase)
}

private func matches(_ text: String, _ lowercase: StaticString) -> Bool {
    var text = text
    return text.withUTF8 { bytes in
        for index in 0..<lowercase.utf8CodeUnitCount {
            let byte = bytes[index]
            if (byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte) != lowercase.utf8Start[index] { return false }
        }
        return true
    }
}
