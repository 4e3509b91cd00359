import Foundation
import Hummingbird
import Vocabulary

extension ManagementContext {
    /// A part of the path, percent-decoded; it may hold encoded slashes.
    func decodedParameter(_ name: String) throws -> String {
        guard let raw = coreContext.parameters.get(name), let decoded = raw.removingPercentEncoding else {
            throw APIError(status: 400, code: "malformed_request", message: "The path is not percent-encoded UTF-8.")
        }
        return decoded
    }
}

extension QueryParameters {
    init(_ request: Request, known: [String]) throws {
        try self.init(request.uri.query ?? "", known: known)
    }
}
