package import Vocabulary

extension Settings {
    /// `network`: how providers are reached, and which addresses are out of bounds.
    package struct Network: Sendable, Equatable {
        /// `network.proxy`: the proxy of providers that name none of their own.
        package var proxy = ProxySource.off
        /// `network.no_proxy`: which hosts ``proxy`` is not for; the default is this machine.
        package var noProxy = Network.thisMachine
        /// `network.ca_file`: PEM certificates to trust instead of the system's, for providers without a `ca_file` and for proxies.
        package var caFile: String?
        /// `network.allow_link_local`: whether providers may be at link-local addresses or those of clouds' metadata services.
        package var allowsLinkLocal = false
        /// `network.deny`: ranges in which no provider may be, whatever its name resolves to.
        package var denied: [CIDR] = []

        /// Hosts for which a proxy elsewhere can do nothing.
        package static let thisMachine = ["localhost", "127.0.0.0/8", "::1"].compactMap { ProxyException($0) }

        package init() {}
    }

    /// Where a proxy is taken from.
    package enum ProxySource: Sendable, Hashable {
        /// Providers are reached directly.
        case off
        /// `https_proxy`, `http_proxy`, `all_proxy` and `no_proxy` of the environment, capitals too.
        case environment
        case url(ProxyURL)

        /// As it is written in a file, without credentials.
        package var text: String {
            switch self {
            case .off: "off"
            case .environment: "env"
            case .url(let url): url.text
            }
        }
    }
}
