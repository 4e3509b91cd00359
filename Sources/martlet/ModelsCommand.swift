import ArgumentParser
import Operations

struct ModelsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "models", abstract: "List the models that the gateway serves, with their deployments and prices.")

    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        try await CommandFailure.reported {
            let answer = try await connection.client().call(.get, "/models")
            try Console.show(answer, asJSON: connection.json) { Table(Table.modelColumns, rows: $0["data"]?.items ?? []).text }
        }
    }
}
