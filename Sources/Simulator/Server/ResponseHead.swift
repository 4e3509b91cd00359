import NIOCore

/// Writes the head of an answer as bytes; NIO's encoder would write several small buffers instead of the one that goes out with the body.
struct ResponseHead {
    private var second = 0
    private var date = ""

    /// How an answer's end is known to the client.
    enum Framing {
        case length(Int)
        case chunked
        /// HTTP/1.0 knows no chunks: the end of the connection is the end of the stream.
        case close
    }

    mutating func write(
        _ answer: Answer, _ framing: Framing, closes: Bool, processingMilliseconds: Int, requestID: (UInt64, UInt64), into buffer: inout ByteBuffer
    ) {
        buffer.writeStaticString("HTTP/1.1 ")
        if answer.status == 200 {
            buffer.writeStaticString("200 OK\r\ndate: ")
        } else {
            buffer.writeDecimal(answer.status)
            buffer.writeStaticString(" ")
            buffer.writeString(Self.reason(answer.status))
            buffer.writeStaticString("\r\ndate: ")
        }
        buffer.writeString(currentDate())
        switch framing {
        case .length(let length):
            buffer.writeStaticString("\r\ncontent-type: application/json\r\ncontent-length: ")
            buffer.writeDecimal(length)
        case .chunked:
            buffer.writeStaticString("\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\ntransfer-encoding: chunked")
        case .close:
            buffer.writeStaticString("\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache")
        }
        buffer.writeStaticString("\r\nx-request-id: req_")
        buffer.writeHex16(requestID.0)
        buffer.writeHex16(requestID.1)
        buffer.writeStaticString("\r\nopenai-version: 2020-10-01\r\nopenai-organization: org-simulated\r\nopenai-processing-ms: ")
        buffer.writeDecimal(processingMilliseconds)
        writeRateLimits(answer, into: &buffer)
        if let retryAfter = answer.retryAfter {
            buffer.writeStaticString("\r\nretry-after: ")
            buffer.writeString(retryAfter)
        }
        if let milliseconds = answer.retryAfterMilliseconds {
            buffer.writeStaticString("\r\nretry-after-ms: ")
            buffer.writeString(milliseconds)
        }
        if let allow = answer.allow {
            buffer.writeStaticString("\r\nallow: ")
            buffer.writeString(allow)
        }
        buffer.writeStaticString(closes ? "\r\nconnection: close\r\n\r\n" : "\r\n\r\n")
    }

    /// The limits in force, or those of a customer with room to spare where there are none.
    private func writeRateLimits(_ answer: Answer, into buffer: inout ByteBuffer) {
        guard answer.sendsRateLimits, answer.status == 200 || answer.status == 429 else { return }
        guard let state = answer.rateLimits else {
            buffer.writeStaticString("\r\nx-ratelimit-limit-requests: 10000\r\nx-ratelimit-limit-tokens: 2000000")
            buffer.writeStaticString(
                answer.status == 429
                    ? "\r\nx-ratelimit-remaining-requests: 0\r\nx-ratelimit-reset-requests: 1s"
                    : "\r\nx-ratelimit-remaining-requests: 9999\r\nx-ratelimit-reset-requests: 6ms")
            buffer.writeStaticString("\r\nx-ratelimit-remaining-tokens: 1999968\r\nx-ratelimit-reset-tokens: 1ms")
            return
        }
        for (name, window) in [("requests", state.requests), ("tokens", state.tokens)] {
            guard let window else { continue }
            buffer.writeString(
                "\r\nx-ratelimit-limit-\(name): \(window.limit)\r\nx-ratelimit-remaining-\(name): \(window.remaining)"
                    + "\r\nx-ratelimit-reset-\(name): \(goDuration(nanoseconds: window.resetNanoseconds))")
        }
    }

    private mutating func currentDate() -> String {
        let now = Clock.unixSeconds()
        if now != second {
            second = now
            date = Clock.httpDate(now)
        }
        return date
    }

    static func reason(_ status: Int) -> String {
        switch status {
        case 400: "Bad Request"
        case 401: "Unauthorized"
        case 403: "Forbidden"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 408: "Request Timeout"
        case 409: "Conflict"
        case 402: "Payment Required"
        case 413: "Content Too Large"
        case 422: "Unprocessable Content"
        case 429: "Too Many Requests"
        case 500: "Internal Server Error"
        case 502: "Bad Gateway"
        case 503: "Service Unavailable"
        case 504: "Gateway Timeout"
        case 200: "OK"
        default: "Simulated"
        }
    }
}
