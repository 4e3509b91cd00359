internal import Vocabulary

/// What a request is for, by its path alone.
enum RequestTarget {
    case model(Endpoint)
    case modelList
    /// The id is percent-decoded: `/v1/models/a%2Fb` and `/v1/models/a/b` are the same model.
    case modelItem(String)
    /// Under `/v1`, but nothing that we know.
    case unknown(String)
    /// Everything else is the control plane's.
    case control

    init(uri: String) {
        // What nearly every request is for, before anything is taken apart.
        if uri == "/v1/chat/completions" {
            self = .model(.chatCompletions)
            return
        }
        var path = Substring(uri)
        for scheme in ["http://", "https://"] where path.hasPrefix(scheme) {
            // The absolute form (RFC 9112 §3.2.2) is for proxies, but a server must take it.
            path = path.dropFirst(scheme.count)
            path = path.firstIndex(of: "/").map { path[$0...] } ?? "/"
        }
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
