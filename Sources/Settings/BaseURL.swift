/// The address that a provider's endpoints are below: `https://api.example.com/v1`.
package struct BaseURL: Sendable, Hashable {
    package var isTLS: Bool
    /// A host name or an address, IPv6 without its brackets.
    package var host: String
    package var port: Int
    /// What stands in front of every endpoint's path, without a slash at its end: `/v1`, or nothing.
    package var path: String

    package init(isTLS: Bool, host: String, port: Int, path: String) {
        self.isTLS = isTLS
        self.host = host
        self.port = port
        self.path = path
    }

    /// The whole as it would be written, with the port only where it is not the scheme's own.
    package var text: String { "\(isTLS ? "https" : "http")://\(authority)\(path)" }

    /// The `Host` header: the host, and the port where it is not the scheme's own.
    package var authority: String {
        let name = host.contains(":") ? "[\(host)]" : host
        return port == (isTLS ? 443 : 80) ? name : "\(name):\(port)"
    }
}
