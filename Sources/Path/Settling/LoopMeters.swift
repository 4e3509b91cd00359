import Synchronization
package import Vocabulary

/// The counters of one loop: written on the loop without a lock of their own, read by copying.
///
/// Labels that a client could choose are not among them: models and providers are the configuration's, agents the keys'. Past
/// ``seriesMax`` series the rest is counted together, so that no number of keys can fill the memory.
package struct CallMeters: Sendable {
    /// What a call is counted under.
    package struct Labels: Hashable, Sendable {
        package var agent: String
        package var model: String
        package var provider: String
        package var endpoint: Endpoint
        package var outcome: Outcome
        package var status: Int64
    }

    /// The sums of one set of labels.
    package struct Series: Sendable {
        package init() {}

        package var calls: Int64 = 0
        package var errors: Int64 = 0
        package var tokens = TokenUsage()
        package var costNanodollars: Int64 = 0
        package var attempts: Int64 = 0
        package var duration = Histogram(bounds: CallMeters.durationBounds)
        package var firstByte = Histogram(bounds: CallMeters.firstByteBounds)
        package var overhead = Histogram(bounds: CallMeters.overheadBounds)
    }

    package static let seriesMax = 2_000
    /// Seconds; the range of PRODUCT J2.
    package static let durationBounds: [Double] = [0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 30, 60, 120]
    /// Seconds; CONVENTIONS §3.
    package static let firstByteBounds: [Double] = [0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10]
    /// Seconds: our own part, which is expected far below a millisecond.
    package static let overheadBounds: [Double] = [0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.1]

    /// Sets of labels, and at the same places what was counted under them. Apart, since comparing labels must not copy the sums.
    private var labels: [Labels] = []
    private var sums: [Series] = []
    private var places: [Labels: Int] = [:]
    /// Where the last call was counted: the next one is most likely of the same kind, and comparing is cheaper than hashing.
    private var lastPlace = 0
    package var activeCalls: Int64 = 0
    /// Refusals by code, unauthenticated ones included.
    package private(set) var refusals: [String: Int64] = [:]
    /// Refusals that went into no record because the journal had no room.
    package var refusalsUnrecorded: Int64 = 0
    /// Holds that were dropped instead of settled: faults of ours.
    package var holdsDropped: Int64 = 0

    /// Every set of labels with its sums.
    package var series: [(labels: Labels, series: Series)] { zip(labels, sums).map { ($0, $1) } }

    package mutating func count(_ record: UsageRecord) {
        if lastPlace >= labels.count || !labels[lastPlace].are(thoseOf: record) { lastPlace = place(of: Labels(record)) }
        sums[lastPlace].add(record)
    }

    private mutating func place(of found: Labels) -> Int {
        if let known = places[found] { return known }
        var found = found
        if sums.count >= CallMeters.seriesMax {
            found.agent = "other"
            found.model = "other"
            found.provider = "other"
            if let known = places[found] { return known }
        }
        labels.append(found)
        sums.append(Series())
        places[found] = sums.count - 1
        return sums.count - 1
    }

    package mutating func countRefusal(_ code: String, _ count: Int64) {
        refusals[code, default: 0] += count
    }
}

extension CallMeters.Labels {
    fileprivate init(_ record: UsageRecord) {
        self.init(
            agent: record.agent, model: record.labelledModel, provider: record.provider, endpoint: record.endpoint,
            outcome: record.outcome, status: record.status)
    }

    /// Whether a record is counted under these labels.
    fileprivate func are(thoseOf record: UsageRecord) -> Bool {
        status == record.status && outcome == record.outcome && endpoint == record.endpoint && agent == record.agent
            && provider == record.provider && model == record.labelledModel
    }
}

extension UsageRecord {
    /// A model that we do not know is the client's invention, and no label.
    fileprivate var labelledModel: String { priceVersion.isEmpty ? "" : requestedModel }
}

extension CallMeters.Series {
    fileprivate mutating func add(_ record: UsageRecord) {
        calls += record.count
        if record.outcome != .success, record.outcome != .clientGone { errors += record.count }
        tokens.input += record.tokens.input
        tokens.cachedInput += record.tokens.cachedInput
        tokens.output += record.tokens.output
        tokens.reasoning += record.tokens.reasoning
        costNanodollars += record.cost.nanodollars
        attempts += record.attempts
        duration.observe(microseconds: record.latencyMicroseconds)
        if record.firstByteMicroseconds >= 0 { firstByte.observe(microseconds: record.firstByteMicroseconds) }
        overhead.observe(microseconds: record.overheadMicroseconds)
    }
}

/// Counts of values between fixed bounds, as Prometheus wants them.
package struct Histogram: Sendable {
    /// Upper bounds in seconds, rising.
    package let bounds: [Double]
    /// One count a bound, not cumulative, and one for everything above.
    package private(set) var counts: [UInt64]
    package private(set) var sumMicroseconds: Int64 = 0

    package init(bounds: [Double]) {
        self.bounds = bounds
        counts = Array(repeating: 0, count: bounds.count + 1)
    }

    package mutating func observe(microseconds: Int64) {
        let seconds = Double(microseconds) / 1_000_000
        var index = 0
        while index < bounds.count, seconds > bounds[index] { index += 1 }
        counts[index] += 1
        sumMicroseconds += microseconds
    }

    package mutating func merge(_ other: Histogram) {
        for index in counts.indices where index < other.counts.count { counts[index] += other.counts[index] }
        sumMicroseconds += other.sumMicroseconds
    }
}

/// The meters of one loop behind a lock that nobody else holds for longer than a copy.
package final class LoopMeters: Sendable {
    private let meters = Mutex(CallMeters())

    package init() {}

    package func update(_ change: (inout CallMeters) -> Void) {
        meters.withLock { change(&$0) }
    }

    package var snapshot: CallMeters { meters.withLock { $0 } }
}

extension CallMeters.Series {
    /// Adds what another loop has counted under the same labels.
    package mutating func merge(_ other: CallMeters.Series) {
        calls += other.calls
        errors += other.errors
        tokens.input += other.tokens.input
        tokens.cachedInput += other.tokens.cachedInput
        tokens.output += other.tokens.output
        tokens.reasoning += other.tokens.reasoning
        costNanodollars += other.costNanodollars
        attempts += other.attempts
        duration.merge(other.duration)
        firstByte.merge(other.firstByte)
        overhead.merge(other.overhead)
    }
}
