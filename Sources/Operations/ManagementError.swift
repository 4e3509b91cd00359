/// What can go wrong when a command talks to a gateway.
package enum ManagementError: Error, Sendable, Hashable {
    /// Nothing answers there.
    case unreachable(url: String, reason: String)
    /// The gateway knows no such key, or the key lacks the right (401, 403).
    case refused(status: Int, message: String)
    /// The gateway said no for another reason.
    case failed(status: Int, message: String)
    /// What came back is not what the management API answers.
    case unexpectedAnswer(url: String, reason: String)
    /// The answer could not be written to where it should go.
    case output(String)

    /// One sentence for a person: what is wrong and what to do.
    package var message: String {
        switch self {
        case .unreachable(let url, let reason):
            "no gateway answers at \(url) (\(reason)); start it with 'martlet serve', or name another one with --url or MARTLET_URL"
        case .refused(401, let message):
            "the gateway does not accept the key: \(message) Check --admin-key or MARTLET_ADMIN_KEY."
        case .refused(let status, let message), .failed(let status, let message):
            "the gateway answered \(status): \(message)"
        case .unexpectedAnswer(let url, let reason):
            "what answers at \(url) is not the management API of a gateway: \(reason)"
        case .output(let reason):
            "the answer could not be written: \(reason)"
        }
    }
}
