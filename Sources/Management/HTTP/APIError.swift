import Contracts
import HTTPTypes
import Vocabulary

/// An error as a client of the management API sees it, in OpenAI's shape.
struct APIError: Error, Sendable {
    var status: Int
    var type: String
    var code: String
    var message: String
    var parameter: String?
    var headers: [(HTTPField.Name, String)] = []

    init(status: Int, type: String = "invalid_request_error", code: String, message: String, parameter: String? = nil) {
        self.status = status
        self.type = type
        self.code = code
        self.message = message
        self.parameter = parameter
    }

    /// A field or query parameter with a value that makes no sense.
    static func invalid(_ parameter: String, _ expectation: String) -> APIError {
        APIError(status: 400, code: "invalid_value", message: "Invalid value for '\(parameter)': \(expectation).", parameter: parameter)
    }

    /// A field or query parameter that nobody reads; taking it in silence would hide a mistake.
    static func unknown(_ parameter: String, known: [String]) -> APIError {
        APIError(
            status: 400, code: "unknown_parameter",
            message: "Unknown parameter: '\(parameter)'. Known are \(known.joined(separator: ", ")).", parameter: parameter)
    }

    static func notFound(code: String, _ message: String) -> APIError {
        APIError(status: 404, code: code, message: message)
    }

    init(_ error: GatewayError) {
        self.init(status: error.status, type: error.type, code: error.code, message: error.message, parameter: error.parameter)
        if error.status == 401 { headers.append((.wwwAuthenticate, "Bearer")) }
        if case .wrongMethod(let allowed) = error { headers.append((.allow, allowed)) }
        if error.status == 503 { headers.append((.retryAfter, "1")) }
    }

    /// The reasons stay in the log: they name files and tables.
    init(_ error: StoreError) {
        switch error {
        case .unavailable:
            self.init(
                status: 503, type: "service_unavailable", code: "store_unavailable",
                message: "The store cannot be reached right now; try again shortly.")
            headers.append((.retryAfter, "1"))
        case .duplicate:
            self.init(status: 409, code: "already_exists", message: "It exists already.")
        case .corrupt:
            self.init(.internalFault)
        }
    }
}
