import ArgumentParser
import Logging

@main
struct Martlet: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "martlet", subcommands: [SimulateCommand.self])
}
