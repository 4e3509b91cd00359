/// A model endpoint of the data plane.
package enum Endpoint: UInt8, Sendable, CaseIterable {
    case chatCompletions = 0
    case completions = 1
    case embeddings = 2

    /// The path below `/v1`, which is also the path below a provider's base URL.
    package var path: String {
        switch self {
        case .chatCompletions: "/chat/completions"
        case .completions: "/completions"
        case .embeddings: "/embeddings"
        }
    }

    /// The name in usage rows and metric labels.
    package var name: String {
        switch self {
        case .chatCompletions: "chat.completions"
        case .completions: "completions"
        case .embeddings: "embeddings"
        }
    }

    package init?(name: String) {
        guard let found = Endpoint.allCases.first(where: { $0.name == name }) else { return nil }
        self = found
    }
}
