/// How a call ended. Every call has exactly one (PRODUCT C7).
package enum Outcome: UInt8, Sendable, CaseIterable {
    /// The provider answered and the client has the whole answer.
    case success = 0
    /// We said no before anything went to a provider.
    case refused = 1
    /// The provider answered with an error, or not in HTTP, or could not be reached.
    case upstreamError = 2
    /// A time limit of ours ran out.
    case timeout = 3
    /// The client left before its answer was complete.
    case clientGone = 4
    /// The provider broke off a stream that the client had already begun to receive.
    case streamCut = 5
    /// A drain ended the call at its deadline.
    case drained = 6

    /// The name in usage rows and metric labels.
    package var name: String {
        switch self {
        case .success: "success"
        case .refused: "refused"
        case .upstreamError: "upstream_error"
        case .timeout: "timeout"
        case .clientGone: "client_gone"
        case .streamCut: "stream_cut"
        case .drained: "drained"
        }
    }

    package init?(name: String) {
        guard let found = Outcome.allCases.first(where: { $0.name == name }) else { return nil }
        self = found
    }
}
