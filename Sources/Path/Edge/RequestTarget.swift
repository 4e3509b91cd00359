package import Vocabulary

/// What a request is for, by its path alone.
package enum RequestTarget {
    case model(Endpoint)
    case modelList
    /// The id is percent-decoded: `/v1/models/a%2Fb` and `/v1/models/a/b` are the same model.
    case modelItem(String)
    /// Under `/v1`, but nothing that we know.
    case unknown(String)
    /// Everything else is the control plane's.
    case control

    /// - Parameter uri: path and query, as the client sent them.
    package init(uri: String) {
        // What nearly every request is for, before anything is taken apart.
        if uri == "/v1/chat/completions" {
            self = .model(.chatCompletions)
            return
        }
        var path = Substring(uri)
        if let end = path.firstIndex(where: { $0 == "?" || $0 == "#" }) { path = path[..<end] }
        guard path == "/v1" || path.hasPrefix("/v1/") else {
            self = .control
            return
        }
        switch path.dropFirst(3) {
        case "/chat/completions": self = .model(.chatCompletions)
        case "/completions": self = .model(.completions)
        case "/embeddings": self = .model(.embeddings)
        case "/models": self = .modelList
        case let rest where rest.hasPrefix("/models/") && rest.utf8.count > 8:
            self = percentDecoded(rest.dropFirst(8)).map { .modelItem($0) } ?? .unknown(String(path))
        default: self = .unknown(String(path))
        }
    }
}

/// A target in the form that servers get, and what it was taken out of.
package struct OriginForm: Equatable {
    /// Path and query.
    package var text: String
    package var scheme = ""
    /// The host and port of an absolute form; `nil` for the others.
    package var authority: Substring?
}

/// Takes the absolute form of a target (RFC 9112 §3.2.2) apart: it is for proxies, but a server must take it.
///
/// - Returns: `nil` for what is neither a path, nor `*`, nor a URL of HTTP.
package func originForm(of uri: String) -> OriginForm? {
    if uri == "*" || uri.utf8.first == UInt8(ascii: "/") { return OriginForm(text: uri) }
    let lowered = uri.prefix(8).lowercased()
    guard let scheme = ["http", "https"].first(where: { lowered.hasPrefix($0 + "://") }) else { return nil }
    let rest = uri.dropFirst(scheme.count + 3)
    let end = rest.firstIndex { $0 == "/" || $0 == "?" || $0 == "#" } ?? rest.endIndex
    // A user in the authority is how one host is made to look like another (RFC 9110 §4.2.4).
    guard end > rest.startIndex, !rest[..<end].utf8.contains(UInt8(ascii: "@")) else { return nil }
    let path = rest[end...]
    return OriginForm(text: path.utf8.first == UInt8(ascii: "/") ? String(path) : "/" + path, scheme: scheme, authority: rest[..<end])
}

/// Whether an authority and a `Host` header name the same host and port.
package func isSameHost(_ authority: Substring, _ host: String, scheme: String) -> Bool {
    let standardPort = scheme == "https" ? ":443" : ":80"
    func plain(_ text: some StringProtocol) -> String {
        let lowered = text.lowercased()
        return lowered.hasSuffix(standardPort) ? String(lowered.dropLast(standardPort.count)) : lowered
    }
    return plain(authority) == plain(host)
}

/// Replaces `%XX`; `nil` when an escape is broken or the result is no UTF-8.
func percentDecoded(_ text: Substring) -> String? {
    var bytes: [UInt8] = []
    var rest = text.utf8[...]
    while let byte = rest.popFirst() {
        guard byte == UInt8(ascii: "%") else {
            bytes.append(byte)
            continue
        }
        guard let high = rest.popFirst().flatMap(hexadecimalValue), let low = rest.popFirst().flatMap(hexadecimalValue) else { return nil }
        bytes.append(high << 4 | low)
    }
    return String(validating: bytes, as: UTF8.self)
}

private func hexadecimalValue(_ byte: UInt8) -> UInt8? {
    switch byte {
    case 0x30...0x39: byte - 0x30
    case 0x41...0x46: byte - 0x41 + 10
    case 0x61...0x66: byte - 0x61 + 10
    default: nil
    }
}
