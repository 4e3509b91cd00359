import Glibc
import NIOCore
import NIOPosix
import NIOSSL
internal import Vocabulary

/// Why a connection to a provider could not be made: for the operator's log. The client learns only that the provider is unreachable.
///
/// No case holds a credential: not the key of a provider, not the password of a proxy.
enum ConnectTrouble: Error, Hashable, CustomStringConvertible {
    case unresolved
    /// Every address that the name has is out of bounds (``AddressRules``).
    case denied(String)
    case socket(errno: CInt)
    case timeout
    case tls(String)
    case certificateFiles(String)
    /// The proxy itself has answered.
    case proxyRefused(status: Int)
    case proxyUnreadable
    case closed
    case other(String)

    var description: String {
        switch self {
        case .unresolved: "the name cannot be resolved"
        case .denied(let address): "the address \(address) is denied by network.deny or as link-local"
        case .socket(let number): String(cString: strerror(number))
        case .timeout: "the time to connect is over"
        case .tls(let reason): "TLS: \(reason)"
        case .certificateFiles(let reason): reason
        case .proxyRefused(407): "the proxy wants other credentials (407)"
        case .proxyRefused(let status): "the proxy refused (\(status))"
        case .proxyUnreadable: "the proxy's answer is not sound HTTP"
        case .closed: "the connection was closed without an answer"
        case .other(let reason): reason
        }
    }

    /// What an error of a bootstrap or a pipeline means.
    init(_ error: any Error) {
        switch error {
        case let error as ConnectTrouble: self = error
        case let error as NIOConnectionError: self.init(connection: error)
        case let error as IOError: self = .socket(errno: error.errnoCode)
        case let error as ChannelError:
            switch error {
            case .connectTimeout: self = .timeout
            case .eof, .ioOnClosedChannel, .alreadyClosed, .inputClosed, .outputClosed: self = .closed
            default: self = .other("\(error)")
            }
        // Whoever wants another certificate may hang up before we have read its reason.
        case let error as NIOSSLError where error == .uncleanShutdown: self = .closed
        default: self = .tls(shortened("\(error)"))
        }
    }

    private init(connection error: NIOConnectionError) {
        if let denied = (error.dnsAError ?? error.dnsAAAAError) as? ConnectTrouble {
            self = denied
        } else if let first = error.connectionErrors.first {
            self.init(first.error)
        } else {
            self = .unresolved
        }
    }
}

/// The errors of a TLS library are long and tell the same several times.
private func shortened(_ text: String) -> String {
    text.contains("CERTIFICATE_VERIFY_FAILED") ? "the certificate is not trusted" : String(tlsWords(in: text).prefix(200))
}
