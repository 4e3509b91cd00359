import ArgumentParser
import Dispatch
import Simulator

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// `martlet simulate`: a model provider for tests, first runs and benchmarks.
struct SimulateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "simulate",
        abstract: "Play OpenAI's API: seeded answers, delays and faults, no model needed.",
        discussion: """
            Every behaviour can also be asked for by one request, with headers: x-sim-seed, x-sim-tokens, x-sim-ttft-ms, x-sim-token-ms, \
            x-sim-error, x-sim-error-code, x-sim-retry-after, x-sim-fail-first with x-sim-scenario, x-sim-cut-after, x-sim-stall-after, \
            x-sim-stream-error-after, x-sim-no-usage, x-sim-prompt-tokens, x-sim-cached-tokens, x-sim-reasoning-tokens, x-sim-record, \
            x-sim-error-rate, x-sim-retry-after-ms, x-sim-fault. GET /sim/stats counts what happened, GET /sim/calls shows recorded calls, \
            GET, PUT and DELETE /sim/script work on the rules of --script, GET /sim/faults lists the faults, POST /sim/reset forgets what happened.
            """)

    @Option(help: "Address to listen on.")
    var host = "127.0.0.1"
    @Option(help: "Port to listen on; 0 lets the system choose.")
    var port = 9900
    @Option(help: "Event loops; one for each core unless given.")
    var loops: Int?
    @Option(
        name: .customLong("ttft-ms"),
        help: "Milliseconds until the first token, or uniform(from,to), normal(mean,deviation), lognormal(median,sigma), exponential(mean).")
    var firstTokenDelay = Distribution.fixed(0)
    @Option(name: .customLong("token-ms"), help: "Milliseconds per token, in the same forms.")
    var tokenDelay = Distribution.fixed(0)
    @Option(help: "Length of each answer in tokens; 16 to 64 unless given.")
    var tokens: Int?
    @Option(help: "Seed of the answers and of the faults drawn by rate.")
    var seed: Int?
    @Option(help: "Share of calls, 0 to 1, that get --error-status.")
    var errorRate = 0.0
    @Option(help: "Status of those errors.")
    var errorStatus = 500
    @Option(help: "Share of calls, 0 to 1, that get 429 with Retry-After.")
    var rateLimitRate = 0.0
    @Option(help: "Seconds in Retry-After of each 429.")
    var retryAfter = 1.0
    @Option(help: "Share of calls, 0 to 1, that stop sending and leave the connection open.")
    var stallRate = 0.0
    @Option(help: "Frames until a stall; without --stall-rate every call stalls.")
    var stallAfter: Int?
    @Option(help: "Share of calls, 0 to 1, that lose their connection.")
    var cutRate = 0.0
    @Option(help: "Frames until a cut; without --cut-rate every call is cut.")
    var cutAfter: Int?
    @Option(help: ArgumentHelp("What goes wrong: names of --list-faults with commas between them.", valueName: "name[=N],…"))
    var fault: String?
    @Option(help: "Share of calls, 0 to 1, that --fault befalls.")
    var faultRate = 1.0
    @Flag(help: "List the faults, one line each, and end.")
    var listFaults = false
    @Option(help: ArgumentHelp("Rules for calls: which ones, and what becomes of them (YAML or JSON).", valueName: "file"))
    var script: String?
    @Option(help: "Requests a minute for each key; more are 429.")
    var requestsPerMinute: Int?
    @Option(help: "Tokens a minute for each key; more are 429.")
    var tokensPerMinute: Int?
    @Flag(inversion: .prefixedNo, help: "Send x-ratelimit-… headers.")
    var rateLimitHeaders = true
    @Flag(help: "Keep every call for GET /sim/calls, not only those that ask for it.")
    var record = false
    @Option(help: "Calls that are kept at once.")
    var recordMax = 1000
    @Option(help: "Certificate chain (PEM); speaks TLS together with --tls-key.")
    var tlsCert: String?
    @Option(help: "Private key (PEM) of --tls-cert.")
    var tlsKey: String?
    @Option(help: "The only key that is let in; any is unless given.")
    var apiKey: String?

    func validate() throws {
        if (tlsCert == nil) != (tlsKey == nil) { throw ValidationError("--tls-cert and --tls-key belong together.") }
        let options: SimulatorOptions
        do { options = try self.options() } catch { throw ValidationError("\(error)") }
        if let problem = options.problem { throw ValidationError(problem) }
    }

    func run() async throws {
        if listFaults {
            for kind in FaultKind.allCases { print(kind.line) }
            return
        }
        let simulator = Simulator(try options())
        // What goes wrong here is told in words and ends with status 1 by the parser.
        let port = try await simulator.start()
        let shownHost = host.contains(":") ? "[\(host)]" : host
        print("simulator listening on \(tlsCert == nil ? "http" : "https")://\(shownHost):\(port)/v1")
        // Standard output is a file or a pipe where scripts wait for this line.
        fflush(nil)
        await Self.terminationSignal()
        await simulator.shutdown()
    }

    private func options() throws -> SimulatorOptions {
        var options = SimulatorOptions()
        options.host = host
        options.port = port
        options.loops = loops
        options.firstTokenDelay = firstTokenDelay
        options.tokenDelay = tokenDelay
        options.tokens = tokens
        options.seed = seed
        options.errorRate = errorRate
        options.errorStatus = errorStatus
        options.rateLimitRate = rateLimitRate
        options.retryAfterSeconds = retryAfter
        options.stallRate = stallRate
        options.stallAfter = stallAfter
        options.cutRate = cutRate
        options.cutAfter = cutAfter
        options.apiKey = apiKey
        if let fault { try options.setFaults(fault) }
        options.faultRate = faultRate
        options.requestsPerMinute = requestsPerMinute
        options.tokensPerMinute = tokensPerMinute
        options.sendsRateLimits = rateLimitHeaders
        options.recordsCalls = record
        options.recordedCallsMax = recordMax
        options.scriptFile = script
        if let tlsCert, let tlsKey { options.tls = SimulatorOptions.TLS(certificateFile: tlsCert, keyFile: tlsKey) }
        return options
    }

    /// Returns at the first SIGTERM or SIGINT.
    private static func terminationSignal() async {
        let (signals, arrived) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        let sources = [SIGTERM, SIGINT].map { number in
            // The default action would end the process before the source sees the signal.
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
            source.setEventHandler { arrived.yield() }
            source.resume()
            return source
        }
        for await _ in signals { break }
        for source in sources { source.cancel() }
    }
}

extension Distribution: ExpressibleByArgument {
    /// - Parameter argument: one of ``Distribution/forms``.
    package init?(argument: String) { self.init(argument) }
}
