package import Vocabulary

/// Whose word counts for the address of a client: that of the proxies that the operator has named, and nobody else's.
package struct ProxyRules: Sendable, Hashable {
    /// The header that these proxies set. Only one is read: a proxy that sets one passes the other through as the client made it up.
    package enum Header: String, Sendable, CaseIterable {
        case xForwardedFor = "x-forwarded-for"
        /// RFC 7239.
        case forwarded
    }

    package var trusted: [CIDR]
    /// Whether whoever connects to our socket in the file system is such a proxy.
    package var trustsUnix: Bool
    package var header: Header

    package init(trusted: [CIDR] = [], trustsUnix: Bool = false, header: Header = .xForwardedFor) {
        self.trusted = trusted
        self.trustsUnix = trustsUnix
        self.header = header
    }

    /// The proxies that are looked at on the way back to a client; more make no honest chain.
    private static let hopsMax = 32

    package func trusts(_ address: IPAddress) -> Bool { trusted.contains { $0.contains(address) } }

    /// The address of the client: from the last entry on, the first that is no trusted proxy.
    ///
    /// An entry that is no address ends the search, since whatever stands before it cannot be believed; then it is the last proxy that is known.
    ///
    /// - Parameter said: the header's value; the values of several lines with commas between them.
    /// - Returns: `nil` when the header names nobody.
    package func client(_ said: String) -> IPAddress? {
        var client: IPAddress?
        for entry in entries(of: said).reversed().prefix(ProxyRules.hopsMax) {
            guard let address = address(entry) else { break }
            client = address
            if !trusts(address) { break }
        }
        return client
    }

    private func entries(of said: String) -> [Substring] {
        switch header {
        case .xForwardedFor: return said.split(separator: ",", omittingEmptySubsequences: false)
        case .forwarded: return splitOutsideQuotes(said[...], at: UInt8(ascii: ","))
        }
    }

    private func address(_ entry: Substring) -> IPAddress? {
        switch header {
        case .xForwardedFor: return nodeAddress(trimmed(entry))
        case .forwarded:
            for pair in splitOutsideQuotes(entry, at: UInt8(ascii: ";")) {
                let pair = trimmed(pair)
                guard let equals = pair.firstIndex(of: "="), pair[..<equals].lowercased() == "for" else { continue }
                var node = pair[pair.index(after: equals)...]
                if node.utf8.count >= 2, node.first == "\"", node.last == "\"" { node = node.dropFirst().dropLast() }
                return nodeAddress(node)
            }
            return nil
        }
    }
}

/// An address with or without a port: `192.0.2.1`, `192.0.2.1:443`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:443`.
private func nodeAddress(_ text: Substring) -> IPAddress? {
    if text.first == "[" {
        guard let end = text.firstIndex(of: "]"), isPort(text[text.index(after: end)...]) else { return nil }
        let inner = text[text.index(after: text.startIndex)..<end]
        return inner.utf8.contains(UInt8(ascii: ":")) ? IPAddress(String(inner)) : nil
    }
    // More than one colon is IPv6, which has a port only behind brackets.
    guard text.utf8.count(where: { $0 == UInt8(ascii: ":") }) == 1, let colon = text.firstIndex(of: ":") else { return IPAddress(String(text)) }
    return isPort(text[colon...]) ? IPAddress(String(text[..<colon])) : nil
}

/// Nothing, or `:` and a number. Some proxies write a port of five digits that is none; it changes nothing.
private func isPort(_ text: Substring) -> Bool {
    guard let first = text.utf8.first else { return true }
    let digits = text.utf8.dropFirst()
    return first == UInt8(ascii: ":") && (1...5).contains(digits.count) && digits.allSatisfy { (0x30...0x39).contains($0) }
}

private func trimmed(_ text: Substring) -> Substring {
    var text = text
    while let first = text.utf8.first, first == 0x20 || first == 0x09 { text.removeFirst() }
    while let last = text.utf8.last, last == 0x20 || last == 0x09 { text.removeLast() }
    return text
}

/// Splits where a quoted string does not hide the separator (RFC 9110 §5.6.4).
private func splitOutsideQuotes(_ text: Substring, at separator: UInt8) -> [Substring] {
    var parts: [Substring] = []
    var start = text.startIndex
    var isQuoted = false
    var isEscaped = false
    for index in text.utf8.indices {
        let byte = text.utf8[index]
        if isEscaped {
            isEscaped = false
        } else if isQuoted, byte == UInt8(ascii: "\\") {
            isEscaped = true
        } else if byte == UInt8(ascii: "\"") {
            isQuoted.toggle()
        } else if byte == separator, !isQuoted {
            parts.append(text[start..<index])
            start = text.utf8.index(after: index)
        }
    }
    parts.append(text[start...])
    return parts
}
