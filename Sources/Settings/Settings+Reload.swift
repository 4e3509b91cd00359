extension Settings {
    /// A value that differs between two configurations and cannot be changed while a gateway runs.
    package struct FixedChange: Sendable, Hashable {
        /// `server.port`
        package var path: String
        /// As `config show` has it; `nil` where it has none.
        package var inForce: String?
        package var wanted: String?

        package init(path: String, inForce: String?, wanted: String?) {
            self.path = path
            self.inForce = inForce
            self.wanted = wanted
        }
    }

    /// What holds after a reload: every value that can be changed while a gateway runs is that of `next`, every other one stays.
    ///
    /// Of `server`, values are taken over only where they are named here: a new one is reported as needing a restart until somebody has seen to
    /// it that it really takes effect.
    ///
    /// - Returns: the settings that hold now, and what `next` wants otherwise.
    package func reloaded(with next: Settings) -> (settings: Settings, fixed: [FixedChange]) {
        var settings = next
        settings.server = server
        settings.server.bodyMaxBytes = next.server.bodyMaxBytes
        settings.server.bufferedMaxBytes = next.server.bufferedMaxBytes
        settings.server.totalTimeout = next.server.totalTimeout
        settings.server.headTimeout = next.server.headTimeout
        settings.server.bodyTimeout = next.server.bodyTimeout
        settings.server.keepAliveTimeout = next.server.keepAliveTimeout
        settings.server.writeStallTimeout = next.server.writeStallTimeout
        settings.server.bodyRateMin = next.server.bodyRateMin
        settings.server.writeRateMin = next.server.writeRateMin
        settings.server.connectionsMax = next.server.connectionsMax
        settings.server.connectionsPerAddressMax = next.server.connectionsPerAddressMax
        settings.server.trustedProxies = next.server.trustedProxies
        settings.server.trustsUnixSocket = next.server.trustsUnixSocket
        settings.server.clientAddressHeader = next.server.clientAddressHeader
        settings.server.drainDelay = next.server.drainDelay
        settings.server.drainDeadline = next.server.drainDeadline
        settings.data = data
        settings.journal = journal
        return (settings, settings.fixedChanges(to: next))
    }

    private func fixedChanges(to next: Settings) -> [FixedChange] {
        let now = effective.leaves()
        let then = next.effective.leaves()
        var paths = now.map(\.path)
        let known = Set(paths)
        paths += then.map(\.path).filter { !known.contains($0) }
        let nowByPath = Dictionary(now.map { ($0.path, $0.text) }, uniquingKeysWith: { first, _ in first })
        let thenByPath = Dictionary(then.map { ($0.path, $0.text) }, uniquingKeysWith: { first, _ in first })
        return paths.filter { nowByPath[$0] != thenByPath[$0] }.map {
            FixedChange(path: $0, inForce: nowByPath[$0], wanted: thenByPath[$0])
        }
    }
}

extension EffectiveValue {
    /// Every single value with its path: `server.port`, `providers[0].base_url`.
    package func leaves(at path: String = "") -> [(path: String, text: String)] {
        switch self {
        case .text(let text, _), .literal(let text, _): [(path, text)]
        case .list(let items): items.enumerated().flatMap { $0.element.leaves(at: "\(path)[\($0.offset)]") }
        case .mapping(let entries): entries.flatMap { $0.value.leaves(at: path.isEmpty ? $0.key : "\(path).\($0.key)") }
        }
    }
}
