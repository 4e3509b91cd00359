import ArgumentParser
import Assembly
import Vocabulary

@main
struct Martlet: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "martlet",
        abstract: "An LLM gateway: one address and one kind of key for every model, with the cost of every call on record.",
        discussion: """
            A first call, against simulated models:
              martlet simulate --port 9900 &
              MARTLET_ADMIN_KEY=choose-a-long-one martlet serve &
              MARTLET_ADMIN_KEY=choose-a-long-one martlet keys create --name first

            Exit codes: 0 done, 1 failed, 64 wrong usage, 69 no gateway answers, 77 key refused, 78 wrong configuration; doctor has its own.
            """,
        version: MartletVersion.current,
        subcommands: [
            ServeCommand.self, SimulateCommand.self, ConfigCommand.self, KeysCommand.self, UsageCommand.self, ModelsCommand.self,
            ProvidersCommand.self, DoctorCommand.self, CompletionsCommand.self, VersionCommand.self,
        ]
    )

    static func main() async {
        // As the very first thing, before arguments and configuration are read.
        if CommandLine.arguments.dropFirst().first == ServeCommand.configuration.commandName { EarlySignals.endTheProcess() }
        await main(nil)
    }
}
