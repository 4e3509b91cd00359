import Synchronization

/// What the edge has turned away or cut off, for the metrics. Every event is a rare one, so a lock will do.
package final class EdgeCounters: Sendable {
    /// Connections that were closed as soon as they were accepted.
    package enum Refused: String, Sendable, CaseIterable {
        case connections = "max_connections"
        case connectionsOfAddress = "max_connections_per_address"
        /// A load balancer that is not trusted, or that did not say whom it brings.
        case proxyProtocol = "proxy_protocol"
    }

    /// Connections that were ended by a limit of the edge.
    package enum Ended: String, Sendable, CaseIterable {
        case handshakeFailed = "handshake_failed"
        case handshakeTimeout = "handshake_timeout"
        /// Something else than TLS came to a listener for TLS.
        case notTLS = "not_tls"
        case headTimeout = "head_timeout"
        case bodyTimeout = "body_timeout"
        case bodyRate = "body_rate"
        case writeStall = "write_stall"
        case writeRate = "write_rate"
    }

    private struct Counts {
        var refused: [Refused: Int64] = [:]
        var ended: [Ended: Int64] = [:]
        var acceptErrors: Int64 = 0
    }

    private let counts = Mutex(Counts())

    package init() {}

    func count(_ refused: Refused) { counts.withLock { $0.refused[refused, default: 0] += 1 } }
    func count(_ ended: Ended) { counts.withLock { $0.ended[ended, default: 0] += 1 } }
    func countAcceptError() { counts.withLock { $0.acceptErrors += 1 } }

    package func refused(_ reason: Refused) -> Int64 { counts.withLock { $0.refused[reason] ?? 0 } }
    package func ended(_ reason: Ended) -> Int64 { counts.withLock { $0.ended[reason] ?? 0 } }
    /// Connections that could not be accepted: out of files, mostly.
    package var acceptErrors: Int64 { counts.withLock { $0.acceptErrors } }
}
