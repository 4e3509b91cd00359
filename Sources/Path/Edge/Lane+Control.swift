internal import Contracts
internal import Dialects
import NIOCore
internal import Vocabulary

/// The control plane's side of a lane: the request is read whole, handed over, and its answer is written as it comes.
extension Lane {
    func beginControl(_ facts: RequestFacts) {
        controlHeaders = facts.takeHeaders()
        if facts.expects == .other { return refuse(.expectationFailed) }
        if let length = facts.contentLength, length > loop.options.controlBodyMaxBytes {
            return refuse(.bodyTooLarge(limitBytes: loop.options.controlBodyMaxBytes))
        }
        phase = .controlBody
        if facts.expects == .goOn { sendContinue() }
    }

    func submitControl() {
        guard let facts else { return }
        phase = .control
        let request = ControlRequest(
            method: facts.method.name, uri: facts.uri, headers: controlHeaders, body: body, clientAddress: clientAddress, requestID: requestID)
        controlHeaders = []
        releaseBody()
        let writer = LaneControlWriter(lane: self, loop: loop.loop, ticket: ticket)
        if !loop.control.submit(request, to: writer) { refuse(.overloaded) }
    }

    func controlHead(_ ticket: UInt64, status: Int, headers: [(name: String, value: String)], contentLength: Int?) throws {
        try requireControl(ticket)
        var answer = ByteBufferAllocator().buffer(capacity: 512)
        writeStatus(status, to: &answer)
        var saidID = false
        for header in headers where !isFramed(header.name) {
            answer.writeString(header.name)
            answer.writeStaticString(": ")
            // A value that came from outside must not be able to end its line.
            answer.writeBytes(header.value.utf8.filter { $0 >= 0x20 && $0 != 0x7f })
            answer.writeStaticString("\r\n")
            if isName(header.name, "x-request-id") { saidID = true }
        }
        if !saidID {
            answer.writeString("x-request-id: \(requestID)\r\n")
        }
        answer.writeImmutableBuffer(loop.dateLine(at: WallTime.now))
        controlIsChunked = contentLength == nil && !isHTTP10 && status != 204 && status != 304 && !isHEAD
        if contentLength == nil, isHTTP10 { closeWithAnswer() }
        hasSaidClose = willClose
        answer.writeString(hasSaidClose ? "connection: close\r\n" : (isHTTP10 ? "connection: keep-alive\r\n" : ""))
        if let contentLength, status != 204, status != 304 {
            finishHead(length: contentLength, to: &answer)
        } else {
            answer.writeString(controlIsChunked ? "transfer-encoding: chunked\r\n\r\n" : "\r\n")
        }
        write(answer)
        flush()
    }

    func controlBody(_ ticket: UInt64, _ bytes: ByteBuffer) -> EventLoopFuture<Void> {
        guard let context, (try? requireControl(ticket)) != nil else { return loop.loop.makeFailedFuture(ChannelError.ioOnClosedChannel) }
        guard bytes.readableBytes > 0, !isHEAD else { return loop.loop.makeSucceededVoidFuture() }
        if !controlIsChunked {
            writtenBytes &+= bytes.readableBytes
            return context.writeAndFlush(wrapOutboundOut(bytes))
        }
        var chunk = ByteBufferAllocator().buffer(capacity: bytes.readableBytes + 12)
        chunk.writeHexadecimal(bytes.readableBytes)
        chunk.writeStaticString("\r\n")
        chunk.writeImmutableBuffer(bytes)
        chunk.writeStaticString("\r\n")
        writtenBytes &+= chunk.readableBytes
        return context.writeAndFlush(wrapOutboundOut(chunk))
    }

    func controlEnd(_ ticket: UInt64) throws {
        try requireControl(ticket)
        if controlIsChunked { writeLastChunk() }
        flush()
        answered()
    }

    func controlAbandoned(_ ticket: UInt64) {
        guard case .control = phase, self.ticket == ticket else { return }
        context?.close(promise: nil)
    }

    private func requireControl(_ ticket: UInt64) throws {
        guard case .control = phase, self.ticket == ticket else { throw ChannelError.ioOnClosedChannel }
    }

    /// Headers that say how the message is framed are ours.
    private func isFramed(_ name: String) -> Bool {
        isName(name, "content-length") || isName(name, "transfer-encoding") || isName(name, "connection") || isName(name, "date")
    }
}
