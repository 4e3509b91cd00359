import Contracts
import Edge
import Settling
import Synchronization
import Vocabulary

/// What the health endpoints say (PRODUCT J1): ready needs a snapshot, no drain, and a journal that takes records; no store.
final class GatewayHealth: HealthReporting {
    private let journal: Journal
    private let shipper: JournalShipper
    private let store: LazyStore
    private let snapshots: SnapshotSource
    private let drain: DrainState
    private let edge: EdgeReport
    private let configuration: any ConfigurationControlling
    private let refusesWithoutJournal: Bool
    private let started = Atomic<Bool>(false)

    init(
        journal: Journal, shipper: JournalShipper, store: LazyStore, snapshots: SnapshotSource, drain: DrainState, edge: EdgeReport,
        configuration: any ConfigurationControlling, refusesWithoutJournal: Bool
    ) {
        self.journal = journal
        self.shipper = shipper
        self.store = store
        self.snapshots = snapshots
        self.drain = drain
        self.edge = edge
        self.configuration = configuration
        self.refusesWithoutJournal = refusesWithoutJournal
    }

    func markStarted() { started.store(true, ordering: .relaxed) }

    var isStarted: Bool { started.load(ordering: .relaxed) }

    var notReadyReason: String? {
        if !isStarted { return "starting" }
        if drain.isDraining { return "draining" }
        if refusesWithoutJournal, journal.isRefusing { return "journal: \(journal.refusalReason ?? "refusing")" }
        return nil
    }

    func dependencies() async -> [DependencyHealth] {
        [storeHealth(), journalHealth(), snapshotHealth(), configurationHealth()] + edge.dependencies(at: WallTime.now)
    }

    private func storeHealth() -> DependencyHealth {
        let trouble = store.lastError.map { "\($0)" } ?? shipper.lastError
        return DependencyHealth(
            name: "usage_store", state: trouble == nil ? .healthy : .degraded,
            message: trouble.map { "calls go on and their records wait in the journal: \($0)" } ?? "")
    }

    private func journalHealth() -> DependencyHealth {
        let isRefusing = journal.isRefusing
        return DependencyHealth(
            name: "journal", state: isRefusing ? (refusesWithoutJournal ? .unhealthy : .degraded) : .healthy,
            message: isRefusing ? journal.refusalReason ?? "" : "\(journal.segmentCount) segments")
    }

    private func configurationHealth() -> DependencyHealth {
        let state = configuration.configuration
        let problem = state.lastRefusal.map { refusal in
            "the last reload was refused and generation \(state.generation) stays in force: "
                + refusal.problems.map { $0.path.isEmpty ? $0.reason : "\($0.path): \($0.reason)" }.joined(separator: "; ")
        }
        let restart = state.needsRestart.isEmpty ? "" : ", a restart is needed for \(state.needsRestart.map(\.path).joined(separator: ", "))"
        return DependencyHealth(
            name: "configuration", state: problem == nil ? .healthy : .degraded,
            message: problem ?? "generation \(state.generation)\(restart)")
    }

    private func snapshotHealth() -> DependencyHealth {
        let snapshot = snapshots.snapshot
        return DependencyHealth(
            name: "snapshot", state: .healthy,
            message: "generation \(snapshot.generation), \(snapshot.keys.count) keys, \(snapshot.models.count) models")
    }
}
