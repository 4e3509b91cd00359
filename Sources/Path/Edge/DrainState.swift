import Synchronization

/// Whether the process is on its way out (ARCHITECTURE §2, Drain). Read for every answer, so that clients leave of their own accord.
package final class DrainState: Sendable {
    private let draining = Atomic<Bool>(false)

    package init() {}

    package var isDraining: Bool { draining.load(ordering: .relaxed) }

    package func begin() { draining.store(true, ordering: .relaxed) }
}
