extension BaseURL {
    /// Why a text is no base URL; the text itself is left out, since it may hold a password.
    package enum Mistake: Error, Hashable {
        case scheme
        case credentials
        case query
        case host
        case port
        case path

        package var reason: String {
            switch self {
            case .scheme: "must begin with http:// or https://"
            case .credentials: "must not hold a user or a password; use api_key or headers"
            case .query: "must not have a query or a fragment"
            case .host: "has no valid host; write it as http://HOST:PORT/PATH"
            case .port: "has a port that is no number from 1 to 65535"
            case .path: "has characters in its path that must be percent-encoded"
            }
        }
    }

    /// Reads `https://api.example.com/v1`; slashes at the end are dropped.
    package init(reading text: String) throws(Mistake) {
        let lowered = text.prefix(8).lowercased()
        let schemeLength: Int
        if lowered.hasPrefix("https://") {
            (isTLS, schemeLength) = (true, 8)
        } else if lowered.hasPrefix("http://") {
            (isTLS, schemeLength) = (false, 7)
        } else {
            throw .scheme
        }
        let rest = Array(text.utf8.dropFirst(schemeLength))
        let end = rest.firstIndex { [UInt8(ascii: "/"), UInt8(ascii: "?"), UInt8(ascii: "#")].contains($0) } ?? rest.endIndex
        var path = rest[end...]
        guard !rest[..<end].contains(UInt8(ascii: "@")) else { throw .credentials }
        guard !path.contains(UInt8(ascii: "?")), !path.contains(UInt8(ascii: "#")) else { throw .query }
        while path.last == UInt8(ascii: "/") { path.removeLast() }
        guard path.allSatisfy({ $0 > 0x20 && $0 < 0x7f && !"\"<>\\^`{|}".utf8.contains($0) }) else { throw .path }
        self.path = String(decoding: path, as: UTF8.self)
        (host, port) = try BaseURL.hostAndPort(rest[..<end], standardPort: isTLS ? 443 : 80)
    }

    private static func hostAndPort(_ authority: ArraySlice<UInt8>, standardPort: Int) throws(Mistake) -> (host: String, port: Int) {
        let host: ArraySlice<UInt8>
        var rest: ArraySlice<UInt8>
        if authority.first == UInt8(ascii: "[") {
            guard let close = authority.firstIndex(of: UInt8(ascii: "]")) else { throw .host }
            host = authority[authority.index(after: authority.startIndex)..<close]
            rest = authority[authority.index(after: close)...]
            guard host.contains(UInt8(ascii: ":")), host.allSatisfy({ isHexadecimal($0) || ":.".utf8.contains($0) }) else { throw .host }
        } else {
            let colon = authority.firstIndex(of: UInt8(ascii: ":")) ?? authority.endIndex
            host = authority[..<colon]
            rest = authority[colon...]
            guard isHostName(host) else { throw .host }
        }
        guard let colon = rest.first else { return (String(decoding: host, as: UTF8.self), standardPort) }
        guard colon == UInt8(ascii: ":") else { throw .host }
        rest.removeFirst()
        guard !rest.isEmpty, rest.allSatisfy({ (0x30...0x39).contains($0) }), let port = Int(String(decoding: rest, as: UTF8.self)),
            (1...65535).contains(port)
        else { throw .port }
        return (String(decoding: host, as: UTF8.self), port)
    }

    private static func isHexadecimal(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x61...0x66).contains(byte | 0x20)
    }
}

/// Whether bytes can be a host name or an IPv4 address: letters, digits, `.`, `-` and `_`, as container networks use it.
func isHostName(_ bytes: some Collection<UInt8>) -> Bool {
    !bytes.isEmpty && bytes.count <= 253
        && bytes.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x7a).contains($0 | 0x20) || "-._".utf8.contains($0) }
}
