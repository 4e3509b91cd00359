internal import Contracts
internal import Dialects
import NIOCore
internal import Vocabulary

/// How answers become bytes: heads are written straight into one buffer, without a list of headers in between.
extension Lane {
    func write(_ bytes: ByteBuffer) {
        guard let context else { return }
        writtenBytes &+= bytes.readableBytes
        context.write(wrapOutboundOut(bytes), promise: nil)
    }

    func flush() {
        context?.flush()
    }

    /// Sends an answer that needs no provider.
    func send(_ reply: Reply) {
        switch reply {
        case .refusal(let error, let attempts, let hints, let body): sendRefusal(error, attempts: attempts, hints: hints, body: body)
        case .models(let body):
            var answer = ByteBufferAllocator().buffer(capacity: 256 + body.readableBytes)
            writeStatus(200, to: &answer)
            answer.writeStaticString("content-type: application/json\r\n")
            writeCommonHeaders(to: &answer)
            finishHead(length: body.readableBytes, to: &answer)
            answer.writeImmutableBuffer(body)
            write(answer)
            flush()
            answered()
        }
    }

    /// Sends an error of ours in OpenAI's shape, or under our status what the provider said.
    func sendRefusal(_ error: GatewayError, attempts: Int, hints: ByteBuffer, body providersBody: ByteBuffer?) {
        var body = providersBody ?? ByteBuffer()
        if providersBody == nil { body.writeOpenAIError(error) }
        var answer = ByteBufferAllocator().buffer(capacity: 512 + body.readableBytes)
        writeStatus(error.status, to: &answer)
        answer.writeStaticString("content-type: application/json\r\n")
        writeCommonHeaders(to: &answer)
        if let shouldRetry = error.shouldRetry {
            answer.writeStaticString(shouldRetry ? "x-should-retry: true\r\nretry-after: 1\r\n" : "x-should-retry: false\r\n")
        }
        if case .wrongMethod(let allowed) = error { answer.writeString("allow: \(allowed)\r\n") }
        if error.isUnauthenticated { answer.writeStaticString("www-authenticate: Bearer\r\n") }
        if attempts > 0 {
            answer.writeStaticString("x-martlet-attempts: ")
            answer.writeDecimal(Int64(attempts))
            answer.writeStaticString("\r\n")
        }
        answer.writeImmutableBuffer(hints)
        finishHead(length: body.readableBytes, to: &answer)
        // A HEAD request gets the head that GET would have got.
        if !isHEAD { answer.writeImmutableBuffer(body) }
        write(answer)
        flush()
        answered()
    }

    func writeStatus(_ status: Int, to answer: inout ByteBuffer) {
        answer.writeWithUnsafeMutableBytes(minimumWritableBytes: 64) { target in
            var head = HeadWriter(target)
            putStatus(status, to: &head)
            return head.count
        }
    }

    /// The headers of every answer: the request's id, the date, and whether the connection ends.
    func writeCommonHeaders(to answer: inout ByteBuffer) {
        answer.writeWithUnsafeMutableBytes(minimumWritableBytes: 256 + requestID.utf8.count) { target in
            var head = HeadWriter(target)
            putCommonHeaders(to: &head)
            return head.count
        }
    }

    func putStatus(_ status: Int, to head: inout HeadWriter) {
        if status == 200 {
            head.put("HTTP/1.1 200 OK\r\n")
            return
        }
        head.put("HTTP/1.1 ")
        head.put(Int64(status))
        head.put(" ")
        head.put(reasonPhrase(status))
        head.put("\r\n")
    }

    func putCommonHeaders(to head: inout HeadWriter) {
        head.put("x-request-id: ")
        head.put(text: requestID)
        head.put("\r\n")
        head.put(loop.dateLine(at: WallTime.now))
        if willClose {
            hasSaidClose = true
            head.put("connection: close\r\n")
        } else if isHTTP10 {
            head.put("connection: keep-alive\r\n")
        }
    }

    func finishHead(length: Int, to answer: inout ByteBuffer) {
        answer.writeStaticString("content-length: ")
        answer.writeDecimal(Int64(length))
        answer.writeStaticString("\r\n\r\n")
    }

    /// Says that the body of a request with `Expect: 100-continue` may come.
    func sendContinue() {
        guard !isHTTP10 else { return }
        write(ByteBuffer(staticString: "HTTP/1.1 100 Continue\r\n\r\n"))
        flush()
    }

    /// Writes bytes of a body that has no length: in a chunk, or plain to a client of HTTP/1.0.
    func writeChunk(_ bytes: ByteBuffer) {
        guard bytes.readableBytes > 0 else { return }
        if isHTTP10 {
            write(bytes)
            return
        }
        if bytes.readableBytes <= 8192 {
            let size = bytes.readableBytes + 20
            var chunk = ByteBufferAllocator().buffer(capacity: size)
            chunk.writeWithUnsafeMutableBytes(minimumWritableBytes: size) { target in
                var writer = HeadWriter(target)
                writer.put(hexadecimal: bytes.readableBytes)
                writer.put("\r\n")
                writer.put(bytes)
                writer.put("\r\n")
                return writer.count
            }
            write(chunk)
        } else {
            var size = ByteBuffer()
            size.writeHexadecimal(bytes.readableBytes)
            size.writeStaticString("\r\n")
            write(size)
            write(bytes)
            write(ByteBuffer(staticString: "\r\n"))
        }
    }

    func writeLastChunk() {
        if !isHTTP10 { write(ByteBuffer(staticString: "0\r\n\r\n")) }
    }
}

/// RFC 9110 §15; a phrase is optional, but people read them.
private func reasonPhrase(_ status: Int) -> StaticString {
    switch status {
    case 201: "Created"
    case 202: "Accepted"
    case 204: "No Content"
    case 304: "Not Modified"
    case 400: "Bad Request"
    case 401: "Unauthorized"
    case 402: "Payment Required"
    case 403: "Forbidden"
    case 404: "Not Found"
    case 405: "Method Not Allowed"
    case 408: "Request Timeout"
    case 409: "Conflict"
    case 413: "Content Too Large"
    case 415: "Unsupported Media Type"
    case 417: "Expectation Failed"
    case 422: "Unprocessable Content"
    case 429: "Too Many Requests"
    case 431: "Request Header Fields Too Large"
    case 500: "Internal Server Error"
    case 502: "Bad Gateway"
    case 503: "Service Unavailable"
    case 504: "Gateway Timeout"
    default: "Status"
    }
}
