import ArgumentParser
import Vocabulary

/// Which calls a usage command is about; every given filter must match.
struct UsageFilterOptions: ParsableArguments {
    @Option(name: .customLong("request-id"), help: "The request id.") var requestID: String?
    @Option(help: "The tenant.") var tenant: String?
    @Option(help: "The team.") var team: String?
    @Option(help: "The agent.") var agent: String?
    @Option(help: "The user.") var user: String?
    @Option(help: "The id of the key.") var key: String?
    @Option(help: "The model that was asked for or that answered.") var model: String?
    @Option(help: "The id of the provider.") var provider: String?
    @Option(help: "\(Endpoint.allCases.map(\.name).joined(separator: ", ")).") var endpoint: String?
    @Option(help: "\(Outcome.allCases.map(\.name).joined(separator: ", ")).") var outcome: String?
    @Option(help: "The HTTP status that the client saw.") var status: Int?
    @Option(help: ArgumentHelp("Streamed calls, or plain ones.", valueName: "true|false")) var stream: Bool?
    @Option(help: ArgumentHelp("Calls from this time on.", valueName: "time")) var from: String?
    @Option(help: ArgumentHelp("Calls before this time.", valueName: "time")) var to: String?

    func validate() throws {
        if let endpoint, Endpoint(name: endpoint) == nil {
            throw ValidationError("--endpoint knows \(Endpoint.allCases.map(\.name).joined(separator: ", "))")
        }
        if let outcome, Outcome(name: outcome) == nil {
            throw ValidationError("--outcome knows \(Outcome.allCases.map(\.name).joined(separator: ", "))")
        }
        for (flag, time) in [("--from", from), ("--to", to)] {
            if let time, WallTime(time) == nil {
                throw ValidationError("\(flag) is no time: '\(time)'; write 2026-11-21, 2026-11-21T12:00:00Z or Unix seconds")
            }
        }
    }

    /// The parameters of the management API.
    var query: [(name: String, value: String?)] {
        [
            ("request_id", requestID), ("tenant", tenant), ("team", team), ("agent", agent), ("user", user), ("key", key), ("model", model),
            ("provider", provider), ("endpoint", endpoint), ("outcome", outcome), ("status", status.map(String.init)),
            ("stream", stream.map { $0 ? "true" : "false" }), ("from", from), ("to", to),
        ]
    }
}
