import NIOHTTP1

/// What one call is to suffer: the flags' values, under those of the script's rule, under the request's `x-sim-…` headers.
struct RequestControls: Sendable {
    /// No answer is longer than this many tokens.
    static let maximumTokens = 1_000_000

    var seed: Int?
    var tokens: Int?
    var promptTokens: Int?
    var cachedTokens: Int?
    var reasoningTokens: Int?
    /// Until the first token.
    var firstTokenDelay = Distribution.fixed(0)
    /// From one token to the next.
    var tokenDelay = Distribution.fixed(0)
    /// Where durations that are drawn come from; the same for the n-th call of every run.
    var random = SeededRandom(seed: 0)
    var errorStatus: Int?
    var errorCode: String?
    /// The share of calls that get `errorStatus`; `nil` is all of them.
    var errorRate: Double?
    /// The text of `Retry-After`.
    var retryAfter: String?
    /// The text of `retry-after-ms`.
    var retryAfterMilliseconds: String?
    /// A 429 says nothing about when to try again.
    var hidesRetryAfter = false
    var failFirst: Int?
    var scenario: String?
    /// Content frames (of a plain answer: bytes) until the connection is closed.
    var cutAfter: Int?
    /// Content frames (of a plain answer: bytes) until nothing more is sent.
    var stallAfter: Int?
    /// Content frames until an error event ends the stream.
    var streamErrorAfter: Int?
    var omitsUsage = false
    var records = false
    var faults: [Fault] = []
    /// What a script says the answer is.
    var fixed: FixedAnswer?
    /// Who counts this call against a limit.
    var limiter: RateLimiter?

    init(_ options: SimulatorOptions) {
        seed = options.seed
        tokens = options.tokens
        firstTokenDelay = options.firstTokenDelay
        tokenDelay = options.tokenDelay
        // With a rate the faults are drawn per call; a count alone holds for every call.
        if options.stallRate == 0 { stallAfter = options.stallAfter }
        if options.cutRate == 0 { cutAfter = options.cutAfter }
        if options.faultRate >= 1 { faults = options.faults }
        records = options.recordsCalls
    }

    /// Takes one `x-sim-…` header; unknown ones and unusable values are errors, since a test that sets them means them.
    ///
    /// - Parameter name: in lower case.
    mutating func apply(_ name: String, _ value: String) throws(APIError) {
        let counts = 0...Self.maximumTokens
        switch name {
        case "x-sim-seed": seed = try Self.integer(name, value, Int.min...Int.max)
        case "x-sim-tokens": tokens = try Self.integer(name, value, counts)
        case "x-sim-prompt-tokens": promptTokens = try Self.integer(name, value, 0...Int(Int32.max))
        case "x-sim-cached-tokens": cachedTokens = try Self.integer(name, value, 0...Int(Int32.max))
        case "x-sim-reasoning-tokens": reasoningTokens = try Self.integer(name, value, counts)
        case "x-sim-ttft-ms": firstTokenDelay = try Self.duration(name, value)
        case "x-sim-token-ms": tokenDelay = try Self.duration(name, value)
        case "x-sim-error": errorStatus = try Self.integer(name, value, 400...599)
        case "x-sim-error-code": errorCode = value
        case "x-sim-error-rate":
            guard let rate = Double(value), (0...1).contains(rate) else { throw Self.unusable(name, value) }
            errorRate = rate
        case "x-sim-retry-after":
            guard let seconds = Double(value), seconds >= 0 else { throw Self.unusable(name, value) }
            retryAfter = value
        case "x-sim-retry-after-ms": retryAfterMilliseconds = String(try Self.integer(name, value, 0...86_400_000))
        case "x-sim-fail-first": failFirst = try Self.integer(name, value, counts)
        case "x-sim-scenario": scenario = value
        case "x-sim-cut-after": cutAfter = try Self.integer(name, value, 0...Int(Int32.max))
        case "x-sim-stall-after": stallAfter = try Self.integer(name, value, 0...Int(Int32.max))
        case "x-sim-stream-error-after": streamErrorAfter = try Self.integer(name, value, counts)
        case "x-sim-no-usage": omitsUsage = try Self.integer(name, value, 0...1) == 1
        case "x-sim-record": records = try Self.integer(name, value, 0...1) == 1
        case "x-sim-fault":
            do throws(Fault.Mistake) { faults = try Fault.list(value) } catch {
                throw .invalid(name, "The simulator header '\(name)' cannot be used: \(error.reason).", code: "invalid_simulator_header")
            }
        default: throw .invalid(name, "Unknown simulator header '\(name)'.", code: "unknown_simulator_header")
        }
    }

    /// Turns the faults that are settings into settings.
    mutating func settleFaults() {
        for fault in faults where fault.kind.stage == .settings {
            if let status = fault.kind.errorStatus { errorStatus = status }
            switch fault.kind {
            case .rateLimitMilliseconds:
                errorStatus = 429
                retryAfterMilliseconds = String(fault.number)
                hidesRetryAfter = true
            case .rateLimitNoHint:
                errorStatus = 429
                hidesRetryAfter = true
            case .quota: (errorStatus, errorCode) = (429, "insufficient_quota")
            case .contextLength: (errorStatus, errorCode) = (400, "context_length_exceeded")
            case .noUsage: omitsUsage = true
            case .slowFirstToken: firstTokenDelay = .fixed(Double(fault.number))
            default: break
            }
        }
    }

    /// Whether the answer is to be streamed, which a fault may see otherwise than the request.
    func streams(_ wanted: Bool) -> Bool {
        for fault in faults {
            if fault.kind == .jsonForStream || fault.kind == .error200JSON { return false }
            if fault.kind == .streamForPlain { return true }
        }
        return wanted
    }

    /// Whether the answer has to be taken apart before it goes out.
    var spoilsAnswer: Bool { faults.contains { $0.kind.stage == .answer } || fixed?.raw != nil || fixed?.body != nil }

    private static func integer(_ name: String, _ value: String, _ bounds: ClosedRange<Int>) throws(APIError) -> Int {
        guard let number = Int(value), bounds.contains(number) else { throw unusable(name, value) }
        return number
    }

    private static func duration(_ name: String, _ value: String) throws(APIError) -> Distribution {
        guard let duration = Distribution(value) else { throw unusable(name, value) }
        return duration
    }

    private static func unusable(_ name: String, _ value: String) -> APIError {
        .invalid(name, "The simulator header '\(name)' cannot be '\(value)'.", code: "invalid_simulator_header")
    }
}
