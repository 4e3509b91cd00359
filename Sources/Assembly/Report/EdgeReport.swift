import Contracts
import Edge
import Telemetry
import Vocabulary

/// What health and metrics say of the edge: connections, what was turned away, and the certificate.
struct EdgeReport: Sendable {
    let gate: ConnectionGate
    let counters: EdgeCounters
    let tls: ServerTLS?
    let files: FileLimit

    func dependencies(at now: WallTime) -> [DependencyHealth] {
        let isFull = gate.openCount >= gate.connectionsMax
        let connections = DependencyHealth(
            name: "connections", state: isFull ? .degraded : .healthy,
            message: "\(gate.openCount) of \(gate.connectionsMax) connections, \(files.current) open files allowed")
        guard let tls else { return [connections] }
        let left = tls.expiresAt - now.microseconds / 1_000_000
        let failure = tls.reloads.lastFailure
        let certificate = DependencyHealth(
            name: "tls_certificate", state: left <= 0 ? .unhealthy : (failure != nil || left < EdgeReport.expiresSoonSeconds ? .degraded : .healthy),
            message: (left <= 0 ? "expired" : "expires in \(left / 86_400) days") + (failure.map { "; the last reload failed: \($0)" } ?? ""))
        return [connections, certificate]
    }

    /// A week: certificates that renew themselves do so long before.
    private static let expiresSoonSeconds: Int64 = 7 * 86_400

    func write(to text: inout PrometheusText) {
        text.gauge(name: "martlet_connections", help: "Connections of clients that hold a place.", samples: [([], Int64(gate.openCount))])
        text.gauge(name: "martlet_connections_max", help: "How many there may be.", samples: [([], Int64(gate.connectionsMax))])
        text.counter(
            name: "martlet_connections_refused_total", help: "Connections that were closed as soon as they were accepted.",
            samples: EdgeCounters.Refused.allCases.map { ([("reason", $0.rawValue)], counters.refused($0)) })
        text.counter(
            name: "martlet_connections_ended_total", help: "Connections that a limit of the edge has ended.",
            samples: EdgeCounters.Ended.allCases.map { ([("reason", $0.rawValue)], counters.ended($0)) })
        text.counter(
            name: "martlet_accept_errors_total", help: "Connections that could not be accepted, for lack of files mostly.",
            samples: [([], counters.acceptErrors)])
        guard let tls else { return }
        text.gauge(
            name: "martlet_tls_certificate_expiry_timestamp_seconds", help: "When the certificate that clients are shown ends, in Unix time.",
            samples: [([], tls.expiresAt)])
        let reloads = tls.reloads
        text.counter(
            name: "martlet_tls_certificate_reloads_total", help: "Certificates read again, by what came of it.",
            samples: [([("result", "success")], reloads.succeeded), ([("result", "failure")], reloads.failed)])
    }
}
