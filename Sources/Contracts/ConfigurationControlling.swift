package import Vocabulary

/// The configuration of a running gateway: what is in force, and the way to another.
package protocol ConfigurationControlling: Sendable {
    /// What is in force now, and how the last reload went.
    var configuration: ConfigurationState { get }
    /// Reads the configuration anew and puts it in force whole.
    ///
    /// - Throws: why it was refused; the one before then stays in force, whole.
    func reload(_ trigger: ReloadTrigger) async throws(ConfigurationRefusal) -> ConfigurationState
}

/// What made a gateway read its configuration.
package enum ReloadTrigger: String, Sendable, Hashable {
    case start, signal, watch, api
}

/// A configuration in force. Nothing in it is a secret.
package struct ConfigurationState: Sendable, Hashable {
    /// 1 at the start, one more with every reload that was taken.
    package var generation: UInt64
    /// When it came into force.
    package var loadedAt: WallTime
    package var trigger: ReloadTrigger
    /// The file; `nil` for the embedded defaults.
    package var file: String?
    /// The settings in force as a JSON object in the shape of the file, secrets masked.
    package var settingsJSON: String
    package var warnings: [String]
    /// What the file says otherwise, and what only holds after a restart.
    package var needsRestart: [RestartNeed]
    /// Why the last reload was refused; `nil` once one has been taken again.
    package var lastRefusal: ConfigurationRefusal?
    package var reloadsTaken: Int64
    package var reloadsRefused: Int64

    package init(
        generation: UInt64, loadedAt: WallTime, trigger: ReloadTrigger, file: String?, settingsJSON: String, warnings: [String] = [],
        needsRestart: [RestartNeed] = [], lastRefusal: ConfigurationRefusal? = nil, reloadsTaken: Int64 = 0, reloadsRefused: Int64 = 0
    ) {
        self.generation = generation
        self.loadedAt = loadedAt
        self.trigger = trigger
        self.file = file
        self.settingsJSON = settingsJSON
        self.warnings = warnings
        self.needsRestart = needsRestart
        self.lastRefusal = lastRefusal
        self.reloadsTaken = reloadsTaken
        self.reloadsRefused = reloadsRefused
    }
}

/// A value that was changed and needs a restart to hold.
package struct RestartNeed: Sendable, Hashable {
    /// `server.port`.
    package var path: String
    /// As text; `nil` where there is none, and for values that may be secrets.
    package var inForce: String?
    /// What the configuration says now.
    package var wanted: String?

    package init(path: String, inForce: String?, wanted: String?) {
        self.path = path
        self.inForce = inForce
        self.wanted = wanted
    }
}

/// Why a configuration was not put in force.
package struct ConfigurationRefusal: Error, Sendable, Hashable {
    package var at: WallTime
    package var trigger: ReloadTrigger
    /// Every mistake; never empty.
    package var problems: [ConfigurationProblem]

    package init(at: WallTime, trigger: ReloadTrigger, problems: [ConfigurationProblem]) {
        self.at = at
        self.trigger = trigger
        self.problems = problems
    }
}

/// One mistake in a configuration and where it is.
package struct ConfigurationProblem: Sendable, Hashable {
    package var file: String?
    /// From 1.
    package var line: Int?
    /// From 1.
    package var column: Int?
    /// The environment variable that is wrong, or `command line`; `nil` when it is the file.
    package var variable: String?
    /// `server.port`; empty when it is about the file as a whole.
    package var path: String
    package var reason: String

    package init(file: String? = nil, line: Int? = nil, column: Int? = nil, variable: String? = nil, path: String, reason: String) {
        self.file = file
        self.line = line
        self.column = column
        self.variable = variable
        self.path = path
        self.reason = reason
    }
}
