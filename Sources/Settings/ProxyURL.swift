import Foundation

/// An HTTP proxy for calls to providers: `http://user:password@proxy.example:3128`.
///
/// Shown without its user and password, whatever prints it.
package struct ProxyURL: Sendable, Hashable {
    /// Whether the connection to the proxy itself is encrypted.
    package var isTLS: Bool
    package var host: String
    package var port: Int
    /// `user:password`, percent escapes resolved; `nil` for a proxy that asks for none.
    package var credentials: Secret?

    /// Why a text is no proxy; the text itself is left out, since it may hold a password.
    package enum Mistake: Error, Hashable {
        case scheme
        case credentials
        case address(BaseURL.Mistake)
        case port
        case path

        package var reason: String {
            switch self {
            case .scheme: "must be off, env, or an address that begins with http:// or https://; SOCKS is not supported"
            case .credentials: "has a user or a password with characters that must be percent-encoded"
            case .address(let mistake): mistake.reason
            case .port: "has no port; write it as http://HOST:PORT"
            case .path: "must end behind the port; a proxy has no path"
            }
        }
    }

    package init(isTLS: Bool, host: String, port: Int, credentials: Secret? = nil) {
        self.isTLS = isTLS
        self.host = host
        self.port = port
        self.credentials = credentials
    }

    package init(reading text: String) throws(Mistake) {
        let lowered = text.prefix(8).lowercased()
        guard let scheme = ["https://", "http://"].first(where: lowered.hasPrefix) else { throw .scheme }
        var rest = text.dropFirst(scheme.count)
        if let at = rest.lastIndex(of: "@") {
            let user = String(rest[..<at])
            let isSound = user.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f && !"/?#@[]\"<>\\^`{|}".utf8.contains($0) }
            guard isSound, let decoded = user.removingPercentEncoding, decoded.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7f }) else {
                throw .credentials
            }
            // Without a colon there is a user and an empty password (RFC 7617).
            if !decoded.isEmpty { credentials = Secret(user.contains(":") ? decoded : decoded + ":") }
            rest = rest[rest.index(after: at)...]
        }
        let url: BaseURL
        do throws(BaseURL.Mistake) { url = try BaseURL(reading: scheme + rest) } catch { throw .address(error) }
        guard url.path.isEmpty else { throw .path }
        while rest.last == "/" { rest.removeLast() }
        guard let last = rest.utf8.lastIndex(of: UInt8(ascii: ":")), !rest[last...].contains("]") else { throw .port }
        (isTLS, host, port) = (url.isTLS, url.host, url.port)
    }

    /// The value of `proxy-authorization` (RFC 7617); a secret.
    package var authorization: String? { credentials.map { "Basic " + Data($0.value.utf8).base64EncodedString() } }

    /// The address as it may be shown.
    package var text: String {
        let name = host.contains(":") ? "[\(host)]" : host
        return "\(isTLS ? "https" : "http")://\(credentials == nil ? "" : "***@")\(name):\(port)"
    }
}

extension ProxyURL: CustomStringConvertible, CustomDebugStringConvertible {
    package var description: String { text }
    package var debugDescription: String { text }
}
