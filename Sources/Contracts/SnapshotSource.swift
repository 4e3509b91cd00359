import Synchronization
package import Vocabulary

/// Holds the snapshot in force. Reading costs one atomic load while nothing has changed.
package final class SnapshotSource: Sendable {
    private let current: Mutex<Snapshot>
    private let published: Atomic<UInt64>

    package init(_ first: Snapshot) {
        current = Mutex(first)
        published = Atomic(first.generation)
    }

    /// The generation in force, to compare with that of a snapshot in hand.
    package var generation: UInt64 { published.load(ordering: .acquiring) }

    /// The snapshot in force.
    package var snapshot: Snapshot { current.withLock { $0 } }

    /// Puts a snapshot in force. An older generation than the one in force is dropped.
    package func publish(_ next: Snapshot) {
        current.withLock { held in
            guard next.generation > held.generation else { return }
            held = next
            published.store(next.generation, ordering: .releasing)
        }
    }
}
