/// One way in which the simulator can misbehave, by the name that headers, scripts and flags use.
///
/// Each is meant for plain and streamed answers alike; what has no counterpart in one of the forms leaves it as it is, and says so.
package enum FaultKind: String, CaseIterable, Sendable {
    // Errors that a provider owns up to.
    case status400 = "status-400"
    case status401 = "status-401"
    case status402 = "status-402"
    case status403 = "status-403"
    case status404 = "status-404"
    case status408 = "status-408"
    case status409 = "status-409"
    case status413 = "status-413"
    case status422 = "status-422"
    case status429 = "status-429"
    case status500 = "status-500"
    case status502 = "status-502"
    case status503 = "status-503"
    case status504 = "status-504"
    case status529 = "status-529"
    case rateLimitMilliseconds = "rate-limit-ms"
    case rateLimitNoHint = "rate-limit-no-hint"
    case quota
    case contextLength = "context-length"
    case htmlError = "html-error"
    case textError = "text-error"
    case emptyError = "empty-error"
    case errorString = "error-string"
    case flap
    // Answers that are not what their head says.
    case error200 = "error-200"
    case error200JSON = "error-200-json"
    case errorEvent = "error-event"
    case html200 = "html-200"
    case wrongType = "wrong-type"
    case noType = "no-type"
    case jsonForStream = "json-for-stream"
    case streamForPlain = "stream-for-plain"
    case emptyBody = "empty-body"
    case emptyStream = "empty-stream"
    case emptyObject = "empty-object"
    case noContent = "no-content"
    case redirect
    // Bodies and events.
    case badJSON = "bad-json"
    case truncatedJSON = "truncated-json"
    case noDone = "no-done"
    case noFinish = "no-finish"
    case doneTwice = "done-twice"
    case dataAfterDone = "data-after-done"
    case contentFilter = "content-filter"
    case lengthFinish = "length-finish"
    case comments
    case crlf
    case carriageReturns = "carriage-returns"
    case noSpace = "no-space"
    case eventFields = "event-fields"
    case multiLine = "multi-line"
    case bom
    case invalidUTF8 = "invalid-utf8"
    case splitUTF8 = "split-utf8"
    case endless
    case endlessEvent = "endless-event"
    // Token counts.
    case noUsage = "no-usage"
    case usageNull = "usage-null"
    case usageSmall = "usage-small"
    case usageLarge = "usage-large"
    case usageHuge = "usage-huge"
    case usageNegative = "usage-negative"
    case usageInconsistent = "usage-inconsistent"
    case usageStrings = "usage-strings"
    case usageFractions = "usage-fractions"
    case usageEveryChunk = "usage-every-chunk"
    case usageWithFinish = "usage-with-finish"
    // HTTP itself.
    case badChunk = "bad-chunk"
    case shortChunk = "short-chunk"
    case lengthLong = "length-long"
    case lengthShort = "length-short"
    case twoLengths = "two-lengths"
    case lengthAndChunked = "length-and-chunked"
    case gzip
    case hugeHeader = "huge-header"
    case manyHeaders = "many-headers"
    case badHeader = "bad-header"
    case bareLineFeeds = "bare-line-feeds"
    case interim
    case switching
    case http10 = "http-1.0"
    case notHTTP = "not-http"
    case trailers
    case chunkExtensions = "chunk-extensions"
    case extraBytes = "extra-bytes"
    case secondAnswer = "second-answer"
    case endlessHead = "endless-head"
    // Time and the connection.
    case oneWrite = "one-write"
    case byteByByte = "byte-by-byte"
    case slowWriter = "slow-writer"
    case slowReader = "slow-reader"
    case slowFirstToken = "slow-first-token"
    case earlyHead = "early-head"
    case stallHead = "stall-head"
    case stall
    case stallInEvent = "stall-in-event"
    case resetOnHead = "reset-on-head"
    case resetOnBody = "reset-on-body"
    case resetAt = "reset-at"
    case finAt = "fin-at"
    case resetAfter = "reset-after"
    case finAfter = "fin-after"
}

extension FaultKind {
    /// Where a fault does its work.
    enum Stage {
        /// While the request is being read; what a request says in its body cannot choose these.
        case request
        /// Before there is an answer: it becomes settings of the call.
        case settings
        /// On the finished answer, taken apart.
        case answer
    }

    var stage: Stage {
        switch self {
        case .slowReader, .resetOnHead, .resetOnBody: .request
        case .status400, .status401, .status402, .status403, .status404, .status408, .status409, .status413, .status422, .status429, .status500,
            .status502, .status503, .status504, .status529, .rateLimitMilliseconds, .rateLimitNoHint, .quota, .contextLength, .flap, .noUsage,
            .slowFirstToken:
            .settings
        default: .answer
        }
    }

    /// The status of the `status-…` faults.
    var errorStatus: Int? {
        guard rawValue.hasPrefix("status-") else { return nil }
        return Int(rawValue.dropFirst("status-".count))
    }
}
