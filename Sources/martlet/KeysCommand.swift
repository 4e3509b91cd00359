import ArgumentParser
import Operations
import Vocabulary

struct KeysCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "keys",
        abstract: "Create, list, show, rotate and revoke API keys.",
        discussion: """
            Examples:
              martlet keys create --name ci --tenant acme --models 'gpt-4o*' --expires-in 30d
              martlet keys create --name ops --rights usage,metrics --json
              martlet keys list
              martlet keys rotate key_4fzyo82m --grace 24h
              martlet keys revoke key_4fzyo82m
            """,
        subcommands: [Create.self, List.self, Show.self, Rotate.self, Revoke.self]
    )

    struct Create: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Make a key and print it; nobody can read it again.")

        @OptionGroup var connection: ConnectionOptions

        @Option(help: "What the key is for.")
        var name: String?
        @Option(help: "Who pays for its calls.")
        var tenant: String?
        @Option(help: "The team within the tenant.")
        var team: String?
        @Option(help: "The program that uses it.")
        var agent: String?
        @Option(help: "The person who uses it.")
        var user: String?
        @Option(help: "What it may do: inference, usage, keys, metrics, or admin for all; commas or repetition. Without any: inference.")
        var rights: [String] = []
        @Option(help: "Which models it may use, with * and ?; commas or repetition. Without any: all.")
        var models: [String] = []
        @Option(help: ArgumentHelp("When it ends: 2027-01-31 or 2027-01-31T12:00:00Z.", valueName: "time"))
        var expiresAt: String?
        @Option(help: ArgumentHelp("After how long it ends: 30d, 12h, 90m.", valueName: "duration"))
        var expiresIn: KeyLife?

        func validate() throws {
            if expiresAt != nil, expiresIn != nil { throw ValidationError("give --expires-at or --expires-in, not both") }
            if let expiresAt, WallTime(expiresAt) == nil { throw ValidationError("--expires-at is no time: '\(expiresAt)'") }
            if Rights(names: KeyOrder.split(rights)) == nil {
                throw ValidationError("--rights knows \(Rights.named.map(\.name).joined(separator: ", ")) and admin")
            }
        }

        func run() async throws {
            try await CommandFailure.reported {
                let order = KeyOrder(
                    name: name, tenant: tenant, team: team, agent: agent, user: user, rights: rights, models: models,
                    expiresAt: expiresAt.flatMap { WallTime($0)?.rfc3339 }, expiresInSeconds: expiresIn?.seconds)
                let answer = try await connection.client().call(.post, "/keys", body: order.json)
                try Console.show(answer, asJSON: connection.json) { Table.fields(of: $0, first: ["key", "id"]) }
                if !connection.json { Console.message("Keep the key now: it is shown this once.") }
            }
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List every key, revoked ones included.")

        @OptionGroup var connection: ConnectionOptions

        func run() async throws {
            try await CommandFailure.reported {
                let answer = try await connection.client().call(.get, "/keys")
                try Console.show(answer, asJSON: connection.json) { Table(Table.keyColumns, rows: $0["data"]?.items ?? []).text }
            }
        }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show one key, by its id.")

        @OptionGroup var connection: ConnectionOptions
        @Argument(help: "The id, as in key_4fzyo82m.")
        var id: String

        func run() async throws {
            try await CommandFailure.reported {
                let answer = try await connection.client().call(.get, "/keys/\(ManagementClient.encoded(id))")
                try Console.show(answer, asJSON: connection.json) { Table.fields(of: $0) }
            }
        }
    }

    struct Rotate: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Give a key a new secret and print it; nobody can read it again.",
            discussion: """
                Id, rights, models and usage of the key stay. With --grace the secret in force now can be used that much longer; without it, \
                it ends at once. A key has two secrets at most: another rotation within a grace ends the oldest one at once.

                Examples:
                  martlet keys rotate key_4fzyo82m --grace 24h
                """)

        @OptionGroup var connection: ConnectionOptions
        @Argument(help: "The id, as in key_4fzyo82m.")
        var id: String
        @Option(help: ArgumentHelp("How long the secret in force now may still be used: 7d, 24h, 30m, 90s.", valueName: "duration"))
        var grace: KeyGrace?

        func run() async throws {
            try await CommandFailure.reported {
                let body = KeyOrder.rotation(graceSeconds: grace?.seconds)
                let answer = try await connection.client().call(.post, "/keys/\(ManagementClient.encoded(id))/rotate", body: body)
                try Console.show(answer, asJSON: connection.json) { Table.fields(of: $0, first: ["key", "id"]) }
                guard !connection.json else { return }
                Console.message("Keep the key now: it is shown this once.")
                let end = APIValue(json: answer)?["previous_expires_at"]?.text
                Console.message(end.map { "The former secret can be used until \($0)." } ?? "The former secret has ended.")
            }
        }
    }

    struct Revoke: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Revoke a key; it is refused from then on.")

        @OptionGroup var connection: ConnectionOptions
        @Argument(help: "The id, as in key_4fzyo82m.")
        var id: String

        func run() async throws {
            try await CommandFailure.reported {
                let answer = try await connection.client().call(.delete, "/keys/\(ManagementClient.encoded(id))")
                if connection.json {
                    Console.json(answer)
                } else {
                    Console.data("\(Table.printable(id)) is revoked\n")
                }
            }
        }
    }
}

/// How long a former secret may still be used, as the command line says it; nothing is a grace, too.
struct KeyGrace: ExpressibleByArgument {
    var seconds: Int64

    init?(argument: String) {
        if argument.allSatisfy({ $0 == "0" || $0 == "s" }), argument.first == "0" {
            seconds = 0
        } else if let seconds = KeyOrder.seconds(argument) {
            self.seconds = seconds
        } else {
            return nil
        }
    }
}

/// How long a key lives, as the command line says it.
struct KeyLife: ExpressibleByArgument {
    var seconds: Int64

    init?(argument: String) {
        guard let seconds = KeyOrder.seconds(argument) else { return nil }
        self.seconds = seconds
    }
}
