import ArgumentParser
import Operations

struct ProvidersCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "providers", abstract: "List the providers that the gateway calls.")

    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        try await CommandFailure.reported {
            let answer = try await connection.client().call(.get, "/providers")
            try Console.show(answer, asJSON: connection.json) { Table(Table.providerColumns, rows: $0["data"]?.items ?? []).text }
        }
    }
}
