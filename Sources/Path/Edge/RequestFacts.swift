import NIOCore
package import NIOHTTP1
internal import Vocabulary

/// What the head of a request says, read in one pass over its headers.
///
/// A class, so that the lane and its call hold it at the price of one retain.
package final class RequestFacts {
    private(set) var contentLength: Int?
    private(set) var isChunked = false
    /// The caller's key, without `Bearer`.
    package private(set) var credential: String?
    private(set) var requestID: String?
    private(set) var contentEncoding: String?
    private(set) var expect: String?
    private(set) var wantsStreamCost = false
    private(set) var session = ""
    private(set) var tags = ""
    /// The `Host` header; the last one where there are several.
    private(set) var host = ""
    /// What trusted proxies say of the client's address; empty where nobody is trusted. Lines are joined by commas.
    private(set) var forwarded = ""
    /// Whether the reader takes nothing behind this request, since it asks to go on in another protocol.
    private(set) var endsInput = false
    /// What makes the head one that another server on the way may have read otherwise.
    private(set) var fault: GatewayError?
    /// The headers that go on to the provider, as lines.
    private(set) var passedOn = ByteBuffer()

    private let addressHeader: ProxyRules.Header?
    private var hostCount = 0
    private var authorizationCount = 0

    /// - Parameter addressHeader: the one that tells the client's address, where the other side is trusted to know it.
    package init(_ head: HTTPRequestHead, addressHeader: ProxyRules.Header?) {
        self.addressHeader = addressHeader
        for (name, value) in head.headers { take(name, value) }
        if hostCount != 1 || authorizationCount > 1 || isChunked { check(head) }
    }

    /// Marks the head as one that is not to be answered as it stands.
    func note(_ fault: GatewayError) {
        if self.fault == nil { self.fault = fault }
    }

    private func check(_ head: HTTPRequestHead) {
        let isHTTP10 = head.version.major == 1 && head.version.minor == 0
        // RFC 9112 §3.2: a server must refuse both.
        if hostCount > 1 { note(.malformedRequest("there is more than one Host header")) }
        if hostCount == 0, !isHTTP10 { note(.malformedRequest("there is no Host header")) }
        if authorizationCount > 1 { note(.malformedRequest("there is more than one Authorization header")) }
        // RFC 9112 §6.1: whoever forwards HTTP/1.0 does not know of chunks.
        if isChunked, isHTTP10 { note(.malformedRequest("HTTP/1.0 has no Transfer-Encoding")) }
    }

    /// Whether a body follows.
    var hasBody: Bool { isChunked || (contentLength ?? 0) > 0 }

    private func take(_ name: String, _ value: String) {
        switch name.utf8.count {
        case 4 where isName(name, "host"):
            hostCount += 1
            host = value
            if !isHost(value) { note(.malformedRequest("the Host header is no host")) }
        case 6 where isName(name, "expect"): expect = value
        case 7 where isName(name, "api-key"): take(key: value)
        case 7 where isName(name, "upgrade"): endsInput = true
        case 9 where isName(name, "x-api-key"): take(key: value)
        case 9 where addressHeader == .forwarded && isName(name, "forwarded"): take(forwarded: value)
        case 10 where isName(name, "tracestate"): pass("tracestate", value)
        case 11 where isName(name, "traceparent"): pass("traceparent", value)
        case 11 where isName(name, "openai-beta"): pass("openai-beta", value)
        case 12 where isName(name, "x-request-id"):
            if isUsableID(value) { requestID = value }
        case 13 where isName(name, "authorization"):
            authorizationCount += 1
            let token = bearer(value)
            if let token, let credential, token != credential { note(RequestFacts.twoCredentials) }
            credential = token ?? ""
        case 14 where isName(name, "content-length"): contentLength = Int(value)
        case 14 where isName(name, "x-martlet-tags"): tags = value
        case 15 where addressHeader == .xForwardedFor && isName(name, "x-forwarded-for"): take(forwarded: value)
        case 15 where isName(name, "idempotency-key"): pass("idempotency-key", value)
        case 16 where isName(name, "content-encoding"):
            if !isName(value, "identity") { contentEncoding = value }
        case 17 where isName(name, "transfer-encoding"):
            isChunked = true
            if !isName(value, "chunked") { note(.malformedRequest("the only transfer encoding is 'chunked'")) }
        case 17 where isName(name, "x-martlet-session"): session = value
        case 21 where isName(name, "x-martlet-stream-cost"): wantsStreamCost = value == "1" || isName(value, "true")
        default:
            // The simulator's controls: no real provider knows them.
            if hasPrefix(name, "x-sim-") { pass(name, value) }
        }
    }

    /// A key in a header of its own. One that is no bearer token in `Authorization` outweighs it, as it always has.
    private func take(key: String) {
        guard let credential else {
            credential = key
            return
        }
        if !credential.isEmpty, credential != key { note(RequestFacts.twoCredentials) }
    }

    private func take(forwarded value: String) {
        if !forwarded.isEmpty { forwarded += "," }
        forwarded += value
    }

    private static let twoCredentials = GatewayError.malformedRequest("it carries two different keys; send one")

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

/// Whether a text has only what a host with a port can consist of (RFC 3986 §3.2.2); it may be empty (RFC 9110 §7.2).
private func isHost(_ value: String) -> Bool {
    value.utf8.allSatisfy { byte in
        switch byte {
        case 0x30...0x39, 0x41...0x5a, 0x61...0x7a: true
        case UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: ":"), UInt8(ascii: "["), UInt8(ascii: "]"), UInt8(ascii: "~"),
            UInt8(ascii: "%"), UInt8(ascii: "!"), UInt8(ascii: "$"), UInt8(ascii: "&"), UInt8(ascii: "'"), UInt8(ascii: "("), UInt8(ascii: ")"),
            UInt8(ascii: "*"), UInt8(ascii: "+"), UInt8(ascii: ";"), UInt8(ascii: "="):
            true
        default: false
        }
    }
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
