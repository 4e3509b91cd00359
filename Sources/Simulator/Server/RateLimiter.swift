import NIOConcurrencyHelpers
package import NIOCore

/// Limits of requests and tokens a minute, for each key on its own, filled again evenly, as OpenAI's are.
package final class RateLimiter: Sendable {
    /// What the `x-ratelimit-…` headers of one answer say.
    package struct State: Sendable {
        /// The limit of requests, if there is one.
        package var requests: Window?
        /// The limit of tokens, if there is one.
        package var tokens: Window?
        /// The limit that said no, if one did: `requests` or `tokens`.
        package var exceeded: String?
        /// How long to wait until there is room again.
        package var retryNanoseconds: Int64 = 0
    }

    /// One limit as a client sees it.
    package struct Window: Sendable {
        /// A minute's worth.
        package var limit: Int
        /// What is left of it.
        package var remaining: Int
        /// Until all of it is there again.
        package var resetNanoseconds: Int64
    }

    private struct Bucket {
        var level: Double
        var updatedAt: NIODeadline
    }

    private struct Buckets {
        var requests: [String: Bucket] = [:]
        var tokens: [String: Bucket] = [:]
    }

    /// Keys that are counted one by one; a client that invents more of them has all limits filled again.
    private static let maximumKeys = 10_000

    private let requestsPerMinute: Int?
    private let tokensPerMinute: Int?
    private let buckets = NIOLockedValueBox(Buckets())

    /// `nil` is no limit.
    package init(requestsPerMinute: Int?, tokensPerMinute: Int?) {
        self.requestsPerMinute = requestsPerMinute
        self.tokensPerMinute = tokensPerMinute
    }

    func reset() { buckets.withLockedValue { $0 = Buckets() } }

    /// Counts one call, if both limits have room for it.
    ///
    /// - Parameter tokens: prompt and completion together.
    package func take(_ key: String, tokens: Int, now: NIODeadline = .now()) -> State {
        buckets.withLockedValue { buckets in
            if buckets.requests.count > Self.maximumKeys || buckets.tokens.count > Self.maximumKeys { buckets = Buckets() }
            var state = State()
            var requests = requestsPerMinute.map { Self.filled(buckets.requests[key], limit: $0, now) }
            var used = tokensPerMinute.map { Self.filled(buckets.tokens[key], limit: $0, now) }
            if let limit = requestsPerMinute, let level = requests?.level, level < 1 {
                state.exceeded = "requests"
                state.retryNanoseconds = Self.nanoseconds(1 - level, limit)
            } else if let limit = tokensPerMinute, let level = used?.level, level < Double(min(tokens, limit)) {
                state.exceeded = "tokens"
                state.retryNanoseconds = Self.nanoseconds(Double(min(tokens, limit)) - level, limit)
            } else {
                requests?.level -= 1
                // A call larger than the limit takes all of it: waiting would never help it.
                if let limit = tokensPerMinute { used?.level -= Double(min(tokens, limit)) }
            }
            buckets.requests[key] = requests
            buckets.tokens[key] = used
            state.requests = Self.window(requests, requestsPerMinute)
            state.tokens = Self.window(used, tokensPerMinute)
            return state
        }
    }

    private static func filled(_ bucket: Bucket?, limit: Int, _ now: NIODeadline) -> Bucket {
        guard let bucket else { return Bucket(level: Double(limit), updatedAt: now) }
        let minutes = Double((now - bucket.updatedAt).nanoseconds) / 60e9
        return Bucket(level: min(Double(limit), bucket.level + minutes * Double(limit)), updatedAt: now)
    }

    private static func window(_ bucket: Bucket?, _ limit: Int?) -> Window? {
        guard let bucket, let limit else { return nil }
        return Window(limit: limit, remaining: Int(bucket.level), resetNanoseconds: nanoseconds(Double(limit) - bucket.level, limit))
    }

    /// How long it takes to fill that much.
    private static func nanoseconds(_ missing: Double, _ limit: Int) -> Int64 { Int64((missing / Double(max(1, limit)) * 60e9).rounded(.up)) }
}

/// A duration as Go writes it, which is what OpenAI's headers have: `6m0s`, `1.5s`, `120ms`, `0s`.
package func goDuration(nanoseconds: Int64) -> String {
    let milliseconds = (nanoseconds + 999_999) / 1_000_000
    guard milliseconds >= 1000 else { return milliseconds == 0 ? "0s" : "\(milliseconds)ms" }
    let hours = milliseconds / 3_600_000
    let minutes = milliseconds / 60_000 % 60
    let fraction = milliseconds % 1000
    var digits = String(String(1000 + fraction).dropFirst())
    while digits.last == "0" { digits.removeLast() }
    let seconds = "\(milliseconds / 1000 % 60)\(digits.isEmpty ? "" : ".\(digits)")s"
    if hours > 0 { return "\(hours)h\(minutes)m\(seconds)" }
    return minutes > 0 ? "\(minutes)m\(seconds)" : seconds
}
