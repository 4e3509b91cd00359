import ArgumentParser
import Assembly
import Logging
import Settings
import Telemetry

struct ServeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve",
        abstract: "Run the gateway.",
        discussion: """
            Flags win over MARTLET_… variables, and those over the file. SIGTERM lets running calls finish and then ends.

            Examples:
              martlet serve
              martlet serve --config martlet.yaml --port 9000
              martlet serve --set journal.on_failure=continue --set providers.sim.base_url=http://127.0.0.1:9901/v1
            """
    )

    @OptionGroup var configuration: ConfigurationOptions

    @Option(help: "The name or address to listen at (server.host).")
    var host: String?

    @Option(help: "The port to listen at; 0 takes a free one (server.port).")
    var port: Int?

    @Option(help: "The directory of everything that is kept (data).", completion: .directory)
    var data: String?

    @Option(
        help: "Nothing below this level is logged: \(Settings.LogLevel.allCases.map(\.rawValue).joined(separator: ", ")) (log.level).",
        completion: .list(Settings.LogLevel.allCases.map(\.rawValue)))
    var logLevel: String?

    private var overrides: [(path: String, value: String)] {
        [("server.host", host), ("server.port", port.map(String.init)), ("data", data), ("log.level", logLevel)].compactMap { path, value in
            value.map { (path: path, value: $0) }
        }
    }

    func run() async throws {
        try await CommandFailure.reported {
            let source = configuration.source(and: overrides)
            let settings = try source.loadNow()
            let threshold = LogThreshold(Logger.Level(rawValue: settings.log.level.rawValue) ?? .info)
            LoggingSystem.bootstrap { JSONLogHandler(label: $0, threshold: threshold) }
            let logger = Logger(label: "martlet")
            for warning in settings.warnings {
                logger.warning("configuration warning", metadata: ["warning": "\(warning)"])
            }
            do {
                try await Gateway(settings: settings, source: source, logThreshold: threshold, logger: logger).run()
            } catch let error as GatewayStartError {
                throw CommandFailure(.failure, "martlet: \(error)")
            }
        }
    }
}
