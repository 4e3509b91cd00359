/// How connections to one provider leave this machine. Holds the credentials of a proxy, so it is never printed.
package struct Egress: Sendable, Hashable {
    /// `nil` connects to the provider itself.
    package var proxy: OutboundProxy?
    /// A PEM chain that we show to the provider (mTLS), as a path, with ``clientKeyFile``.
    package var clientCertificateFile: String?
    /// The private key of ``clientCertificateFile``, PEM and not encrypted, as a path.
    package var clientKeyFile: String?
    /// The name that is asked for and that the certificate must bear, where it is not the host's.
    package var serverName: String?
    package var addresses: AddressRules

    package init(
        proxy: OutboundProxy? = nil, clientCertificateFile: String? = nil, clientKeyFile: String? = nil, serverName: String? = nil,
        addresses: AddressRules = AddressRules()
    ) {
        self.proxy = proxy
        self.clientCertificateFile = clientCertificateFile
        self.clientKeyFile = clientKeyFile
        self.serverName = serverName
        self.addresses = addresses
    }
}

/// An HTTP proxy on the way to providers.
package struct OutboundProxy: Sendable, Hashable {
    /// Whether the connection to the proxy itself is encrypted (`https://proxy`).
    package var isTLS: Bool
    package var host: String
    package var port: Int
    /// The value of `proxy-authorization`; a secret.
    package var authorization: String?
    /// PEM certificates to trust for the proxy itself instead of the system's, as a path.
    package var caFile: String?

    package init(isTLS: Bool, host: String, port: Int, authorization: String? = nil, caFile: String? = nil) {
        self.isTLS = isTLS
        self.host = host
        self.port = port
        self.authorization = authorization
        self.caFile = caFile
    }
}

/// Which addresses no connection to a provider may go to, whatever its name resolves to.
///
/// Loopback and private ranges are legitimate, since models run on them; link-local ones hold the metadata services of clouds, which hand out
/// credentials to whoever can make this machine ask (SSRF).
package struct AddressRules: Sendable, Hashable {
    /// Whether link-local addresses and those of metadata services may be used.
    package var allowsLinkLocal: Bool
    /// Ranges that the operator has ruled out.
    package var denied: [CIDR]

    package init(allowsLinkLocal: Bool = false, denied: [CIDR] = []) {
        self.allowsLinkLocal = allowsLinkLocal
        self.denied = denied
    }

    /// Link-local ranges (RFC 3927, RFC 4291 §2.5.6), and addresses elsewhere at which clouds serve metadata.
    package static let linkLocal: [CIDR] = [
        "169.254.0.0/16",
        "fe80::/10",
        "fd00:ec2::/32",  // AWS over IPv6
        "fd20:ce::254",  // Google over IPv6
        "100.100.100.200",  // Alibaba
        "192.0.0.192",  // Oracle
        "168.63.129.16",  // Azure
    ].compactMap { CIDR($0) }

    package func allows(_ address: IPAddress) -> Bool {
        if let behind = address.translatedIPv4, !allows(behind) { return false }
        if !allowsLinkLocal, AddressRules.linkLocal.contains(where: { $0.contains(address) }) { return false }
        return !denied.contains { $0.contains(address) }
    }
}
