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
        buffer.writeStaticString("\r\nopenai-version: 2020-10-01\r\nopenai-processing-ms: ")
        buffer.writeDecimal(processingMilliseconds)
        if answer.status == 429 {
            buffer.writeStaticString("\r\nx-ratelimit-limit-requests: 10000\r\nx-ratelimit-remaining-requests: 0\r\nx-ratelimit-reset-requests: 1s")
        } else if answer.status == 200, answer.label != nil {
            buffer.writeStaticString(
                "\r\nx-ratelimit-limit-requests: 10000\r\nx-ratelimit-remaining-requests: 9999\r\nx-ratelimit-reset-requests: 6ms")
        }
        if let retryAfter = answer.retryAfter {
            buffer.writeStaticString("\r\nretry-after: ")
            buffer.writeString(retryAfter)
        }
        if let allow = answer.allow {
            buffer.writeStaticString("\r\nallow: ")
            buffer.writeString(allow)
        }
        buffer.writeStaticString(closes ? "\r\nconnection: close\r\n\r\n" : "\r\n\r\n")
    }

    private mutating func currentDate() -> String {
        let now = Clock.unixSeconds()
        if now != second {
            second = now
            date = Clock.httpDate(now)
        }
        return date
    }

    private static func reason(_ status: Int) -> String {
        switch status {
        case 400: "Bad Request"
        case 401: "Unauthorized"
        case 403: "Forbidden"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 408: "Request Timeout"
        case 409: "Conflict"
        case 413: "Content Too Large"
        case 422: "Unprocessable Content"
        case 429: "Too Many Requests"
        case 500: "Internal Server Error"
        case 502: "Bad Gateway"
        case 503: "Service Unavailable"
        case 504: "Gateway Timeout"
        default: "Simulated"
        }
    }
}
