import NIOCore

/// An answer taken apart, so that each part of it can be spoiled on its own, and put together again as steps for the wire.
///
/// It costs memory of the size of the answer and some copying; answers without faults never come here.
struct Rendering {
    /// One event of a stream, or a part of a plain body; a chunk of its own where there are chunks.
    struct Piece {
        /// What the piece is to the faults that look for it.
        enum Role { case lead, content, finish, usage, done, body, other }

        var bytes: ByteBuffer
        var role: Role
        /// Nanoseconds from the request's arrival until it may go out.
        var due: Int64 = 0
        /// Stands in place of the chunk's true size.
        var chunkSize: String?

        init(_ bytes: ByteBuffer, _ role: Role, due: Int64 = 0) {
            self.bytes = bytes
            self.role = role
            self.due = due
        }

        init(_ text: String, _ role: Role, due: Int64 = 0) { self.init(ByteBuffer(string: text), role, due: due) }

        /// The bytes as text; only for what the simulator wrote itself, which is UTF-8.
        var text: String {
            get { String(buffer: bytes) }
            set { bytes = ByteBuffer(string: newValue) }
        }
    }

    /// What comes after the last piece.
    enum Ending {
        /// The end that the framing asks for.
        case complete
        case close
        case reset
        case stall
        /// These bytes again and again, as chunks where there are chunks.
        case forever(ByteBuffer)
    }

    /// Bytes before the status line.
    var preface = ""
    var statusLine: String
    /// Without the two that frame the body.
    var headers: [(name: String, value: String)]
    var framing: Framing
    var pieces: [Piece]
    var isStream: Bool
    var ending = Ending.complete
    var lineEnd = "\r\n"
    var chunkExtension = ""
    /// Lines behind the last chunk.
    var trailers = ""
    /// Bytes behind the answer's end.
    var behind = ByteBuffer()
    /// The head goes out at once instead of together with the first piece.
    var headIsEarly = false
    /// Header lines that never end stand in place of the body.
    var headIsEndless = false
    /// The connection ends, by a reset or by a close, after that many bytes of the wire.
    var wireLimit: (bytes: Int, resets: Bool)?
    /// Bytes to a write, and nanoseconds between two.
    var pace: (bytes: Int, pause: Int64)?
    var isOneWrite = false

    /// How the end of the body is told.
    enum Framing {
        case length(Int)
        case chunked
        case both(Int)
        case twoLengths(Int, Int)
        /// Not at all: the connection's end is the body's.
        case close
    }

    /// Takes a head as ``ResponseHead`` has written it apart.
    ///
    /// - Parameter head: with its empty line.
    init(head: ByteBuffer, pieces: [Piece], isStream: Bool, isOld: Bool) {
        var lines = String(buffer: head).split(separator: "\r\n").map(String.init)
        statusLine = lines.isEmpty ? "" : lines.removeFirst()
        headers = lines.compactMap { line in
            guard let colon = line.firstIndex(of: ":") else { return nil }
            let name = String(line[..<colon])
            guard name != "content-length", name != "transfer-encoding" else { return nil }
            return (name, String(line[line.index(colon, offsetBy: 2)...]))
        }
        self.pieces = pieces
        self.isStream = isStream
        framing = isOld && isStream ? .close : isStream ? .chunked : .length(pieces.reduce(0) { $0 + $1.bytes.readableBytes })
    }

    /// All of the body.
    var body: [UInt8] { pieces.flatMap { Array($0.bytes.readableBytesView) } }

    var isChunked: Bool {
        switch framing {
        case .chunked, .both: true
        case .length, .twoLengths, .close: false
        }
    }

    mutating func setHeader(_ name: String, _ value: String?) {
        headers.removeAll { $0.name == name }
        if let value { headers.append((name, value)) }
    }

    /// Puts one text in place of the whole body and gives the length that it has.
    mutating func setBody(_ text: String, type: String?) {
        setBody(ByteBuffer(string: text), type: type)
    }

    /// Puts bytes in place of the whole body and gives the length that they have.
    mutating func setBody(_ bytes: ByteBuffer, type: String?) {
        let due = pieces.first?.due ?? 0
        framing = .length(bytes.readableBytes)
        pieces = bytes.readableBytes == 0 ? [] : [Piece(bytes, .body, due: due)]
        setHeader("content-type", type)
        isStream = false
    }

    /// Changes the body of a plain answer and the length that is told of it.
    mutating func changeBody(_ change: (String) -> String) {
        guard !isStream, let first = pieces.first else { return }
        pieces[0].text = change(first.text)
        if case .length = framing { framing = .length(pieces[0].bytes.readableBytes) }
    }

    /// The place behind the first events: all that leads, and that many with content.
    func place(behind content: Int) -> Int {
        var left = content
        for (index, piece) in pieces.enumerated() where piece.role != .lead {
            if piece.role != .content || left == 0 { return index }
            left -= 1
        }
        return pieces.count
    }
}

/// Cuts the end of a stream, which is written in one go, into its events.
func eventPieces(_ buffer: ByteBuffer, due: Int64) -> [Rendering.Piece] {
    String(buffer: buffer).split(separator: "\n\n").map { event in
        let role: Rendering.Piece.Role =
            event == "data: [DONE]" ? .done : event.contains("\"choices\":[]") && event.contains("\"usage\":{") ? .usage : .finish
        return Rendering.Piece("\(event)\n\n", role, due: due)
    }
}
