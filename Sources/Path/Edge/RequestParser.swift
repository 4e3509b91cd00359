package import NIOCore

/// Reads HTTP/1.1 requests of clients from bytes, a connection's requests one behind the other.
///
/// Strict where another reader on the way could see another request: lines end in CR LF, names are tokens, nothing holds control characters,
/// lengths are plain numbers, chunks are framed by the letter (RFC 9112). After a failure, and behind a request with a
/// ``RequestFacts/fault``, nothing is a request any more. What it reports does not depend on how the bytes were cut.
package struct RequestParser {
    /// A piece of a request.
    package enum Event {
        case head(RequestFacts)
        case body(ByteBuffer)
        case end
    }

    /// Why the bytes cannot be read on.
    package enum Failure: Error, Equatable {
        case malformed(String)
        /// A head, or the lines behind a body, beyond all bounds.
        case tooLarge
    }

    /// What is known of the connection, and saves or changes the reading of a head.
    package struct Context {
        /// The header that tells the client's address, where the other side is trusted to know it.
        package var addressHeader: ProxyRules.Header?
        /// The credential of an earlier request.
        package var knownCredential: String

        package init(addressHeader: ProxyRules.Header? = nil, knownCredential: String = "") {
            self.addressHeader = addressHeader
            self.knownCredential = knownCredential
        }
    }

    enum State {
        case head
        case sized(rest: Int)
        case chunkSize
        case chunk(rest: UInt64)
        case chunkEnd
        case trailers
        case ended
        /// Nothing is read any more.
        case broken
    }

    var state = State.head
    /// What has come and is not read yet: of a head that is not whole all of it, of a body nothing.
    var input = ByteBuffer()
    /// Whether the memory of `input` is ours: that which bytes come in is large, and is not kept for a few of them.
    private var ownsInput = false
    /// The head that is being read, and where in it the first line begins that is not whole.
    private var facts: RequestFacts?
    private var line = 0
    /// Up to where there is no end of that line.
    private var searched = 0
    private var fields = 0
    /// What has come around the chunks of the body in hand: extensions, and lines behind it.
    var decoration = 0

    /// The largest head, in bytes.
    static let headMax = 80 << 10
    private static let fieldsMax = 256
    static let chunkLineMax = 4 << 10
    static let decorationMax = 16 << 10

    package init() {}

    /// Takes bytes as they came. All that they hold is to be asked for by ``next(_:)`` before more are given.
    package mutating func feed(_ bytes: ByteBuffer) {
        if case .broken = state { return }
        if input.readableBytes == 0 {
            input = bytes
            ownsInput = false
        } else {
            input.writeImmutableBuffer(bytes)
        }
    }

    /// The next piece of a request, or `nil` when more bytes must come first.
    package mutating func next(_ context: @autoclosure () -> Context) throws(Failure) -> Event? {
        while true {
            switch state {
            case .head:
                guard input.readableBytes > 0 else { return rest() }
                let facts = self.facts ?? RequestFacts(context())
                self.facts = facts
                guard let length = try readHead(facts) else { return rest() }
                if facts.isForControl { input.getSlice(at: input.readerIndex, length: length).map(facts.keep) }
                input.moveReaderIndex(forwardBy: length)
                begin(facts)
                return .head(facts)
            case .sized(let left):
                guard let part = input.readSlice(length: min(left, input.readableBytes)), part.readableBytes > 0 else { return rest() }
                state = part.readableBytes == left ? .ended : .sized(rest: left - part.readableBytes)
                return .body(part)
            case .chunkSize:
                guard let size = try readChunkLine() else { return rest() }
                state = size == 0 ? .trailers : .chunk(rest: size)
            case .chunk(let left):
                let length = Int(min(left, UInt64(input.readableBytes)))
                guard length > 0, let part = input.readSlice(length: length) else { return rest() }
                state = UInt64(length) == left ? .chunkEnd : .chunk(rest: left - UInt64(length))
                return .body(part)
            case .chunkEnd:
                guard try readChunkEnd() else { return rest() }
                state = .chunkSize
            case .trailers:
                guard try readTrailer() else { return rest() }
            case .ended:
                state = .head
                return .end
            case .broken: return nil
            }
        }
    }

    /// Keeps what is not read yet, in no more memory than it takes.
    private mutating func rest() -> Event? {
        if input.readableBytes == 0 {
            input = ByteBuffer()
            ownsInput = false
        } else if !ownsInput {
            input = input.withUnsafeReadableBytes { ByteBuffer(bytes: $0) }
            ownsInput = true
        }
        return nil
    }

    /// Whatever comes is none of our business any more.
    package mutating func stop() {
        state = .broken
        input = ByteBuffer()
        facts = nil
    }

    mutating func fail(_ failure: Failure) -> Failure {
        stop()
        return failure
    }

    /// The body in hand is whole.
    mutating func endBody() {
        state = .ended
    }

    // MARK: The head

    /// What follows a head.
    private mutating func begin(_ facts: RequestFacts) {
        self.facts = nil
        line = 0
        searched = 0
        fields = 0
        decoration = 0
        if facts.fault != nil {
            stop()
        } else if facts.isChunked {
            state = .chunkSize
        } else if let length = facts.contentLength, length > 0 {
            state = .sized(rest: length)
        } else {
            state = .ended
        }
    }

    /// Reads the lines of a head that are whole.
    ///
    /// - Returns: the length of the head with its empty line, once it is whole.
    private mutating func readHead(_ facts: RequestFacts) throws(Failure) -> Int? {
        if line == 0 { try skipEmptyLines() }
        let head = input
        let lines = head.withUnsafeReadableBytes { readLines($0, facts) }
        if let failure = lines.failure { throw fail(failure) }
        return lines.length
    }

    /// RFC 9112 §2.2: empty lines before a request are passed over; some clients send one behind a body.
    private mutating func skipEmptyLines() throws(Failure) {
        while input.getInteger(at: input.readerIndex, as: UInt8.self) == 13 {
            guard let end = input.getInteger(at: input.readerIndex + 1, as: UInt8.self) else { return }
            guard end == 10 else { throw fail(.malformed("a line does not end in CR LF")) }
            input.moveReaderIndex(forwardBy: 2)
            searched = 0
        }
    }

    private mutating func readLines(_ bytes: UnsafeRawBufferPointer, _ facts: RequestFacts) -> (length: Int?, failure: Failure?) {
        while true {
            guard let end = bytes.find(10, from: searched), end < RequestParser.headMax else { return (nil, checkUnfinished(bytes)) }
            let isLast = end == line + 1 && bytes[line] == 13
            if !isLast, fields == RequestParser.fieldsMax { return (nil, .tooLarge) }
            guard end > line, bytes[end - 1] == 13 else { return (nil, .malformed("a line does not end in CR LF")) }
            let content = line..<end - 1
            if isLast { return (end + 1, facts.finish(bytes)) }
            if line == 0 {
                if let failure = facts.readRequestLine(bytes, content) { return (nil, failure) }
            } else {
                fields += 1
                if let failure = facts.readField(bytes, content) { return (nil, failure) }
            }
            line = end + 1
            searched = line
        }
    }

    /// What can be said of a line before its end has come: a client that waits for an answer to nonsense gets one.
    private mutating func checkUnfinished(_ bytes: UnsafeRawBufferPointer) -> Failure? {
        // A CR may be the first half of the line's end.
        let end = bytes.last == 13 ? bytes.count - 1 : bytes.count
        let known = min(end, RequestParser.headMax)
        if line == 0, !RequestMethod.canBegin(bytes, 0..<known) { return .malformed("the method is unknown") }
        if fields == RequestParser.fieldsMax, known > line { return .tooLarge }
        if searched < known, !bytes.isText(searched..<known) { return .malformed("the head has control characters in it") }
        searched = max(searched, end)
        return bytes.count > RequestParser.headMax ? .tooLarge : nil
    }
}
