/// What comes to light while a configuration is read: its mistakes, its origins, and which values there could be.
///
/// A class, since all readers of one pass write into the same one; it never leaves the pass.
final class ReadingReport {
    /// A place where a single value may stand.
    struct KnownValue {
        var path: String
        var address: [ConfigNode.Step]
    }

    /// What a single value may be; `configuration schema` is made of it.
    enum ValueKind: Equatable {
        case text
        case integer(ClosedRange<Int>)
        case boolean
        case duration(ClosedRange<Duration>)
        /// In bytes.
        case size(ClosedRange<Int>)
        case choice([String])
        /// US dollars.
        case amount
        /// A list of texts, or one text with commas.
        case items
    }

    /// Where `env://NAME` looks.
    let environment: [String: String]
    private(set) var problems: [SettingsError.Problem] = []
    private(set) var warnings: [String] = []
    private(set) var origins: [String: Origin] = [:]
    private(set) var knownValues: [KnownValue] = []
    /// By pattern: what was asked for at each place, for the schema.
    private(set) var kinds: [String: ValueKind] = [:]
    /// By pattern: the keys of each mapping, in the order in which they are told.
    private(set) var sections: [String: [String]] = [:]
    /// Patterns of the lists of mappings.
    private(set) var lists: Set<String> = []
    /// Patterns of the mappings whose keys are the user's.
    private(set) var openMappings: Set<String> = []

    init(environment: [String: String]) {
        self.environment = environment
    }

    func report(_ reason: String, at path: String, _ origin: Origin) {
        problems.append(SettingsError.Problem(origin: origin, path: path, reason: reason))
    }

    func warn(_ warning: String) {
        warnings.append(warning)
    }

    func learn(path: String, address: [ConfigNode.Step], kind: ValueKind) {
        knownValues.append(KnownValue(path: path, address: address))
        // What is read as one of the more exact kinds may be looked at as a text, too.
        let pattern = ReadingReport.pattern(of: address)
        if kind != .text || kinds[pattern] == nil { kinds[pattern] = kind }
    }

    func learn(section address: [ConfigNode.Step], keys: [String]) {
        sections[ReadingReport.pattern(of: address)] = keys
    }

    func learn(list address: [ConfigNode.Step]) {
        lists.insert(ReadingReport.pattern(of: address))
    }

    func learn(openMapping address: [ConfigNode.Step]) {
        openMappings.insert(ReadingReport.pattern(of: address))
    }

    /// `providers[].timeouts.connect`, whichever provider it is.
    static func pattern(of address: [ConfigNode.Step]) -> String {
        var pattern = ""
        for step in address {
            switch step {
            case .key(let key): pattern += pattern.isEmpty ? key : ".\(key)"
            case .index: pattern += "[]"
            }
        }
        return pattern
    }

    func record(_ origin: Origin, at path: String) {
        // What is built in says nothing about where a value came from.
        guard origin.source != .embedded || origin.reference != nil else { return }
        origins[path] = origin
    }
}
