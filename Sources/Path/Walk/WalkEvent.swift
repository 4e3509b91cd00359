package import Vocabulary

/// Something that happened to a call. The shell reports each as it comes; the walk decides what it means.
package enum WalkEvent: Sendable, Hashable {
    /// The head is read, its credential is known and nothing in it speaks against the call.
    case head
    /// The last byte of the body is here and the fields that we govern are sound.
    case body
    /// An earlier step said no: the edge, identity, admission or routing.
    case denied(GatewayError)
    /// Admission said yes; that many deployments may be tried, one after the other.
    case granted(candidates: Int)
    /// The provider's answer has begun.
    case upstreamHead(UpstreamAnswer)
    /// Bytes of the provider's answer have come.
    case upstreamBytes
    /// A plain answer has outgrown what we buffer.
    case answerTooLarge
    /// The provider's answer is complete: for a stream, its end mark has been seen.
    case upstreamEnd
    /// The attempt failed.
    case upstreamFailed(UpstreamFailure)
    /// The time for the whole call has run out.
    case deadline
    /// The client takes bytes more slowly than they come.
    case clientUnwritable
    case clientWritable
    /// The client has left, or has not taken a byte for too long.
    case clientGone
    /// The record is written.
    case journaled
    /// The record could not be written.
    case journalFailed
    /// The process is about to end and can wait no longer.
    case drain
}

/// What kind of answer a provider has begun.
package enum UpstreamAnswer: Sendable, Hashable {
    /// A success to be kept until it is complete, so that its headers can tell the cost.
    case plain
    /// A success that is passed on as it comes.
    case stream
    /// An error status.
    case error(status: Int)
}

/// Why an attempt failed.
package enum UpstreamFailure: Sendable, Hashable {
    /// No connection could be opened.
    case unreachable
    /// A connection that had been used before ended without a single answer byte: most likely it was closed while idle.
    case staleConnection
    /// The connection ended before the answer was complete.
    case cut
    /// The answer was no HTTP, or was not what it said.
    case invalid
    /// The answer had the status of a success and was an error.
    case errorInSuccess
    /// No answer, or no further byte of it, in time.
    case timeout
    /// Too many calls wait for this provider already.
    case queueFull
}
