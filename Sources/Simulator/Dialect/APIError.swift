import NIOCore

/// An answer in OpenAI's error shape.
struct APIError: Error {
    var status: Int
    var message: String
    var type: String
    var param: String?
    var code: String?

    /// The body, ready to send.
    func body() -> ByteBuffer {
        var buffer = ByteBuffer()
        buffer.writeStaticString("{\"error\":{\"message\":")
        buffer.writeJSON(message)
        buffer.writeStaticString(",\"type\":")
        buffer.writeJSON(type)
        buffer.writeStaticString(",\"param\":")
        buffer.writeJSON(param)
        buffer.writeStaticString(",\"code\":")
        buffer.writeJSON(code)
        buffer.writeStaticString("}}")
        return buffer
    }
}

extension APIError {
    /// A 400 about one field.
    static func invalid(_ param: String?, _ message: String, code: String? = nil) -> APIError {
        APIError(status: 400, message: message, type: "invalid_request_error", param: param, code: code)
    }

    static let malformedBody = invalid(
        nil, "We could not parse the JSON body of your request. (The OpenAI API expects a JSON payload, but what was sent was not valid JSON.)")

    static func missing(_ param: String) -> APIError {
        invalid(param, "Missing required parameter: '\(param)'.", code: "missing_required_parameter")
    }

    static func wrongType(_ param: String, expected: String, got kind: JSONScanner.Kind) -> APIError {
        let found =
            switch kind {
            case .string: "a string"
            case .number: "a number"
            case .object: "an object"
            case .array: "an array"
            case .boolean: "a boolean"
            case .null: "null"
            }
        return invalid(param, "Invalid type for '\(param)': expected \(expected), but got \(found) instead.", code: "invalid_type")
    }

    static func outOfRange(_ param: String, _ number: Int, _ bounds: ClosedRange<Int>) -> APIError {
        let below = number < bounds.lowerBound
        let bound = below ? "a value >= \(bounds.lowerBound)" : "a value <= \(bounds.upperBound)"
        return invalid(
            param, "Invalid '\(param)': integer \(below ? "below minimum" : "above maximum") value. Expected \(bound), but got \(number) instead.",
            code: below ? "integer_below_min_value" : "integer_above_max_value")
    }

    static func unknownModel(_ model: String) -> APIError {
        APIError(
            status: 404, message: "The model `\(model)` does not exist or you do not have access to it.", type: "invalid_request_error", param: nil,
            code: "model_not_found")
    }

    static func unknownPath(_ method: String, _ path: String) -> APIError {
        APIError(status: 404, message: "Invalid URL (\(method) \(path))", type: "invalid_request_error", param: nil, code: "unknown_url")
    }

    static func wrongMethod(_ method: String, _ path: String) -> APIError {
        APIError(
            status: 405, message: "Not allowed to \(method) on \(path).", type: "invalid_request_error", param: nil, code: "method_not_supported")
    }

    static let missingKey = APIError(
        status: 401,
        message: "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth "
            + "(i.e. Authorization: Bearer YOUR_KEY).", type: "invalid_request_error", param: nil, code: nil)

    static func wrongKey(_ key: String) -> APIError {
        let shown = key.count > 8 ? "\(key.prefix(4))****\(key.suffix(4))" : "****"
        return APIError(
            status: 401, message: "Incorrect API key provided: \(shown).", type: "invalid_request_error", param: nil, code: "invalid_api_key")
    }

    static func tooLarge(limitBytes: Int) -> APIError {
        APIError(
            status: 413, message: "The request body is larger than \(limitBytes) bytes.", type: "invalid_request_error", param: nil,
            code: "request_too_large")
    }
}

extension APIError {
    /// The 429 of a limit.
    ///
    /// - Parameter exceeded: `requests` or `tokens`.
    static func rateLimited(_ exceeded: String, limit: Int, wait: String) -> APIError {
        let name = exceeded == "requests" ? "requests per min (RPM)" : "tokens per min (TPM)"
        return APIError(
            status: 429, message: "Rate limit reached on \(name): Limit \(limit). Please try again in \(wait).", type: exceeded, param: nil,
            code: "rate_limit_exceeded")
    }

    /// The error that a client of OpenAI sees with that status, for faults made on purpose.
    ///
    /// - Parameter code: replaces the usual code. `insufficient_quota` and `context_length_exceeded` also bring their own type and message.
    static func simulated(status: Int, code: String?) -> APIError {
        var error = usual(status)
        guard let code else { return error }
        error.code = code
        switch code {
        case "insufficient_quota":
            error.type = code
            error.message = "You exceeded your current quota, please check your plan and billing details."
        case "context_length_exceeded":
            error.param = "messages"
            error.message =
                "This model's maximum context length is 128000 tokens. However, your messages resulted in more. Please reduce their length."
        case "tokens":
            error.type = code
            error.code = "rate_limit_exceeded"
            error.message = "Rate limit reached on tokens per min (TPM): Limit 2000000. Please try again later."
        default:
            break
        }
        return error
    }

    private static func usual(_ status: Int) -> APIError {
        func error(_ message: String, _ type: String, _ code: String?) -> APIError {
            APIError(status: status, message: message, type: type, param: nil, code: code)
        }
        return switch status {
        case 400: error("Your request was malformed (simulated).", "invalid_request_error", nil)
        case 401: error("Incorrect API key provided (simulated).", "invalid_request_error", "invalid_api_key")
        case 402: error("Your account has no credit left (simulated).", "invalid_request_error", "billing_not_active")
        case 403: error("You do not have access to this resource (simulated).", "invalid_request_error", "permission_denied")
        case 404: error("The model does not exist or you do not have access to it (simulated).", "invalid_request_error", "model_not_found")
        case 408: error("The request timed out (simulated).", "timeout", "request_timeout")
        case 409: error("The resource was updated by another request (simulated).", "invalid_request_error", "conflict")
        case 413: error("The request is too large (simulated).", "invalid_request_error", "request_too_large")
        case 422: error("The request was well formed but could not be processed (simulated).", "invalid_request_error", "unprocessable_entity")
        case 429: error("Rate limit reached on requests per min (RPM): Limit 10000. Please try again later.", "requests", "rate_limit_exceeded")
        case 500: error("The server had an error while processing your request (simulated).", "server_error", "internal_error")
        case 502: error("Bad gateway (simulated).", "server_error", "bad_gateway")
        case 503: error("The engine is currently overloaded, please try again later (simulated).", "server_error", "service_unavailable")
        case 504: error("The server took too long (simulated).", "server_error", "gateway_timeout")
        case 529: error("The service is overloaded (simulated).", "overloaded_error", "overloaded")
        case 400..<500: error("The request was refused with status \(status) (simulated).", "invalid_request_error", nil)
        default: error("The server failed with status \(status) (simulated).", "server_error", nil)
        }
    }
}
