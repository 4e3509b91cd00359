/// Everything that Martlet itself says no with.
///
/// Status, type, code, parameter and message are each one exhaustive switch, so a new case cannot forget one.
/// The dialects turn a case into the caller's own error body. Indirect, so that what may hold an error is small and cheap to copy: most calls
/// have none.
package indirect enum GatewayError: Error, Sendable, Hashable {
    // The request
    case malformedRequest(String)
    case malformedJSON(String)
    case missingField(String)
    case wrongType(field: String, expected: String)
    case duplicateField(String)
    case headTooLarge
    case bodyTooLarge(limitBytes: Int)
    case unsupportedEncoding(String)
    case expectationFailed
    case requestTimeout
    case unknownPath(String)
    case wrongMethod(allowed: String)
    // The caller
    case missingKey
    case invalidKey
    case expiredKey
    case missingRight(String)
    case unknownModel(String)
    case modelNotAllowed(String)
    // Ourselves
    case journalUnavailable
    case overloaded
    case queueFull(provider: String)
    case draining
    case internalFault
    // The provider
    case upstreamUnreachable(provider: String)
    case upstreamTimeout(provider: String)
    case upstreamInvalidAnswer(provider: String)
    case upstreamStatus(provider: String, status: Int)
    case streamCut(provider: String)

    /// The HTTP status that a caller sees.
    package var status: Int {
        switch self {
        case .malformedRequest, .malformedJSON, .missingField, .wrongType, .duplicateField: 400
        case .missingKey, .invalidKey, .expiredKey: 401
        case .missingRight, .modelNotAllowed: 403
        case .unknownPath, .unknownModel: 404
        case .wrongMethod: 405
        case .requestTimeout: 408
        case .bodyTooLarge: 413
        case .unsupportedEncoding: 415
        case .expectationFailed: 417
        case .headTooLarge: 431
        case .internalFault: 500
        case .upstreamUnreachable, .upstreamInvalidAnswer, .streamCut: 502
        case .journalUnavailable, .overloaded, .queueFull, .draining: 503
        case .upstreamTimeout: 504
        case .upstreamStatus(_, let status): status
        }
    }

    /// OpenAI's `type`.
    package var type: String {
        switch self {
        case .malformedRequest, .malformedJSON, .missingField, .wrongType, .duplicateField, .headTooLarge, .bodyTooLarge,
            .unsupportedEncoding, .expectationFailed, .requestTimeout, .unknownPath, .wrongMethod, .missingKey, .invalidKey, .expiredKey,
            .unknownModel:
            "invalid_request_error"
        case .missingRight, .modelNotAllowed: "permission_error"
        case .journalUnavailable, .overloaded, .queueFull, .draining: "service_unavailable"
        case .internalFault: "server_error"
        case .upstreamUnreachable, .upstreamTimeout, .upstreamInvalidAnswer, .upstreamStatus, .streamCut: "upstream_error"
        }
    }

    /// OpenAI's `code`: stable, for programs. Usage rows and metrics carry the same word.
    package var code: String {
        switch self {
        case .malformedRequest: "malformed_request"
        case .malformedJSON: "invalid_json"
        case .missingField: "missing_required_parameter"
        case .wrongType: "invalid_type"
        case .duplicateField: "duplicate_parameter"
        case .headTooLarge: "request_head_too_large"
        case .bodyTooLarge: "request_too_large"
        case .unsupportedEncoding: "unsupported_content_encoding"
        case .expectationFailed: "expectation_failed"
        case .requestTimeout: "request_timeout"
        case .unknownPath: "unknown_url"
        case .wrongMethod: "method_not_supported"
        case .missingKey: "missing_api_key"
        case .invalidKey: "invalid_api_key"
        case .expiredKey: "expired_api_key"
        case .missingRight: "insufficient_permissions"
        case .unknownModel: "model_not_found"
        case .modelNotAllowed: "model_not_allowed"
        case .journalUnavailable: "journal_unavailable"
        case .overloaded: "overloaded"
        case .queueFull: "provider_queue_full"
        case .draining: "draining"
        case .internalFault: "internal_error"
        case .upstreamUnreachable: "upstream_unreachable"
        case .upstreamTimeout: "upstream_timeout"
        case .upstreamInvalidAnswer: "upstream_invalid_response"
        case .upstreamStatus: "upstream_error"
        case .streamCut: "stream_interrupted"
        }
    }

    /// OpenAI's `param`: the field that is wrong, where it is one.
    package var parameter: String? {
        switch self {
        case .missingField(let field), .wrongType(let field, _), .duplicateField(let field): field
        case .unknownModel, .modelNotAllowed: "model"
        case .malformedRequest, .malformedJSON, .headTooLarge, .bodyTooLarge, .unsupportedEncoding, .expectationFailed, .requestTimeout,
            .unknownPath, .wrongMethod, .missingKey, .invalidKey, .expiredKey, .missingRight, .journalUnavailable, .overloaded, .queueFull,
            .draining, .internalFault, .upstreamUnreachable, .upstreamTimeout, .upstreamInvalidAnswer, .upstreamStatus, .streamCut:
            nil
        }
    }

    /// One sentence for a person: what is wrong and, where we know it, what to do.
    package var message: String {
        switch self {
        case .malformedRequest(let detail): "The HTTP request could not be read: \(detail)."
        case .malformedJSON(let detail): "We could not parse the JSON body of your request: \(detail)."
        case .missingField(let field): "Missing required parameter: '\(field)'."
        case .wrongType(let field, let expected): "Invalid type for '\(field)': expected \(expected)."
        case .duplicateField(let field): "The parameter '\(field)' is given more than once; send it once."
        case .headTooLarge: "The request line and headers are too large."
        case .bodyTooLarge(let limit): "The request body is larger than the limit of \(limit) bytes."
        case .unsupportedEncoding(let encoding): "The content-encoding '\(encoding)' is not supported; send the body uncompressed."
        case .expectationFailed: "Only 'Expect: 100-continue' is supported."
        case .requestTimeout: "The request did not arrive completely in time."
        case .unknownPath(let path): "Unknown request URL: \(path)."
        case .wrongMethod(let allowed): "This URL does not support the method; use \(allowed)."
        case .missingKey:
            "You did not provide an API key. Send it in an Authorization header as 'Bearer YOUR_KEY', or in x-api-key or api-key."
        case .invalidKey: "Incorrect API key provided."
        case .expiredKey: "This API key has expired."
        case .missingRight(let right): "This API key does not have the right '\(right)'."
        case .unknownModel(let model): "The model '\(model)' does not exist or you do not have access to it."
        case .modelNotAllowed(let model): "This API key may not use the model '\(model)'."
        case .journalUnavailable: "The usage journal cannot be written, so no new calls are taken; this ends by itself as soon as it can."
        case .overloaded: "The gateway is holding as many requests as it can; try again shortly."
        case .queueFull(let provider): "Too many calls are waiting for the provider '\(provider)'; try again shortly."
        case .draining: "The gateway is shutting down; try again and another instance will answer."
        case .internalFault: "The gateway failed on this request."
        case .upstreamUnreachable(let provider): "The provider '\(provider)' could not be reached."
        case .upstreamTimeout(let provider): "The provider '\(provider)' did not answer in time."
        case .upstreamInvalidAnswer(let provider): "The provider '\(provider)' sent an answer that could not be understood."
        case .upstreamStatus(let provider, let status): "The provider '\(provider)' answered with status \(status)."
        case .streamCut(let provider): "The provider '\(provider)' broke off the stream before its end."
        }
    }

    /// What `x-should-retry` tells the SDKs: `nil` leaves the decision to the status.
    package var shouldRetry: Bool? {
        switch self {
        case .journalUnavailable, .overloaded, .queueFull, .draining: true
        case .requestTimeout: false
        default: nil
        }
    }

    /// Whether the caller could not be told apart from a stranger; the answer then names the scheme that is expected.
    package var isUnauthenticated: Bool {
        switch self {
        case .missingKey, .invalidKey, .expiredKey: true
        default: false
        }
    }
}
