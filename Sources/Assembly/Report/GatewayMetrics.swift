import Calling
import Contracts
import Settling
import Telemetry
import Vocabulary

/// Everything that `/metrics` serves, summed over the loops (PRODUCT J2).
final class GatewayMetrics: MetricsReporting {
    private let meters: [LoopMeters]
    private let journal: Journal
    private let upstream: UpstreamShared
    private let snapshots: SnapshotSource
    private let edge: EdgeReport
    private let configuration: any ConfigurationControlling
    private let connections: @Sendable () async -> Int
    private let startedAt = WallTime.now

    init(
        meters: [LoopMeters], journal: Journal, upstream: UpstreamShared, snapshots: SnapshotSource, edge: EdgeReport,
        configuration: any ConfigurationControlling, connections: @escaping @Sendable () async -> Int
    ) {
        self.meters = meters
        self.journal = journal
        self.upstream = upstream
        self.snapshots = snapshots
        self.edge = edge
        self.configuration = configuration
        self.connections = connections
    }

    func prometheusText() async -> String {
        let calls = MergedMeters(meters.map(\.snapshot))
        var text = PrometheusText()
        writeCalls(calls, to: &text)
        writeHead(calls, connections: await connections(), to: &text)
        writeOwn(calls, to: &text)
        writeConfiguration(to: &text)
        edge.write(to: &text)
        ProcessFigures.read(startedAt: startedAt).write(to: &text)
        return text.text
    }

    private func writeCalls(_ calls: MergedMeters, to text: inout PrometheusText) {
        text.counter(
            name: "llm_requests_total", help: "Model calls by agent, model, provider and outcome.",
            samples: calls.requests.map { (labels($0.key), $0.value.calls) })
        text.histogram(
            name: "llm_request_duration_seconds", help: "From the head read to the last byte handed over.", bounds: CallMeters.durationBounds,
            series: calls.requests.map { (labels($0.key), $0.value.duration.counts, $0.value.duration.sum) })
        text.counter(
            name: "llm_tokens_used_total", help: "Tokens by kind; cached is part of input, reasoning of output.",
            samples: calls.requests.flatMap { entry in
                [
                    (labels(entry.key) + [("type", "input")], entry.value.tokens.input),
                    (labels(entry.key) + [("type", "output")], entry.value.tokens.output),
                    (labels(entry.key) + [("type", "cached_input")], entry.value.tokens.cachedInput),
                    (labels(entry.key) + [("type", "reasoning")], entry.value.tokens.reasoning),
                ]
            })
        text.counter(
            name: "llm_errors_total", help: "Calls that ended without a whole answer, but for clients that left.",
            samples: calls.requests.filter { $0.value.errors > 0 }.map { (labels($0.key), $0.value.errors) })
        text.counter(
            name: "llm_cost_total", help: "Cost in USD.",
            samples: calls.requests.map { (labels($0.key), Double($0.value.costNanodollars) / 1_000_000_000) })
        text.gauge(name: "llm_active_requests", help: "Calls that are running.", samples: [([], calls.active)])
    }

    /// The routing role's families; one process plays all roles.
    private func writeHead(_ calls: MergedMeters, connections: Int, to text: inout PrometheusText) {
        text.counter(
            name: "head_requests_total", help: "Model calls by endpoint and outcome.",
            samples: calls.endpoints.map { ([("endpoint", $0.key.endpoint.name), ("status", $0.key.outcome.name)], $0.value.calls) })
        text.histogram(
            name: "head_request_latency_seconds", help: "From the head read to the last byte handed over.", bounds: CallMeters.durationBounds,
            series: calls.endpoints.map {
                ([("endpoint", $0.key.endpoint.name), ("status", $0.key.outcome.name)], $0.value.duration.counts, $0.value.duration.sum)
            })
        text.counter(
            name: "head_request_errors_total", help: "Calls that ended without a whole answer, but for clients that left.",
            samples: calls.endpoints.filter { $0.value.errors > 0 }.map {
                ([("endpoint", $0.key.endpoint.name), ("status", $0.key.outcome.name)], $0.value.errors)
            })
        text.gauge(name: "head_active_connections", help: "Connections of clients.", samples: [([], Int64(connections))])
    }

    private func writeOwn(_ calls: MergedMeters, to text: inout PrometheusText) {
        text.histogram(
            name: "martlet_time_to_first_byte_seconds", help: "From the head read to the provider's first answer byte.",
            bounds: CallMeters.firstByteBounds,
            series: calls.requests.map { (labels($0.key), $0.value.firstByte.counts, $0.value.firstByte.sum) })
        text.histogram(
            name: "martlet_overhead_seconds", help: "The part of a call's time that was not spent waiting for a provider.",
            bounds: CallMeters.overheadBounds,
            series: calls.requests.map { (labels($0.key), $0.value.overhead.counts, $0.value.overhead.sum) })
        text.counter(
            name: "martlet_refusals_total", help: "Refused calls by error code.", samples: calls.refusals.map { ([("code", $0.key)], $0.value) })
        text.counter(
            name: "martlet_refusals_unrecorded_total", help: "Refusals without a record, because the journal had no room.",
            samples: [([], calls.refusalsUnrecorded)])
        text.counter(
            name: "martlet_holds_dropped_total", help: "Reservations that were dropped instead of settled: faults of Martlet's own.",
            samples: [([], calls.holdsDropped)])
        text.gauge(name: "martlet_journal_segments", help: "Journal files on disk.", samples: [([], Int64(journal.segmentCount))])
        text.gauge(
            name: "martlet_journal_refusing", help: "1 while new calls are refused because the journal cannot be written.",
            samples: [([], Int64(journal.isRefusing ? 1 : 0))])
        let upstream = upstream.counts
        text.gauge(name: "martlet_upstream_connections", help: "Open connections to providers.", samples: [([], Int64(upstream.connectionsOpen))])
        text.counter(
            name: "martlet_upstream_connections_opened_total", help: "Connections opened to providers.",
            samples: [([], Int64(upstream.connectionsOpened))])
        text.counter(
            name: "martlet_stale_connections_total",
            help: "Reused connections that ended without an answer byte; the call may have been billed twice.",
            samples: [([], Int64(upstream.staleRetries))])
        text.gauge(
            name: "martlet_snapshot_generation", help: "The snapshot in force.", samples: [([], Int64(clamping: snapshots.generation))])
        text.gauge(
            name: "martlet_build_info", help: "The version that runs.", samples: [([("version", MartletVersion.current)], Int64(1))])
    }

    private func writeConfiguration(to text: inout PrometheusText) {
        let state = configuration.configuration
        text.counter(
            name: "martlet_config_reloads_total", help: "Reloads of the configuration.",
            samples: [([("result", "success")], state.reloadsTaken), ([("result", "failure")], state.reloadsRefused)])
        text.gauge(
            name: "martlet_config_last_reload_successful", help: "0 while the last reload was refused and an older configuration is in force.",
            samples: [([], Int64(state.lastRefusal == nil ? 1 : 0))])
        text.gauge(
            name: "martlet_config_last_reload_success_timestamp_seconds", help: "When the configuration in force was read, in Unix time.",
            samples: [([], Double(state.loadedAt.microseconds) / 1_000_000)])
        text.gauge(
            name: "martlet_config_generation", help: "1 at the start, one more with each reload that was taken.",
            samples: [([], Int64(clamping: state.generation))])
        text.gauge(
            name: "martlet_config_needs_restart", help: "Values that the configuration has changed and that only hold after a restart.",
            samples: [([], Int64(state.needsRestart.count))])
    }

    private func labels(_ key: MergedMeters.RequestKey) -> [(String, String)] {
        [("agent", key.agent), ("model", key.model), ("provider", key.provider), ("status", key.outcome.name)]
    }
}
