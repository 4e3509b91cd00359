package import Vocabulary

/// What admission has set aside for one call: today room in the journal for its record; limits and budgets join it there.
///
/// It cannot be copied, so it is used exactly once: ``settle()`` with the real usage, or ``giveBack()`` when nothing went upstream. A hold
/// that is dropped gives back what it can and counts as a fault of ours.
package struct Hold: ~Copyable {
    private let keeper: any HoldKeeping
    private var isSettled = false
    /// Whether anything was set aside at all; not so when calls go on without a journal.
    package let isBacked: Bool

    package init(keeper: any HoldKeeping, isBacked: Bool = true) {
        self.keeper = keeper
        self.isBacked = isBacked
    }

    /// The call has its record; what was set aside for it is spent.
    package consuming func settle() {
        isSettled = true
        keeper.holdSettled()
    }

    /// The call needs nothing of what was set aside.
    package consuming func giveBack() {
        isSettled = true
        keeper.holdGivenBack()
    }

    deinit {
        if !isSettled { keeper.holdDropped() }
    }
}

/// Whoever granted a hold.
package protocol HoldKeeping: AnyObject {
    func holdSettled()
    func holdGivenBack()
    func holdDropped()
}

/// What a call asks of admission.
package struct AdmissionQuestion {
    package let principal: Principal
    package let model: Model
    package let endpoint: Endpoint

    package init(principal: Principal, model: Model, endpoint: Endpoint) {
        self.principal = principal
        self.model = model
        self.endpoint = endpoint
    }
}

/// What admission says.
package enum AdmissionVerdict: ~Copyable {
    case granted(Hold)
    case denied(GatewayError)
}

/// The step that says whether a call may go ahead. Confined to one event loop.
package protocol Admitting: AnyObject {
    func ask(_ question: AdmissionQuestion) -> AdmissionVerdict
}

/// The step that knows callers by their credentials. Confined to one event loop.
package protocol Identifying: AnyObject {
    /// - Parameter credential: as the client sent it, without `Bearer`.
    func identify(_ credential: String, in snapshot: Snapshot, at now: WallTime) -> Result<Principal, GatewayError>
}

/// The step that turns a model into deployments, in the order in which they are to be tried.
package protocol CandidateChoosing: AnyObject {
    func candidates(for model: Model, endpoint: Endpoint) -> [Deployment]
}
