import NIOCore

extension Rendering {
    /// The bytes of the wire in the writes that they go out in.
    private struct Write {
        var bytes: ByteBuffer
        var due: Int64
        var frames = 0
    }

    /// How long the other side has for reading what was sent before a reset: some kernels forget unread bytes with it.
    private static let resetPause: Int64 = 25_000_000
    private static let foreverPause: Int64 = 2_000_000

    /// What is to be done, in order.
    func steps() -> [Delivery.Step] {
        var writes = writes()
        var isCut = false
        if let wireLimit { isCut = Self.limit(&writes, to: wireLimit.bytes) }
        if isOneWrite { writes = Self.joined(writes) }
        var steps: [Delivery.Step] = []
        for write in writes {
            if write.due > 0 { steps.append(.waitUntil(write.due)) }
            guard let pace, pace.bytes < write.bytes.readableBytes else {
                if let pace, pace.pause > 0, !steps.isEmpty { steps.append(.rest(pace.pause)) }
                steps.append(.bytes(write.bytes, frames: write.frames))
                continue
            }
            var rest = write.bytes
            while let part = rest.readSlice(length: min(pace.bytes, rest.readableBytes)), part.readableBytes > 0 {
                steps.append(.bytes(part, frames: rest.readableBytes == 0 ? write.frames : 0))
                // A rest of nothing still lets other connections, and the reader, have their turn.
                steps.append(.rest(pace.pause))
            }
        }
        return steps + end(isCut: isCut, after: steps.count)
    }

    private func end(isCut: Bool, after count: Int) -> [Delivery.Step] {
        let reset: [Delivery.Step] = count == 0 ? [.reset] : [.rest(Self.resetPause), .reset]
        if let wireLimit, isCut { return wireLimit.resets ? reset : [.close] }
        switch ending {
        case .complete: return []
        case .close: return [.close]
        case .reset: return reset
        case .stall: return [.stall]
        case .forever(let bytes):
            var out = ByteBuffer()
            if isChunked, !headIsEndless { writeChunk(Piece(bytes, .other), into: &out) } else { out.writeImmutableBuffer(bytes) }
            return [.rest(Self.foreverPause), .bytes(out, frames: 1), .back(count)]
        }
    }

    private func writes() -> [Write] {
        var writes: [Write] = []
        var out = headBytes()
        if headIsEarly || pieces.isEmpty {
            writes.append(Write(bytes: out, due: 0))
            out = ByteBuffer()
        }
        for piece in pieces where !headIsEndless {
            if isChunked { writeChunk(piece, into: &out) } else { out.writeImmutableBuffer(piece.bytes) }
            writes.append(Write(bytes: out, due: piece.due, frames: piece.role == .content ? 1 : 0))
            out = ByteBuffer()
        }
        if headIsEndless, out.readableBytes > 0 { writes.append(Write(bytes: out, due: 0)) }
        guard case .complete = ending else { return writes }
        if isChunked { out.writeString("0\(chunkExtension)\r\n\(trailers)\r\n") }
        out.writeImmutableBuffer(behind)
        // With the last piece, as an answer without faults has it.
        guard out.readableBytes > 0 else { return writes }
        if writes.isEmpty { writes.append(Write(bytes: out, due: 0)) } else { writes[writes.count - 1].bytes.writeImmutableBuffer(out) }
        return writes
    }

    private func headBytes() -> ByteBuffer {
        var out = ByteBuffer(string: preface)
        guard !statusLine.isEmpty else { return out }
        out.writeString(statusLine + lineEnd)
        for (name, value) in headers { out.writeString(name.isEmpty ? "\(value)\(lineEnd)" : "\(name): \(value)\(lineEnd)") }
        switch framing {
        case .length(let length): out.writeString("content-length: \(length)\(lineEnd)")
        case .chunked: out.writeString("transfer-encoding: chunked\(lineEnd)")
        case .both(let length): out.writeString("content-length: \(length)\(lineEnd)transfer-encoding: chunked\(lineEnd)")
        case .twoLengths(let first, let second): out.writeString("content-length: \(first)\(lineEnd)content-length: \(second)\(lineEnd)")
        case .close: break
        }
        if !headIsEndless { out.writeString(lineEnd) }
        return out
    }

    private func writeChunk(_ piece: Piece, into out: inout ByteBuffer) {
        out.writeString(piece.chunkSize ?? String(piece.bytes.readableBytes, radix: 16))
        out.writeString("\(chunkExtension)\r\n")
        out.writeImmutableBuffer(piece.bytes)
        out.writeStaticString("\r\n")
    }

    /// Leaves the first bytes.
    ///
    /// - Returns: whether there were as many.
    private static func limit(_ writes: inout [Write], to limit: Int) -> Bool {
        var left = limit
        for index in writes.indices {
            let length = writes[index].bytes.readableBytes
            if length > left {
                writes[index].bytes = writes[index].bytes.getSlice(at: writes[index].bytes.readerIndex, length: left) ?? ByteBuffer()
                writes.removeLast(writes.count - (left == 0 ? index : index + 1))
                return true
            }
            left -= length
        }
        return left == 0
    }

    private static func joined(_ writes: [Write]) -> [Write] {
        guard var first = writes.first else { return writes }
        for write in writes.dropFirst() {
            first.bytes.writeImmutableBuffer(write.bytes)
            first.due = max(first.due, write.due)
            first.frames += write.frames
        }
        return [first]
    }
}
