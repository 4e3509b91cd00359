import Synchronization

/// The memory that all request bodies of the process may take together.
package final class BodyBudget: Sendable {
    private let free: Atomic<Int>

    /// - Parameter bytes: the budget.
    package init(bytes: Int) {
        free = Atomic(bytes)
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
