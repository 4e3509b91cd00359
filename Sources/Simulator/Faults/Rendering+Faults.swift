import NIOCore

extension Rendering {
    /// Spoils the answer in one way; several are applied in the order in which they are given.
    mutating func apply(_ fault: Fault) {
        switch fault.kind.stage {
        case .request, .settings: return
        case .answer: break
        }
        if !applyToAnswer(fault), !applyToEvents(fault), !applyToUsage(fault), !applyToHTTP(fault) { applyToConnection(fault) }
    }

    /// Faults that put another answer in place of the right one.
    private mutating func applyToAnswer(_ fault: Fault) -> Bool {
        let number = fault.number
        let error = String(buffer: APIError.simulated(status: 500, code: nil).body())
        switch fault.kind {
        case .htmlError:
            setStatus(number)
            setBody("<html><head><title>\(number)</title></head><body><h1>\(number)</h1><hr>proxy</body></html>\n", type: "text/html")
        case .textError:
            setStatus(number)
            setBody("upstream connect error or disconnect before headers\n", type: "text/plain")
        case .emptyError:
            setStatus(number)
            setBody("", type: nil)
        case .errorString:
            setStatus(number)
            setBody(#"{"error":"no healthy replica (simulated)"}"#, type: "application/json")
        case .error200 where isStream: pieces = [Piece("data: \(error)\n\n", .other, due: firstDue), Piece("data: [DONE]\n\n", .done, due: firstDue)]
        case .error200, .error200JSON: setBody(error, type: "application/json")
        case .errorEvent:
            guard isStream else { break }
            let at = place(behind: number)
            pieces.replaceSubrange(at..., with: [Piece("data: \(error)\n\n", .other, due: dueBehind(at))])
        case .html200: setBody("<!doctype html><html><body>Sign in to continue</body></html>\n", type: "text/html; charset=utf-8")
        case .wrongType: setHeader("content-type", "text/plain")
        case .noType: setHeader("content-type", nil)
        case .emptyBody:
            let type = headers.first { $0.name == "content-type" }?.value
            setBody("", type: type)
        case .emptyStream:
            pieces = []
            framing = .chunked
        case .emptyObject where isStream:
            for index in pieces.indices where pieces[index].role != .done { pieces[index].text = "data: {}\n\n" }
        case .emptyObject: changeBody { _ in "{}" }
        case .noContent:
            statusLine = "HTTP/1.1 204 No Content"
            setBody("", type: nil)
            framing = .close
        case .redirect:
            statusLine = "HTTP/1.1 302 Found"
            setBody("", type: nil)
            headers.append(("location", "https://example.invalid/v1/chat/completions"))
        // The answer is already in the other form when it comes here.
        case .jsonForStream, .streamForPlain: break
        default: return false
        }
        return true
    }

    /// Faults of HTTP itself.
    private mutating func applyToHTTP(_ fault: Fault) -> Bool {
        let length = pieces.reduce(0) { $0 + $1.bytes.readableBytes }
        switch fault.kind {
        case .badChunk:
            inChunks()
            let at = isStream ? place(behind: fault.number) : 1
            if pieces.indices.contains(at) { pieces[at].chunkSize = "zz" }
        case .shortChunk:
            inChunks()
            let at = min(isStream ? place(behind: fault.number) : 0, pieces.count - 1)
            guard at >= 0 else { break }
            pieces.removeLast(pieces.count - 1 - at)
            pieces[at].chunkSize = String(pieces[at].bytes.readableBytes + 100, radix: 16)
            ending = .close
        case .lengthLong:
            framing = .length(length + 100)
            ending = .close
        case .lengthShort: framing = .length(length / 2)
        case .twoLengths: framing = .twoLengths(length, length + 1)
        case .lengthAndChunked: framing = .both(length)
        case .gzip:
            let type = headers.first { $0.name == "content-type" }?.value
            setBody(storedGzip(body), type: type)
            headers.append(("content-encoding", "gzip"))
        case .hugeHeader: headers.append(("x-huge", String(repeating: "h", count: 100 << 10)))
        case .manyHeaders: for number in 0..<200 { headers.append(("x-filler-\(number)", "of no meaning")) }
        case .badHeader: headers.append(("", "this line has no colon"))
        case .bareLineFeeds: lineEnd = "\n"
        case .interim: preface = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\n"
        case .switching:
            statusLine = "HTTP/1.1 101 Switching Protocols"
            headers = [("connection", "upgrade"), ("upgrade", "websocket")]
            pieces = []
            framing = .close
        case .http10:
            statusLine = "HTTP/1.0" + statusLine.dropFirst(8)
            framing = .close
            ending = .close
        case .notHTTP:
            (preface, statusLine) = ("SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", "")
            pieces = []
            framing = .close
        case .trailers:
            inChunks()
            trailers = "x-checksum: 0123456789abcdef\r\nx-late: yes\r\n"
        case .chunkExtensions:
            inChunks()
            chunkExtension = ";name=value;flag"
        case .extraBytes: behind = ByteBuffer(string: "\r\n\r\nbytes that belong to no answer")
        case .secondAnswer: behind = ByteBuffer(string: "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}")
        case .endlessHead:
            headIsEndless = true
            ending = .forever(ByteBuffer(string: String(repeating: "x-more: and more\r\n", count: 64)))
        default: return false
        }
        return true
    }

    /// Faults of time and of the connection.
    private mutating func applyToConnection(_ fault: Fault) {
        let number = fault.number
        switch fault.kind {
        case .oneWrite: isOneWrite = true
        case .byteByByte: pace = (1, 0)
        case .slowWriter: pace = (64, Int64(number) * 1_000_000)
        case .earlyHead:
            headIsEarly = true
            for index in pieces.indices { pieces[index].due += Int64(number) * 1_000_000 }
        case .stallHead: wipe(.stall)
        case .stall:
            keepFirst(number)
            ending = .stall
        case .stallInEvent:
            ending = .stall
            let at = isStream ? place(behind: number) : 0
            guard pieces.indices.contains(at) else { break }
            pieces.removeLast(pieces.count - 1 - at)
            halve(at)
        case .resetAt: wireLimit = (number, true)
        case .finAt: wireLimit = (number, false)
        case .resetAfter:
            keepFirst(number)
            ending = .reset
        case .finAfter:
            keepFirst(number)
            ending = .close
        default: break
        }
    }

    private mutating func setStatus(_ status: Int) { statusLine = "HTTP/1.1 \(status) \(ResponseHead.reason(status))" }

    private mutating func wipe(_ ending: Ending) {
        (preface, statusLine) = ("", "")
        pieces = []
        framing = .close
        self.ending = ending
    }

    /// Leaves the events before a number of contents, or as many bytes of a plain body; the length stays what it was.
    private mutating func keepFirst(_ number: Int) {
        guard !isStream else {
            pieces.removeSubrange(place(behind: number)...)
            return
        }
        guard let first = pieces.first else { return }
        pieces = [
            Piece(
                first.bytes.getSlice(at: first.bytes.readerIndex, length: min(number, first.bytes.readableBytes)) ?? first.bytes, .body,
                due: first.due)
        ]
    }

    /// Leaves the first half of a piece.
    mutating func halve(_ at: Int) {
        let bytes = pieces[at].bytes
        pieces[at].bytes = bytes.getSlice(at: bytes.readerIndex, length: bytes.readableBytes / 2) ?? bytes
    }

    /// Gives a plain body chunks, several of them.
    private mutating func inChunks() {
        framing = .chunked
        guard !isStream, let only = pieces.first, pieces.count == 1 else { return }
        var bytes = only.bytes
        pieces = []
        while let part = bytes.readSlice(length: min(64, bytes.readableBytes)), part.readableBytes > 0 {
            pieces.append(Piece(part, .body, due: only.due))
        }
    }

    var firstDue: Int64 { pieces.first?.due ?? 0 }

    /// When something that stands at a place may go out.
    func dueBehind(_ at: Int) -> Int64 { pieces.indices.contains(at) ? pieces[at].due : pieces.last?.due ?? 0 }
}
