/// Lays environment variables and flags over what the file says.
struct Overlay {
    private let byPath: [String: [ConfigNode.Step]]
    /// By variable; more than one path where ids differ only in characters that a variable cannot have.
    private let byVariable: [String: [ReadingReport.KnownValue]]
    private(set) var problems: [SettingsError.Problem] = []
    private(set) var warnings: [String] = []

    init(knownValues: [ReadingReport.KnownValue]) {
        byPath = Dictionary(knownValues.map { ($0.path, $0.address) }, uniquingKeysWith: { first, _ in first })
        byVariable = Dictionary(grouping: knownValues) { Overlay.variable(for: $0.path) }
    }

    /// `server.max_body` is set by `MARTLET_SERVER_MAX_BODY`.
    static func variable(for path: String) -> String {
        let name = path.utf8.map { byte -> UInt8 in
            switch byte {
            case 0x61...0x7a: byte - 0x20
            case 0x30...0x39, 0x41...0x5a: byte
            default: UInt8(ascii: "_")
            }
        }
        return "MARTLET_" + String(decoding: name, as: UTF8.self)
    }

    mutating func apply(environment: [String: String], to root: inout ConfigNode) {
        for (name, value) in environment.sorted(by: { $0.key < $1.key }) where name.hasPrefix("MARTLET_") && !value.isEmpty {
            let targets = byVariable[name] ?? []
            guard let target = targets.first else {
                let advice = suggestion(for: name, among: byVariable.keys.sorted()).map { "; did you mean \($0)?" } ?? ""
                warnings.append("the environment variable \(name) sets nothing\(advice)")
                continue
            }
            guard Set(targets.map(\.path)).count == 1 else {
                let paths = targets.map(\.path).joined(separator: " or ")
                problems.append(.init(file: nil, variable: name, path: "", reason: "could mean \(paths); set it in the file or by --set"))
                continue
            }
            root.set(value, at: target.address[...], origin: Origin(.environment(name)))
        }
    }

    mutating func apply(overrides: [(path: String, value: String)], to root: inout ConfigNode) {
        for (path, value) in overrides {
            guard let address = byPath[path] else {
                let advice =
                    suggestion(for: path, among: byPath.keys.sorted()).map { "; did you mean \($0)?" }
                    ?? "; one is server.port, another providers.ID.base_url"
                problems.append(.init(file: nil, variable: "command line", path: path, reason: "is no single value of the configuration\(advice)"))
                continue
            }
            root.set(value, at: address[...], origin: Origin(.commandLine))
        }
    }
}
