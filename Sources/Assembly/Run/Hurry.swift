import Synchronization

/// Whether somebody has asked twice.
final class Hurry: Sendable {
    private let on = Atomic<Bool>(false)

    var isOn: Bool { on.load(ordering: .relaxed) }

    func begin() { on.store(true, ordering: .relaxed) }
}
