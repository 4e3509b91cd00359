extension Settings {
    /// Where the gateway of a configuration can be called from this machine.
    ///
    /// Only the address is looked at: a command that talks to a running gateway must not need the secrets of its providers.
    ///
    /// - Returns: `nil` when the port is only known once the gateway runs.
    /// - Throws: when the file cannot be read, or its address is wrong.
    package static func address(file: String?, environment: [String: String], directory: String = ".") throws(SettingsError) -> BaseURL? {
        let (settings, problems) = try read(file: file, environment: environment, overrides: [], directory: directory)
        let own = problems.filter { $0.path == "server" || $0.path == "server.host" || $0.path == "server.port" }
        guard own.isEmpty else { throw SettingsError(problems: own) }
        guard settings.server.port != 0, settings.server.listensOnTCP else { return nil }
        let host =
            switch settings.server.host {
            case "0.0.0.0": "127.0.0.1"
            case "::": "::1"
            default: settings.server.host
            }
        return BaseURL(isTLS: settings.server.tls != nil, host: host, port: settings.server.port, path: "")
    }
}
