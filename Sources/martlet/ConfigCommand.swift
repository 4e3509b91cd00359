import ArgumentParser
import Settings

struct ConfigCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "config",
        abstract: "Check the configuration, show what is in force, or print the schema of the file.",
        subcommands: [Check.self, Show.self, Schema.self]
    )

    struct Check: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Find every mistake in the configuration, with its file, line and reason.",
            discussion: """
                Prints one FILE:LINE:COLUMN: PATH: REASON for each mistake and ends with 78, or with 0 where there is none. Secrets that the
                file refers to (env://NAME, file:///PATH) are looked up, too.

                Examples:
                  martlet config check
                  martlet config check --config martlet.yaml --json
                """
        )

        @Argument(help: "The configuration file; the same as --config.", completion: .file(extensions: ["yaml", "yml"]))
        var file: String?

        @OptionGroup var configuration: ConfigurationOptions

        @Flag(help: "Print JSON.")
        var json = false

        func validate() throws {
            if file != nil, configuration.config != nil { throw ValidationError("name the file once, by itself or with --config") }
        }

        func run() async throws {
            do throws(SettingsError) {
                let settings = try configuration.load(file: file)
                if json {
                    Console.data(CheckReport(problems: [], warnings: settings.warnings).json + "\n")
                } else {
                    for warning in settings.warnings { Console.message("warning: \(warning)") }
                    Console.data("\(settings.file ?? "embedded defaults"): ok\n")
                }
            } catch {
                Console.data(json ? CheckReport(problems: error.problems, warnings: []).json + "\n" : "\(error)\n")
                throw ExitCode(CommandFailure.Code.configuration.rawValue)
            }
        }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show the configuration in force, secrets masked.",
            discussion: """
                Every value that is no default says where it came from: a line of the file, a variable, or the command line.

                Examples:
                  martlet config show
                  MARTLET_SERVER_PORT=9000 martlet config show --json
                """
        )

        @OptionGroup var configuration: ConfigurationOptions

        @Flag(help: "Print JSON.")
        var json = false

        func run() async throws {
            try await CommandFailure.reported {
                let settings = try configuration.load()
                for warning in settings.warnings { Console.message("warning: \(warning)") }
                Console.data(json ? settings.effective.json + "\n" : settings.effective.yaml)
            }
        }
    }
}

extension ConfigCommand {
    struct Schema: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Print the JSON Schema of the configuration file, for editors.",
            discussion: """
                Editors with a YAML language server take it from the first line of the file:
                  # yaml-language-server: $schema=martlet.schema.json

                Examples:
                  martlet config schema > martlet.schema.json
                """
        )

        func run() {
            Console.data(SettingsSchema().json)
        }
    }
}

/// The result of a check for programs.
private struct CheckReport {
    var problems: [SettingsError.Problem]
    var warnings: [String]

    var json: String {
        EffectiveValue.mapping([
            .init("ok", .literal(problems.isEmpty ? "true" : "false", nil)),
            .init("problems", .list(problems.map(describe))),
            .init("warnings", .list(warnings.map { .text($0, nil) })),
        ]).json
    }

    private func describe(_ problem: SettingsError.Problem) -> EffectiveValue {
        func text(_ value: String?) -> EffectiveValue { value.map { .text($0, nil) } ?? .literal("null", nil) }
        func number(_ value: Int?) -> EffectiveValue { .literal(value.map(String.init) ?? "null", nil) }
        return .mapping([
            .init("file", text(problem.file)), .init("line", number(problem.line)), .init("column", number(problem.column)),
            .init("variable", text(problem.variable)), .init("path", text(problem.path)), .init("reason", text(problem.reason)),
        ])
    }
}
