import ArgumentParser
import Vocabulary

struct VersionCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "version", abstract: "Print the version.")

    @Flag(help: "Print JSON.")
    var json = false

    func run() {
        Console.data(json ? "{\"name\":\"martlet\",\"version\":\"\(MartletVersion.current)\"}\n" : "martlet \(MartletVersion.current)\n")
    }
}
