import Foundation
package import Settings
import StoresSQLite

/// What only the gateway's own parts know of a machine, for `martlet doctor`. Changes nothing.
package struct Inspection: Sendable {
    private let settings: Settings

    package init(_ settings: Settings) {
        self.settings = settings
    }

    package var storePath: String { settings.data + "/martlet.db" }

    /// The version of the tables that this build makes of older ones.
    package static var storeVersion: Int { Schema.currentVersion }

    /// What a look at the store found.
    package enum Store: Sendable, Equatable {
        case missing
        case unreadable(String)
        case damaged([String])
        /// - Parameter isWhole: whether all of it was looked at.
        case sound(version: Int, isWhole: Bool)
    }

    /// Looks at the store. Blocks.
    ///
    /// - Parameter isInUse: whether a gateway runs on this data directory.
    package func store(isInUse: Bool) -> Store {
        guard FileState(storePath) != nil else { return .missing }
        let log = (try? FileManager.default.attributesOfItem(atPath: storePath + "-wal")[.size] as? Int) ?? 0
        let found = StoreInspection.look(at: storePath, isInUse: isInUse || log > 0)
        if let failure = found.failure { return .unreadable(failure) }
        if !found.damages.isEmpty { return .damaged(found.damages) }
        return .sound(version: found.version ?? 0, isWhole: !found.isPartial)
    }

    /// How many files the configured connections may need, and how many a gateway that this user starts may open.
    package var files: (needed: Int, allowed: Int, connections: Int) {
        let allowed = FileLimit.allowed
        let connections = settings.server.connectionsMax ?? FileLimit(current: allowed, before: allowed).connectionsMax
        return (FileLimit.needed(forConnections: connections), allowed, connections)
    }
}
