/// What comes to light while a configuration is read: its mistakes, its origins, and which values there could be.
///
/// A class, since all readers of one pass write into the same one; it never leaves the pass.
final class ReadingReport {
    /// A place where a single value may stand.
    struct KnownValue {
        var path: String
        var address: [ConfigNode.Step]
    }

    /// Where `env://NAME` looks.
    let environment: [String: String]
    private(set) var problems: [SettingsError.Problem] = []
    private(set) var warnings: [String] = []
    private(set) var origins: [String: Origin] = [:]
    private(set) var knownValues: [KnownValue] = []

    init(environment: [String: String]) {
        self.environment = environment
    }

    func report(_ reason: String, at path: String, _ origin: Origin) {
        problems.append(SettingsError.Problem(origin: origin, path: path, reason: reason))
    }

    func warn(_ warning: String) {
        warnings.append(warning)
    }

    func learn(path: String, address: [ConfigNode.Step]) {
        knownValues.append(KnownValue(path: path, address: address))
    }

    func record(_ origin: Origin, at path: String) {
        // What is built in says nothing about where a value came from.
        guard origin.source != .embedded || origin.reference != nil else { return }
        origins[path] = origin
    }
}
