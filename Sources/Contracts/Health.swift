/// The state of the process or of one part of it.
package enum HealthState: String, Sendable, Hashable {
    case healthy, degraded, unhealthy
}

/// One thing that Martlet depends on, as it stands now (PRODUCT J1).
package struct DependencyHealth: Sendable, Hashable {
    package var name: String
    package var state: HealthState
    /// How long its last check or use took; `nil` when it has none.
    package var latencyMilliseconds: Double?
    package var message: String

    package init(name: String, state: HealthState, latencyMilliseconds: Double? = nil, message: String = "") {
        self.name = name
        self.state = state
        self.latencyMilliseconds = latencyMilliseconds
        self.message = message
    }
}

/// What the health endpoints ask.
package protocol HealthReporting: Sendable {
    /// Whether start-up is complete.
    var isStarted: Bool { get }
    /// `nil` when new calls are welcome; else why not: no snapshot, draining, or a journal that refuses.
    var notReadyReason: String? { get }
    func dependencies() async -> [DependencyHealth]
}

/// What `/metrics` serves.
package protocol MetricsReporting: Sendable {
    /// The whole exposition in Prometheus' text format 0.0.4.
    func prometheusText() async -> String
}
