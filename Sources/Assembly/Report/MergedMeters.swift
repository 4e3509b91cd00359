import Settling
import Vocabulary

/// The meters of all loops, summed under the labels that the families have.
struct MergedMeters {
    struct RequestKey: Hashable {
        var agent: String
        var model: String
        var provider: String
        var outcome: Outcome
    }

    struct EndpointKey: Hashable {
        var endpoint: Endpoint
        var outcome: Outcome
    }

    private(set) var requests: [(key: RequestKey, value: CallMeters.Series)]
    private(set) var endpoints: [(key: EndpointKey, value: CallMeters.Series)]
    private(set) var refusals: [(key: String, value: Int64)]
    private(set) var active: Int64 = 0
    private(set) var refusalsUnrecorded: Int64 = 0
    private(set) var holdsDropped: Int64 = 0

    init(_ loops: [CallMeters]) {
        var requests: [RequestKey: CallMeters.Series] = [:]
        var endpoints: [EndpointKey: CallMeters.Series] = [:]
        var refusals: [String: Int64] = [:]
        for loop in loops {
            active += loop.activeCalls
            refusalsUnrecorded += loop.refusalsUnrecorded
            holdsDropped += loop.holdsDropped
            for (code, count) in loop.refusals { refusals[code, default: 0] += count }
            for (labels, series) in loop.series {
                let key = RequestKey(agent: labels.agent, model: labels.model, provider: labels.provider, outcome: labels.outcome)
                requests[key, default: CallMeters.Series()].merge(series)
                endpoints[EndpointKey(endpoint: labels.endpoint, outcome: labels.outcome), default: CallMeters.Series()].merge(series)
            }
        }
        // In a fixed order, so that two scrapes can be compared by eye.
        self.requests = requests.map { ($0.key, $0.value) }.sorted {
            ($0.key.model, $0.key.provider, $0.key.agent, $0.key.outcome.rawValue)
                < ($1.key.model, $1.key.provider, $1.key.agent, $1.key.outcome.rawValue)
        }
        self.endpoints = endpoints.map { ($0.key, $0.value) }.sorted {
            ($0.key.endpoint.rawValue, $0.key.outcome.rawValue) < ($1.key.endpoint.rawValue, $1.key.outcome.rawValue)
        }
        self.refusals = refusals.map { ($0.key, $0.value) }.sorted { $0.key < $1.key }
    }
}

extension Histogram {
    /// The sum of all values, in seconds.
    var sum: Double { Double(sumMicroseconds) / 1_000_000 }
}
