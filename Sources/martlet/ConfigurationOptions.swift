import ArgumentParser
import Assembly
import Foundation
import Settings

/// The flags of commands that read a configuration.
struct ConfigurationOptions: ParsableArguments {
    @Option(
        name: [.customShort("c"), .long],
        help: "The configuration file; MARTLET_CONFIG names it, too. Without one, ./martlet.yaml if it is there, else the embedded defaults.",
        completion: .file(extensions: ["yaml", "yml"]))
    var config: String?

    @Option(name: .customLong("set"), help: ArgumentHelp("Sets one value over file and environment; may be repeated.", valueName: "path=value"))
    var assignments: [String] = []

    func validate() throws {
        for assignment in assignments where !assignment.contains("=") || assignment.hasPrefix("=") {
            throw ValidationError("--set takes PATH=VALUE, such as --set server.port=9000, not '\(assignment)'")
        }
    }

    /// The values that flags set, by path.
    var overrides: [(path: String, value: String)] {
        assignments.compactMap { assignment in
            assignment.firstIndex(of: "=").map { (String(assignment[..<$0]), String(assignment[assignment.index(after: $0)...])) }
        }
    }

    /// The configuration for a gateway that reads it more than once: always the same file, whatever appears elsewhere meanwhile.
    ///
    /// - Parameter more: as for ``load(file:and:)``.
    func source(and more: [(path: String, value: String)]) -> ConfigurationSource {
        let environment = ProcessInfo.processInfo.environment
        let named = Settings.fileToRead(config, environment: environment)
        let overrides = overrides + more
        return ConfigurationSource(file: named ?? Settings.standardFile) { () throws(SettingsError) in
            try Settings.load(file: named, environment: environment, overrides: overrides)
        }
    }

    /// Everything that can be read, and every mistake.
    func loadAll() throws(SettingsError) -> (settings: Settings, problems: [SettingsError.Problem]) {
        try Settings.loadAll(file: config, environment: ProcessInfo.processInfo.environment, overrides: overrides)
    }

    /// - Parameter more: values that flags of the command itself set; they win over `--set`.
    func load(file: String? = nil, and more: [(path: String, value: String)] = []) throws(SettingsError) -> Settings {
        try Settings.load(file: file ?? config, environment: ProcessInfo.processInfo.environment, overrides: overrides + more)
    }
}
