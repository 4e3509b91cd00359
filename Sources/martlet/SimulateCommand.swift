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
            x-sim-stream-error-after, x-sim-no-usage, x-sim-prompt-tokens, x-sim-cached-tokens, x-sim-reasoning-tokens, x-sim-record. \
            GET /sim/stats counts what happened, GET /sim/calls shows recorded calls, POST /sim/reset forgets both.
            """)

    @Option(help: "Address to listen on.")
    var host = "127.0.0.1"
    @Option(help: "Port to listen on; 0 lets the system choose.")
    var port = 9900
    @Option(help: "Event loops; one for each core unless given.")
    var loops: Int?
    @Option(name: .customLong("ttft-ms"), help: "Milliseconds until the first token.")
    var ttftMilliseconds = 0.0
    @Option(name: .customLong("token-ms"), help: "Milliseconds per token.")
    var tokenMilliseconds = 0.0
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
    @Option(help: "Certificate chain (PEM); speaks TLS together with --tls-key.")
    var tlsCert: String?
    @Option(help: "Private key (PEM) of --tls-cert.")
    var tlsKey: String?
    @Option(help: "The only key that is let in; any is unless given.")
    var apiKey: String?

    func validate() throws {
        if (tlsCert == nil) != (tlsKey == nil) { throw ValidationError("--tls-cert and --tls-key belong together.") }
        if let problem = options.problem { throw ValidationError(problem) }
    }

    func run() async throws {
        let simulator = Simulator(options)
        // What goes wrong here is told in words and ends with status 1 by the parser.
        let port = try await simulator.start()
        let shownHost = host.contains(":") ? "[\(host)]" : host
        print("simulator listening on \(tlsCert == nil ? "http" : "https")://\(shownHost):\(port)/v1")
        // Standard output is a file or a pipe where scripts wait for this line.
        fflush(nil)
        await Self.terminationSignal()
        await simulator.shutdown()
    }

    private var options: SimulatorOptions {
        var options = SimulatorOptions()
        options.host = host
        options.port = port
        options.loops = loops
        options.ttftMilliseconds = ttftMilliseconds
        options.tokenMilliseconds = tokenMilliseconds
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
