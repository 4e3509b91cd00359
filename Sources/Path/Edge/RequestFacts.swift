package import NIOCore
package import Vocabulary

/// What the head of a request says, read from its bytes line by line; only what somebody asks for becomes a string.
///
/// A class, so that the lane and its call hold it at the price of one retain.
package final class RequestFacts {
    /// What a request expects before its body (RFC 9110 §10.1.1).
    package enum Expectation { case nothing, goOn, other }

    package private(set) var method = RequestMethod.get
    /// What the request is for.
    package private(set) var target = RequestTarget.control
    /// Path and query; empty for the most usual target, which says it all.
    package private(set) var uri = ""
    package private(set) var isHTTP10 = false
    package private(set) var contentLength: Int?
    package private(set) var isChunked = false
    /// The caller's key, without `Bearer`.
    package private(set) var credential: String?
    package private(set) var requestID: String?
    package private(set) var contentEncoding: String?
    package private(set) var expects = Expectation.nothing
    package private(set) var wantsStreamCost = false
    package private(set) var session = ""
    package private(set) var tags = ""
    /// What trusted proxies say of the client's address; empty where nobody is trusted. Lines are joined by commas.
    package private(set) var forwarded = ""
    /// What makes the head one that another server on the way may have read otherwise.
    package private(set) var fault: GatewayError?
    /// The headers that go on to the provider, as lines.
    package private(set) var passedOn = ByteBuffer()
    /// The head as it came, for the control plane, which wants all of it.
    private var lines: ByteBuffer?

    private let context: RequestParser.Context
    private var place = 0..<0
    private var host = 0..<0
    private var hostCount = 0
    private var authorizationCount = 0
    private var saysClose = false
    private var saysKeepAlive = false
    private var asksForUpgrade = false

    init(_ context: RequestParser.Context) {
        self.context = context
    }

    /// Whether the connection can carry another request. Whoever asks to go on in another protocol may do so behind this request.
    package var keepsAlive: Bool { !saysClose && !asksForUpgrade && (!isHTTP10 || saysKeepAlive) }

    /// Marks the head as one that is not to be answered as it stands.
    private func note(_ message: String) {
        if fault == nil { fault = .malformedRequest(message) }
    }

    // MARK: Lines

    /// Reads the request line (RFC 9112 §3) without its end. White space other than one blank between two words is not tolerated.
    ///
    /// - Returns: what is wrong with it.
    func readRequestLine(_ bytes: UnsafeRawBufferPointer, _ line: Range<Int>) -> RequestParser.Failure? {
        guard let method = RequestMethod(bytes, line) else { return .malformed("the method is unknown") }
        self.method = method
        let words = line.lowerBound + method.name.utf8.count + 1..<line.upperBound
        // " HTTP/1.1"
        guard words.count > 9, bytes.isExactly(words.upperBound - 9..<words.upperBound - 1, " HTTP/1.") else {
            return .malformed("the request line does not end in a version of HTTP/1")
        }
        switch bytes[words.upperBound - 1] {
        case UInt8(ascii: "1"): break
        case UInt8(ascii: "0"): isHTTP10 = true
        default: return .malformed("the version of HTTP is neither 1.1 nor 1.0")
        }
        place = words.lowerBound..<words.upperBound - 9
        return bytes.isSolid(place) ? nil : .malformed("the request target has white space or control characters in it")
    }

    /// Reads a header line without its end.
    func readField(_ bytes: UnsafeRawBufferPointer, _ line: Range<Int>) -> RequestParser.Failure? {
        guard let colon = bytes.colon(in: line) else { return .malformed("a header line does not begin with a name and a colon") }
        guard bytes.isText(colon + 1..<line.upperBound) else { return .malformed("a header has control characters in it") }
        return take(bytes, line.lowerBound..<colon, bytes.trimmed(colon + 1..<line.upperBound))
    }

    private func take(_ bytes: UnsafeRawBufferPointer, _ name: Range<Int>, _ value: Range<Int>) -> RequestParser.Failure? {
        switch name.count {
        case 4 where bytes.isName(name, "host"):
            hostCount += 1
            host = value
            if !isHost(bytes, value) { note("the Host header is no host") }
        case 6 where bytes.isName(name, "expect"):
            expects = expects != .other && bytes.isName(value, "100-continue") ? .goOn : .other
        case 7 where bytes.isName(name, "api-key"): take(key: bytes, value)
        case 7 where bytes.isName(name, "upgrade"): asksForUpgrade = true
        case 9 where bytes.isName(name, "x-api-key"): take(key: bytes, value)
        case 9 where context.addressHeader == .forwarded && bytes.isName(name, "forwarded"): take(forwarded: bytes.text(value))
        case 10 where bytes.isName(name, "connection"):
            bytes.forEachElement(of: value) { element in
                if bytes.isName(element, "close") { saysClose = true }
                if bytes.isName(element, "keep-alive") { saysKeepAlive = true }
            }
        case 10 where bytes.isName(name, "tracestate"): pass(bytes, name, value)
        case 11 where bytes.isName(name, "traceparent") || bytes.isName(name, "openai-beta"): pass(bytes, name, value)
        case 12 where bytes.isName(name, "x-request-id"): if isUsableID(bytes, value) { requestID = bytes.text(value) }
        case 13 where bytes.isName(name, "authorization"):
            authorizationCount += 1
            let token = bearer(bytes, value).map { key(bytes, $0) }
            if let token, let credential, token != credential { note(RequestFacts.twoCredentials) }
            credential = token ?? ""
        case 14 where bytes.isName(name, "content-length"):
            // Two are refused even where they agree: whoever sends them has put two messages together.
            guard let length = bytes.decimal(value), contentLength == nil else { return .malformed("Content-Length is no number, or is there twice") }
            contentLength = length
        case 14 where bytes.isName(name, "x-martlet-tags"): tags = bytes.text(value)
        case 15 where context.addressHeader == .xForwardedFor && bytes.isName(name, "x-forwarded-for"): take(forwarded: bytes.text(value))
        case 15 where bytes.isName(name, "idempotency-key"): pass(bytes, name, value)
        case 16 where bytes.isName(name, "content-encoding"):
            if !bytes.isName(value, "identity") { contentEncoding = bytes.text(value) }
        case 17 where bytes.isName(name, "transfer-encoding"):
            if isChunked || !bytes.isName(value, "chunked") { note("the only transfer encoding is 'chunked'") }
            isChunked = true
        case 17 where bytes.isName(name, "x-martlet-session"): session = bytes.text(value)
        case 21 where bytes.isName(name, "x-martlet-stream-cost"): wantsStreamCost = bytes.isExactly(value, "1") || bytes.isName(value, "true")
        default:
            // The simulator's controls: no real provider knows them.
            if bytes.hasPrefix(name, "x-sim-") { pass(bytes, name, value) }
        }
        return nil
    }

    /// A key in a header of its own. One that is no bearer token in `Authorization` outweighs it, as it always has.
    private func take(key bytes: UnsafeRawBufferPointer, _ value: Range<Int>) {
        guard let credential else {
            credential = key(bytes, value)
            return
        }
        if !credential.isEmpty, credential != bytes.text(value) { note(RequestFacts.twoCredentials) }
    }

    /// The text of a key. Nearly always it is that of the request before, and no new one is made.
    private func key(_ bytes: UnsafeRawBufferPointer, _ value: Range<Int>) -> String {
        bytes.isSame(value, context.knownCredential) ? context.knownCredential : bytes.text(value)
    }

    private func take(forwarded value: String) {
        if !forwarded.isEmpty { forwarded += "," }
        forwarded += value
    }

    private static let twoCredentials = "it carries two different keys; send one"

    private func pass(_ bytes: UnsafeRawBufferPointer, _ name: Range<Int>, _ value: Range<Int>) {
        for index in name { passedOn.writeInteger(bytes[index] >= 0x41 && bytes[index] <= 0x5a ? bytes[index] | 0x20 : bytes[index]) }
        passedOn.writeStaticString(": ")
        passedOn.writeBytes(UnsafeRawBufferPointer(rebasing: bytes[value]))
        passedOn.writeStaticString("\r\n")
    }

    // MARK: The whole

    /// Looks at what only the whole head can tell.
    ///
    /// - Parameter bytes: the same as for its lines.
    func finish(_ bytes: UnsafeRawBufferPointer) -> RequestParser.Failure? {
        // RFC 9112 §6.3: nobody knows where such a body ends.
        if isChunked, contentLength != nil { return .malformed("there are both Content-Length and Transfer-Encoding") }
        // RFC 9112 §3.2: a server must refuse both.
        if hostCount > 1 { note("there is more than one Host header") }
        if hostCount == 0, !isHTTP10 { note("there is no Host header") }
        if authorizationCount > 1 { note("there is more than one Authorization header") }
        // RFC 9112 §6.1: whoever forwards HTTP/1.0 does not know of chunks.
        if isChunked, isHTTP10 { note("HTTP/1.0 has no Transfer-Encoding") }
        if method != .connect, bytes.isExactly(place, "/v1/chat/completions") {
            target = .model(.chatCompletions)
        } else {
            readTarget(bytes)
        }
        return nil
    }

    /// The absolute form of a target (RFC 9112 §3.2.2) becomes the usual one, so that both planes see paths only.
    private func readTarget(_ bytes: UnsafeRawBufferPointer) {
        uri = bytes.text(place)
        if method == .connect {
            note("this is no proxy")
        } else if let form = originForm(of: uri) {
            uri = form.text
            if let authority = form.authority, !isSameHost(authority, bytes.text(host), scheme: form.scheme) {
                note("the request target names another host than the Host header")
            }
        } else {
            note("the request target is neither a path nor a URL")
        }
        // RFC 9110 §4.2.5: a fragment stays with the client; what one reader drops, another may take for a part of the path.
        if uri.utf8.contains(UInt8(ascii: "#")) { note("the request target has a fragment") }
        target = RequestTarget(uri: uri)
    }

    /// Whether somebody will ask for every header.
    var isForControl: Bool { if case .control = target { true } else { false } }

    /// Keeps the bytes of the head for ``takeHeaders()``.
    func keep(_ head: ByteBuffer) { lines = head }

    /// All headers as they came. The second time there are none: the bytes, which may be a part of a large buffer, are let go.
    package func takeHeaders() -> [(name: String, value: String)] {
        guard let head = lines.take() else { return [] }
        return head.withUnsafeReadableBytes { bytes in
            var headers: [(name: String, value: String)] = []
            // The head has been read once: every line has its end, and a name.
            var at = bytes.find(10, from: 0).map { $0 + 1 } ?? bytes.count
            while let end = bytes.find(10, from: at), let colon = bytes.colon(in: at..<end - 1) {
                headers.append((bytes.text(at..<colon), bytes.text(bytes.trimmed(colon + 1..<end - 1))))
                at = end + 1
            }
            return headers
        }
    }
}

/// The credential of `Bearer …`; RFC 6750 has the scheme's name in any case.
private func bearer(_ bytes: UnsafeRawBufferPointer, _ value: Range<Int>) -> Range<Int>? {
    guard value.count > 7, bytes.hasPrefix(value, "bearer ") else { return nil }
    return bytes.trimmed(value.lowerBound + 7..<value.upperBound)
}

/// Whether a text has only what a host with a port can consist of (RFC 3986 §3.2.2); it may be empty (RFC 9110 §7.2).
private func isHost(_ bytes: UnsafeRawBufferPointer, _ value: Range<Int>) -> Bool {
    value.allSatisfy { index in
        switch bytes[index] {
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
private func isUsableID(_ bytes: UnsafeRawBufferPointer, _ value: Range<Int>) -> Bool {
    !value.isEmpty && value.count <= 128 && value.allSatisfy { bytes[$0] > 0x20 && bytes[$0] < 0x7f }
}

/// Compares without regard to ASCII case; `lowercase` is lower case.
func isName(_ text: String, _ lowercase: StaticString) -> Bool {
    var text = text
    return text.withUTF8 { bytes in
        let bytes = UnsafeRawBufferPointer(bytes)
        return bytes.isName(0..<bytes.count, lowercase)
    }
}
