import Foundation

extension Settings {
    /// The file that is read when none is named and it is there.
    package static let standardFile = "martlet.yaml"

    /// Variables that begin with `MARTLET_` and belong to other things than the settings.
    private static let reservedVariables: Set<String> = [
        "MARTLET_ADMIN_KEY", "MARTLET_API_KEY", "MARTLET_BINARY", "MARTLET_CA_FILE", "MARTLET_CONFIG", "MARTLET_URL",
    ]

    /// Reads the configuration: the file, then variables over it, then flags over both.
    ///
    /// Without a file, and without `martlet.yaml` in `directory`, the embedded defaults take its place.
    ///
    /// - Parameters:
    ///   - file: the file that was asked for; `nil` looks at `MARTLET_CONFIG`, then for `martlet.yaml`.
    ///   - environment: `MARTLET_SERVER_PORT` is `server.port`; empty variables count as not set. `env://NAME` is looked up here, too.
    ///   - overrides: values by path (`server.port`), as flags set them.
    ///   - directory: where `martlet.yaml` is looked for.
    /// - Throws: every mistake at once.
    package static func load(
        file: String? = nil, environment: [String: String], overrides: [(path: String, value: String)] = [], directory: String = "."
    ) throws(SettingsError) -> Settings {
        let (settings, problems) = try read(file: file, environment: environment, overrides: overrides, directory: directory)
        guard problems.isEmpty else { throw SettingsError(problems: problems) }
        return settings
    }

    /// The same with everything that could be read beside the mistakes; a mistaken value has its default.
    ///
    /// - Throws: what keeps the file from being read at all.
    package static func loadAll(
        file: String? = nil, environment: [String: String], overrides: [(path: String, value: String)] = []
    ) throws(SettingsError) -> (settings: Settings, problems: [SettingsError.Problem]) {
        try read(file: file, environment: environment, overrides: overrides, directory: ".")
    }

    /// The same for the text of a file.
    ///
    /// - Parameter file: the name that problems show.
    package static func load(
        yaml: String, file: String = standardFile, environment: [String: String] = [:], overrides: [(path: String, value: String)] = []
    ) throws(SettingsError) -> Settings {
        let (root, problems) = try YAMLSource.read(bytes: Array(yaml.utf8), file: file)
        let (settings, all) = finish(root, file: file, problems: problems, environment: environment, overrides: overrides)
        guard all.isEmpty else { throw SettingsError(problems: all) }
        return settings
    }

    /// What could be read, with every mistake in it; a mistaken value has its default.
    ///
    /// - Throws: when the file cannot be read at all.
    static func read(
        file: String?, environment: [String: String], overrides: [(path: String, value: String)], directory: String
    ) throws(SettingsError) -> (settings: Settings, problems: [SettingsError.Problem]) {
        let file = fileToRead(file, environment: environment, directory: directory)
        var root = embeddedTree
        var problems: [SettingsError.Problem] = []
        if let file { (root, problems) = try YAMLSource.read(file: file) }
        return finish(root, file: file, problems: problems, environment: environment, overrides: overrides)
    }

    /// The file that ``load(file:environment:overrides:directory:)`` reads; `nil` where the embedded defaults hold.
    package static func fileToRead(_ file: String?, environment: [String: String], directory: String = ".") -> String? {
        file ?? environment["MARTLET_CONFIG"].flatMap { $0.isEmpty ? nil : $0 } ?? standardFile(in: directory)
    }

    private static func standardFile(in directory: String) -> String? {
        let path = directory == "." ? standardFile : "\(directory)/\(standardFile)"
        return FileManager.default.fileExists(atPath: path) ? path : nil
    }

    private static func finish(
        _ tree: ConfigNode, file: String?, problems: [SettingsError.Problem], environment: [String: String],
        overrides: [(path: String, value: String)]
    ) -> (settings: Settings, problems: [SettingsError.Problem]) {
        var root = tree
        var problems = problems
        // A first pass learns which values there are: the keys of every provider and model that the file names.
        let scout = ReadingReport(environment: environment)
        _ = SettingsReader(report: scout).read(root)
        var overlay = Overlay(knownValues: scout.knownValues)
        overlay.apply(environment: environment.filter { !reservedVariables.contains($0.key) }, to: &root)
        overlay.apply(overrides: overrides, to: &root)
        problems += overlay.problems

        let report = ReadingReport(environment: environment)
        var settings = SettingsReader(report: report).read(root)
        problems += report.problems
        settings.file = file
        settings.warnings += overlay.warnings
        do throws(SettingsError.Problem.Reason) {
            settings.adminKey = try adminKey(environment, warnings: &settings.warnings)
        } catch {
            problems.append(.init(file: nil, variable: "MARTLET_ADMIN_KEY", path: "", reason: error.text))
        }
        return (settings, inOrder(problems))
    }

    private static func adminKey(_ environment: [String: String], warnings: inout [String]) throws(SettingsError.Problem.Reason) -> Secret? {
        guard var key = environment["MARTLET_ADMIN_KEY"], !key.isEmpty else { return nil }
        if let reference = Reference(key) {
            switch reference.resolve(environment: environment) {
            case .success(let value): key = value
            case .failure(let mistake): throw .init(text: mistake.reason)
            }
        }
        guard key.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else {
            throw .init(text: "must be visible ASCII without spaces, since it is sent in a header")
        }
        if key.utf8.count < 16 { warnings.append("MARTLET_ADMIN_KEY is shorter than 16 characters and can be guessed; make it longer") }
        return Secret(key)
    }

    /// By line within the file, then what is wrong elsewhere; each mistake once, however often an alias repeats it.
    private static func inOrder(_ problems: [SettingsError.Problem]) -> [SettingsError.Problem] {
        var seen: Set<SettingsError.Problem> = []
        let unique = problems.filter { seen.insert($0).inserted }
        return unique.enumerated().sorted { left, right in
            let (a, b) = (left.element, right.element)
            let places = [(a.file == nil ? 1 : 0, b.file == nil ? 1 : 0), (a.line ?? 0, b.line ?? 0), (a.column ?? 0, b.column ?? 0)]
            for (a, b) in places where a != b { return a < b }
            return left.offset < right.offset
        }.map(\.element)
    }
}

extension SettingsError.Problem {
    /// The text of a problem whose place is known already.
    struct Reason: Error {
        var text: String
    }
}
