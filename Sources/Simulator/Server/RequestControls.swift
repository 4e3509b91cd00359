import NIOHTTP1

/// What one call is to suffer: the flags' values, overridden by the request's `x-sim-…` headers.
struct RequestControls: Sendable {
    /// No answer is longer than this many tokens.
    static let maximumTokens = 1_000_000
    private static let maximumDelayMilliseconds = 86_400_000.0

    var seed: Int?
    var tokens: Int?
    var promptTokens: Int?
    var cachedTokens: Int?
    var reasoningTokens: Int?
    var ttftNanoseconds: Int64 = 0
    var tokenNanoseconds: Int64 = 0
    var errorStatus: Int?
    var errorCode: String?
    /// The text of `Retry-After`.
    var retryAfter: String?
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

    init(_ options: SimulatorOptions) {
        seed = options.seed
        tokens = options.tokens
        ttftNanoseconds = Int64(options.ttftMilliseconds * 1_000_000)
        tokenNanoseconds = Int64(options.tokenMilliseconds * 1_000_000)
        // With a rate the faults are drawn per call; a count alone holds for every call.
        if options.stallRate == 0 { stallAfter = options.stallAfter }
        if options.cutRate == 0 { cutAfter = options.cutAfter }
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
        case "x-sim-ttft-ms": ttftNanoseconds = try Self.nanoseconds(name, value)
        case "x-sim-token-ms": tokenNanoseconds = try Self.nanoseconds(name, value)
        case "x-sim-error": errorStatus = try Self.integer(name, value, 400...599)
        case "x-sim-error-code": errorCode = value
        case "x-sim-retry-after":
            guard let seconds = Double(value), seconds >= 0 else { throw Self.unusable(name, value) }
            retryAfter = value
        case "x-sim-fail-first": failFirst = try Self.integer(name, value, counts)
        case "x-sim-scenario": scenario = value
        case "x-sim-cut-after": cutAfter = try Self.integer(name, value, 0...Int(Int32.max))
        case "x-sim-stall-after": stallAfter = try Self.integer(name, value, 0...Int(Int32.max))
        case "x-sim-stream-error-after": streamErrorAfter = try Self.integer(name, value, counts)
        case "x-sim-no-usage": omitsUsage = try Self.integer(name, value, 0...1) == 1
        case "x-sim-record": records = try Self.integer(name, value, 0...1) == 1
        default: throw .invalid(name, "Unknown simulator header '\(name)'.", code: "unknown_simulator_header")
        }
    }

    private static func integer(_ name: String, _ value: String, _ bounds: ClosedRange<Int>) throws(APIError) -> Int {
        guard let number = Int(value), bounds.contains(number) else { throw unusable(name, value) }
        return number
    }

    private static func nanoseconds(_ name: String, _ value: String) throws(APIError) -> Int64 {
        guard let number = Double(value), (0...maximumDelayMilliseconds).contains(number) else { throw unusable(name, value) }
        return Int64(number * 1_000_000)
    }

    private static func unusable(_ name: String, _ value: String) -> APIError {
        .invalid(name, "The simulator header '\(name)' cannot be '\(value)'.", code: "invalid_simulator_header")
    }
}
