import NIOCore

/// What a frame is to the faults and delays that count frames.
enum FrameKind {
    /// Opens the answer; comes with the first token.
    case lead
    /// One token.
    case content
    /// All that follows the last token, `[DONE]` included.
    case tail
}

/// The frames of one streamed answer, in order.
protocol FrameSource: Sendable {
    /// Which frame `write` would write; `nil` after the tail.
    var upcoming: FrameKind? { get }

    /// Writes the next frame as server-sent events and moves on.
    mutating func write(into buffer: inout ByteBuffer)
}

extension ByteBuffer {
    /// Ends a stream the way OpenAI does.
    mutating func writeDone() { writeStaticString("data: [DONE]\n\n") }
}
