package import NIOCore
package import Vocabulary

/// One attempt at a provider: everything that goes over the wire, and how patient we are.
package struct UpstreamOrder {
    package var provider: Provider
    package var endpoint: Endpoint
    /// Header lines that this call adds to ``Provider/requestHeads``, each ending in CRLF.
    package var extraHeaders: ByteBuffer
    /// Sent as `x-request-id`; empty for none.
    package var requestID: String
    /// The body in order; edits are pieces of their own.
    package var body: [ByteBuffer]
    /// Whether only a connection that was never used before will do.
    package var needsFreshConnection: Bool

    package init(
        provider: Provider, endpoint: Endpoint, extraHeaders: ByteBuffer, requestID: String = "", body: [ByteBuffer], needsFreshConnection: Bool
    ) {
        self.provider = provider
        self.endpoint = endpoint
        self.extraHeaders = extraHeaders
        self.requestID = requestID
        self.body = body
        self.needsFreshConnection = needsFreshConnection
    }
}

/// The head of a provider's answer, as far as anybody asks.
package struct UpstreamHead {
    package var status: Int
    /// Whether `content-type` is `text/event-stream`.
    package var isEventStream: Bool
    /// Whether `content-type` is JSON.
    package var isJSON: Bool
    /// Whether the body is compressed although nobody asked for it: it cannot be read in passing.
    package var isEncoded: Bool
    /// `content-length`, or -1.
    package var contentLength: Int64
    /// The `content-type` line, ending in CRLF; empty when there is none.
    package var contentType: ByteBuffer
    /// The other header lines that are passed on to the client, each ending in CRLF.
    package var passedOn: ByteBuffer

    package init(
        status: Int, isEventStream: Bool, isJSON: Bool, isEncoded: Bool = false, contentLength: Int64,
        contentType: ByteBuffer = ByteBuffer(), passedOn: ByteBuffer
    ) {
        self.status = status
        self.isEventStream = isEventStream
        self.isJSON = isJSON
        self.isEncoded = isEncoded
        self.contentLength = contentLength
        self.contentType = contentType
        self.passedOn = passedOn
    }
}

/// Why an attempt came to nothing, or to less than an answer.
package enum UpstreamFault: Sendable, Hashable {
    case unreachable
    case staleConnection
    case cut
    case invalid
    case timeout
    case queueFull
}

/// Who hears of an attempt. Everything is called on the loop that the attempt was started on; only `upstreamStarted` may come from within
/// `start` itself.
package protocol UpstreamListener: AnyObject {
    /// The request is being written: the provider's time begins.
    func upstreamStarted()
    func upstreamHead(_ head: UpstreamHead)
    func upstreamBytes(_ bytes: ByteBuffer)
    /// No further bytes will come before more has been read; a moment to flush.
    func upstreamReadComplete()
    /// The answer is complete. Nothing follows.
    func upstreamEnd()
    /// The attempt failed. Nothing follows.
    func upstreamFailed(_ fault: UpstreamFault)
}

/// A running attempt.
package protocol UpstreamAttempt: AnyObject {
    /// Reads no further until ``resume()``.
    func pause()
    func resume()
    /// Ends the attempt at once; the listener hears nothing more.
    func cancel()
    /// The listener has all it wants; what is left of the answer is read and thrown away if it is short. The listener hears nothing more.
    func finishQuietly()
}

/// The step that reaches providers. Confined to one event loop.
package protocol UpstreamCalling: AnyObject {
    func start(_ order: UpstreamOrder, for listener: any UpstreamListener) -> any UpstreamAttempt
}
