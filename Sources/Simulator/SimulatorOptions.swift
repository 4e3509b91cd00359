/// How a simulator listens and behaves; every behaviour here can be set per request by an `x-sim-…` header too.
package struct SimulatorOptions: Sendable {
    /// The certificate and key that make the simulator speak TLS; both are PEM files.
    package struct TLS: Sendable {
        /// The certificate chain, the leaf first.
        package var certificateFile: String
        /// The private key of the leaf.
        package var keyFile: String

        /// Paths are read at `start`, not here.
        package init(certificateFile: String, keyFile: String) {
            self.certificateFile = certificateFile
            self.keyFile = keyFile
        }
    }

    /// The address to listen on.
    package var host = "127.0.0.1"
    /// The port to listen on; 0 lets the system choose.
    package var port = 9900
    /// Event loops; `nil` is one for each core.
    package var loops: Int?
    /// `nil` speaks plain HTTP.
    package var tls: TLS?
    /// The only bearer that is let in; `nil` lets any in.
    package var apiKey: String?

    /// Until the first token.
    package var firstTokenDelay = Distribution.fixed(0)
    /// From one token to the next.
    package var tokenDelay = Distribution.fixed(0)
    /// The length of each answer in tokens; `nil` is 16 to 64 by the seed.
    package var tokens: Int?
    /// Mixed into every answer, and the seed of the faults drawn by rate.
    package var seed: Int?

    /// The share of calls, 0 to 1, answered by `errorStatus`.
    package var errorRate = 0.0
    /// The status of the calls that `errorRate` draws, 400 to 599.
    package var errorStatus = 500
    /// The share of calls, 0 to 1, answered by 429 with `Retry-After`.
    package var rateLimitRate = 0.0
    /// Seconds in `Retry-After` of each 429.
    package var retryAfterSeconds = 1.0
    /// The share of calls, 0 to 1, that stop after `stallAfter` frames and leave the connection open.
    package var stallRate = 0.0
    /// With a rate of its own: where such calls stall (8). Without: every call stalls there.
    package var stallAfter: Int?
    /// The share of calls, 0 to 1, that lose their connection after `cutAfter` frames.
    package var cutRate = 0.0
    /// With a rate of its own: where such calls are cut (8). Without: every call is cut there.
    package var cutAfter: Int?

    /// What goes wrong with the calls that `faultRate` draws; see ``FaultKind``.
    package private(set) var faults: [Fault] = []
    /// The share of calls, 0 to 1, that `faults` befall.
    package var faultRate = 1.0

    /// Requests a minute that each key has; more are 429. `nil` is no limit.
    package var requestsPerMinute: Int?
    /// Tokens a minute that each key has. `nil` is no limit.
    package var tokensPerMinute: Int?
    /// Whether answers have `x-ratelimit-…` headers.
    package var sendsRateLimits = true
    /// Whether every call is kept for `GET /sim/calls`, not only those that ask for it by header.
    package var recordsCalls = false
    /// Calls that are kept at once; the oldest are forgotten.
    package var recordedCallsMax = 1000
    /// A file of rules; read at `start`.
    package var scriptFile: String?

    /// Answers at once and without faults, on 127.0.0.1:9900.
    package init() {}

    /// Sets the faults by their names.
    ///
    /// - Parameter text: one or several of ``FaultKind``, with commas between them, each with its number behind `=`.
    /// - Throws: `SimulatorError` in words for a person.
    package mutating func setFaults(_ text: String) throws {
        do throws(Fault.Mistake) { faults = try Fault.list(text) } catch { throw SimulatorError(description: error.reason) }
    }

    /// What is wrong with the options, in words for a person; `nil` when nothing is.
    package var problem: String? {
        for (name, rate) in [
            ("error-rate", errorRate), ("rate-limit-rate", rateLimitRate), ("stall-rate", stallRate), ("cut-rate", cutRate),
            ("fault-rate", faultRate),
        ]
        where !(0...1).contains(rate) {
            return "--\(name) must be between 0 and 1, not \(rate)"
        }
        if errorRate + rateLimitRate + stallRate + cutRate + (faultRate < 1 ? faultRate : 0) > 1 { return "the rates together must not exceed 1" }
        if !(400...599).contains(errorStatus) { return "--error-status must be between 400 and 599, not \(errorStatus)" }
        if !(0...65535).contains(port) { return "--port must be between 0 and 65535, not \(port)" }
        if let loops, !(1...1024).contains(loops) { return "--loops must be between 1 and 1024, not \(loops)" }
        if !(0...86_400_000).contains(retryAfterSeconds) { return "--retry-after must be between 0 and 86400000, not \(retryAfterSeconds)" }
        for (name, number) in [("requests-per-minute", requestsPerMinute), ("tokens-per-minute", tokensPerMinute)] {
            if let number, !(1...1_000_000_000).contains(number) { return "--\(name) must be between 1 and 1000000000, not \(number)" }
        }
        if !(1...100_000).contains(recordedCallsMax) { return "--record-max must be between 1 and 100000, not \(recordedCallsMax)" }
        for (name, number) in [("tokens", tokens), ("stall-after", stallAfter), ("cut-after", cutAfter)] {
            if let number, !(0...RequestControls.maximumTokens).contains(number) {
                return "--\(name) must be between 0 and \(RequestControls.maximumTokens), not \(number)"
            }
        }
        return nil
    }
}
