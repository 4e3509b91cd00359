import Synchronization

/// The memory that all request bodies of the process may take together.
package final class BodyBudget: Sendable {
    /// Below zero while more is held than a lowered budget allows.
    private let free: Atomic<Int>
    private let total: Atomic<Int>

    /// - Parameter bytes: the budget.
    package init(bytes: Int) {
        free = Atomic(bytes)
        total = Atomic(bytes)
    }

    /// Sets another budget; what is held stays held. Not to be called by two at once.
    package func resize(to bytes: Int) {
        let former = total.exchange(bytes, ordering: .relaxed)
        free.wrappingAdd(bytes - former, ordering: .relaxed)
    }

    /// Takes some of it; `false` when there is not that much left.
    func take(_ bytes: Int) -> Bool {
        let left = free.wrappingSubtract(bytes, ordering: .relaxed).newValue
        if left >= 0 { return true }
        free.wrappingAdd(bytes, ordering: .relaxed)
        return false
    }

    func giveBack(_ bytes: Int) {
        free.wrappingAdd(bytes, ordering: .relaxed)
    }
}
