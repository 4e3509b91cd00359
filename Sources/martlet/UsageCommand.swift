import ArgumentParser
import NIOCore
import Operations

struct UsageCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "usage",
        abstract: "Read the usage log: who called what, when, and what it cost.",
        discussion: """
            Examples:
              martlet usage list --tenant acme --from 2026-11-01 --limit 20
              martlet usage show req-4f1c
              martlet usage totals --model gpt-4o --json
              martlet usage export --format csv --output november.csv
            """,
        subcommands: [List.self, Show.self, Totals.self, Export.self, Flush.self]
    )

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List calls, newest first.")

        @OptionGroup var connection: ConnectionOptions
        @OptionGroup var filter: UsageFilterOptions
        @Option(help: "At most this many rows.")
        var limit: Int?
        @Option(help: "Where the page before ended, as it printed.")
        var cursor: String?

        func validate() throws {
            if let limit, limit < 1 { throw ValidationError("--limit takes a number from 1") }
        }

        func run() async throws {
            try await CommandFailure.reported {
                let page: [(name: String, value: String?)] = [("limit", limit.map(String.init)), ("cursor", cursor)]
                let answer = try await connection.client().call(.get, "/usage", query: filter.query + page)
                var next: String?
                try Console.show(answer, asJSON: connection.json) { value in
                    next = value["has_more"] == .boolean(true) ? value["next_cursor"]?.text : nil
                    return Table(Table.usageColumns, rows: value["data"]?.items ?? []).text
                }
                if let next { Console.message("There are more; add --cursor \(Table.printable(next))") }
            }
        }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show one call, by its request id.")

        @OptionGroup var connection: ConnectionOptions
        @Argument(help: "The x-request-id of the answer.")
        var requestID: String

        func run() async throws {
            try await CommandFailure.reported {
                let answer = try await connection.client().call(.get, "/usage/\(ManagementClient.encoded(requestID))")
                try Console.show(answer, asJSON: connection.json) { Table.fields(of: $0) }
            }
        }
    }

    struct Totals: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Add up calls, tokens and cost.")

        @OptionGroup var connection: ConnectionOptions
        @OptionGroup var filter: UsageFilterOptions

        func run() async throws {
            try await CommandFailure.reported {
                let answer = try await connection.client().call(.get, "/usage/totals", query: filter.query)
                try Console.show(answer, asJSON: connection.json) { Table.fields(of: $0) }
            }
        }
    }

    struct Export: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Write all rows that match, as JSON or CSV.",
            discussion: """
                The rows are streamed, so an export may be larger than memory. A file that is there already is replaced once the export is
                whole.
                """
        )

        enum Format: String, ExpressibleByArgument, CaseIterable {
            case json, csv
        }

        @OptionGroup var connection: ConnectionOptions
        @OptionGroup var filter: UsageFilterOptions
        @Option(help: "json or csv.")
        var format: Format = .json
        @Option(name: .shortAndLong, help: "The file to write; standard output without one.", completion: .file())
        var output: String?

        func validate() throws {
            if connection.json, format == .csv { throw ValidationError("--json and --format csv contradict each other") }
        }

        func run() async throws {
            try await CommandFailure.reported {
                let client = try connection.client()
                let query = filter.query + [(name: "format", value: format.rawValue)]
                guard let output else {
                    try await client.export("/usage/export", query: query) { Console.data($0.readableBytesView) }
                    return
                }
                let file = try ExportFile(path: output)
                do {
                    try await client.export("/usage/export", query: query) { try file.write($0) }
                    try file.finish()
                } catch {
                    file.discard()
                    throw error
                }
                Console.message("written to \(output)")
            }
        }
    }

    struct Flush: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Wait until every call that has ended is in the usage log.")

        @OptionGroup var connection: ConnectionOptions

        func run() async throws {
            try await CommandFailure.reported {
                let answer = try await connection.client().call(.post, "/usage/flush")
                try Console.show(answer, asJSON: connection.json) { Table.fields(of: $0) }
            }
        }
    }
}
