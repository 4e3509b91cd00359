import Contracts
import HTTPTypes
import Hummingbird
import Vocabulary

/// Who may do what on this listener.
struct Access: Sendable {
    let credentials: any CredentialChecking
    /// Whether the listener is one that only operators reach: metrics and the detail of health need no credential there.
    let isPrivate: Bool

    /// The caller, who must have a valid key.
    func caller(_ request: Request) throws -> Principal {
        guard let credential = Access.credential(request.headers) else { throw GatewayError.missingKey }
        return try credentials.principal(for: credential)
    }

    /// The caller, who must also have a right.
    @discardableResult
    func caller(_ request: Request, with right: Rights) throws -> Principal {
        let caller = try caller(request)
        guard caller.rights.contains(right) else {
            throw GatewayError.missingRight(right == .administrator ? "admin" : right.names.joined(separator: ", "))
        }
        return caller
    }

    /// Lets operators pass: by the listener, or by the right to read metrics.
    func requireOperator(_ request: Request) throws {
        if !isPrivate { try caller(request, with: .metrics) }
    }

    private static func credential(_ headers: HTTPFields) -> String? {
        if let authorization = headers[.authorization] {
            let parts = authorization.split(separator: " ", maxSplits: 1)
            if parts.count == 2, parts[0].lowercased() == "bearer" {
                let token = parts[1].trimmingPrefix(while: { $0 == " " })
                if !token.isEmpty { return String(token) }
            }
        }
        for name in [xAPIKey, apiKey] {
            if let value = headers[name], !value.isEmpty { return value }
        }
        return nil
    }

    // Both are valid header names, so the alternatives are never taken.
    private static let xAPIKey = HTTPField.Name("x-api-key") ?? .authorization
    private static let apiKey = HTTPField.Name("api-key") ?? .authorization
}
