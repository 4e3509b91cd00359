import Vocabulary

/// An entry of `network.no_proxy`: hosts that are reached without the default proxy.
///
/// `example.com` is that host and everything below it, `.example.com` and `*.example.com` only what is below, `*` everything; `10.0.0.0/8` and
/// `10.1.2.3` are addresses as they stand in `base_url`, since names are not resolved for this. `:PORT` behind a name or an address limits the
/// entry to that port.
package struct ProxyException: Sendable, Hashable {
    private enum Hosts: Sendable, Hashable {
        case all
        case name(String, isIncluded: Bool)
        case range(CIDR)
    }

    /// The entry as it was written, for showing.
    package let text: String
    private let hosts: Hosts
    private let port: Int?

    /// `nil` when the text is no such entry.
    package init?(_ text: String) {
        self.text = text
        if let range = CIDR(text) {
            (hosts, port) = (.range(range), nil)
            return
        }
        var host = text[...]
        var port: Int?
        if let colon = text.lastIndex(of: ":"), !text[colon...].contains("]") {
            guard let number = Int(text[text.index(after: colon)...]), (1...65535).contains(number) else { return nil }
            port = number
            host = text[..<colon]
        }
        if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
        self.port = port
        if let range = CIDR(String(host)) {
            hosts = .range(range)
            return
        }
        if host == "*" {
            hosts = .all
            return
        }
        let isBelowOnly = host.hasPrefix("*.") || host.hasPrefix(".")
        let name = isBelowOnly ? host.drop { $0 == "*" }.dropFirst() : host
        guard isHostName(name.utf8), !name.hasPrefix(".") else { return nil }
        hosts = .name(name.lowercased(), isIncluded: !isBelowOnly)
    }

    /// Whether a provider at this host and port is reached without the default proxy.
    package func matches(host: String, port: Int) -> Bool {
        guard self.port == nil || self.port == port else { return false }
        switch hosts {
        case .all: return true
        case .range(let range): return IPAddress(host).map(range.contains) ?? false
        case .name(let name, let isIncluded):
            var host = host.lowercased()[...]
            if host.hasSuffix(".") { host.removeLast() }
            return (isIncluded && host == name) || host.hasSuffix("." + name)
        }
    }
}
