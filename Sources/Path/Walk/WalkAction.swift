package import Vocabulary

/// What the shell is to do next.
package enum WalkAction: Sendable, Hashable {
    /// Read the body.
    case readBody
    /// Ask admission and routing; the answer comes back as `granted` or `denied`.
    case ask
    /// Start an attempt at the current candidate.
    case call
    /// Start the attempt again, at the same candidate, on a fresh connection.
    case retry
    /// Start an attempt at the next candidate, because of this.
    case fallBack(FallbackReason)
    /// End the running attempt at once.
    case cancelUpstream
    /// Stop, or go on, reading the provider's answer.
    case pauseUpstream
    case resumeUpstream
    /// Keep what has come of a plain answer.
    case gather
    /// Send the client the head of a streamed answer.
    case forwardHead
    /// Send the client what has come.
    case forward
    /// Settle the call and write its record; the answer comes back as `journaled` or `journalFailed`. Exactly one a call.
    case record(Outcome, GatewayError?)
    /// Send the client what was held back: a whole plain answer, or the end of a stream.
    case release
    /// Send the client an error answer; nothing has been sent yet.
    case refuse(GatewayError)
    /// Send the client an error event as the end of its stream.
    case breakOff(GatewayError)
    /// Drop the connection to the client.
    case close
}

/// Why the next deployment was tried.
package enum FallbackReason: Sendable, Hashable {
    case unreachable, cut, invalid, timeout, queueFull
    case status(Int)

    /// The word in usage rows and headers.
    package var name: String {
        switch self {
        case .unreachable: "unreachable"
        case .cut: "cut"
        case .invalid: "invalid_response"
        case .timeout: "timeout"
        case .queueFull: "queue_full"
        case .status(let status): "status_\(status)"
        }
    }
}

/// Up to three actions, to be done in order, without an array.
package struct WalkActions: Sendable, Hashable {
    package var first: WalkAction?
    package var second: WalkAction?
    package var third: WalkAction?

    package init(_ first: WalkAction? = nil, _ second: WalkAction? = nil, _ third: WalkAction? = nil) {
        self.first = first
        self.second = second
        self.third = third
    }

    /// Nothing to do.
    package static var none: WalkActions { WalkActions() }

    /// The same as an array, for tests and logs.
    package var list: [WalkAction] { [first, second, third].compactMap(\.self) }
}
