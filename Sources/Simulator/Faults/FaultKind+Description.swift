extension FaultKind {
    /// The number that may follow the name as `=N`: what it means, what it is unless given, and what it may be. `nil` takes no number.
    package var argument: (meaning: String, usual: Int, bounds: ClosedRange<Int>)? {
        let offsets = 0...(1 << 30)
        let milliseconds = 0...86_400_000
        return switch self {
        case .htmlError: ("status", 502, 400...599)
        case .textError: ("status", 500, 400...599)
        case .emptyError: ("status", 503, 400...599)
        case .errorString: ("status", 400, 400...599)
        case .flap: ("calls", 1, 1...1_000_000)
        case .rateLimitMilliseconds: ("milliseconds", 50, milliseconds)
        case .errorEvent, .badJSON, .truncatedJSON, .badChunk, .shortChunk, .stallInEvent: ("events", 2, 0...1_000_000)
        case .stall, .resetAfter, .finAfter: ("events, of a plain answer bytes", 2, offsets)
        case .resetAt, .finAt: ("bytes of head and body", 0, offsets)
        case .resetOnBody: ("bytes of the request's body", 1, offsets)
        case .slowWriter: ("milliseconds between 64 bytes", 2, milliseconds)
        case .slowReader: ("milliseconds between 1024 bytes", 2, milliseconds)
        case .slowFirstToken, .earlyHead: ("milliseconds", 1000, milliseconds)
        default: nil
        }
    }

    /// One line for a person.
    package var summary: String {
        switch self {
        case .status400, .status401, .status402, .status403, .status404, .status408, .status409, .status413, .status422, .status500, .status502,
            .status503, .status504, .status529:
            "an error of that status in OpenAI's shape"
        case .status429: "429 with Retry-After in OpenAI's shape"
        case .rateLimitMilliseconds: "429 with retry-after-ms"
        case .rateLimitNoHint: "429 without a word on when to try again"
        case .quota: "429 insufficient_quota, which no retry helps"
        case .contextLength: "400 context_length_exceeded"
        case .htmlError: "an error whose body is a web page"
        case .textError: "an error whose body is plain text"
        case .emptyError: "an error without a body"
        case .errorString: "an error whose `error` is a string instead of an object"
        case .flap: "N calls answered by 503, then N answered well, and again"
        case .error200: "200 whose body, or first event, is an error object"
        case .error200JSON: "200 with an error object as JSON, also where a stream was asked for"
        case .errorEvent: "an error object as event N; plain: nothing"
        case .html200: "200 with a web page"
        case .wrongType: "the right body under content-type text/plain"
        case .noType: "the right body without a content-type"
        case .jsonForStream: "a plain JSON answer where a stream was asked for; plain: nothing"
        case .streamForPlain: "a stream where a plain answer was asked for; streamed: nothing"
        case .emptyBody: "200 with content-length 0"
        case .emptyStream: "200 and an end without an event or a byte of body"
        case .emptyObject: "`{}` instead of the answer, or of every event but the end mark"
        case .noContent: "204"
        case .redirect: "302 to another address"
        case .badJSON: "event N, or the body, is malformed JSON"
        case .truncatedJSON: "event N, or the body, is half of itself, and the answer ends properly after it"
        case .noDone: "no [DONE]; plain: nothing"
        case .noFinish: "no finish_reason, no usage and no [DONE]; plain: finish_reason is null"
        case .doneTwice: "[DONE] twice; plain: nothing"
        case .dataAfterDone: "an event behind [DONE]; plain: nothing"
        case .contentFilter: "finish_reason content_filter"
        case .lengthFinish: "finish_reason length"
        case .comments: "a comment line before every event; plain: white space before the body"
        case .crlf: "lines end in CR LF; plain: the body stands between empty lines"
        case .carriageReturns: "lines end in CR alone; plain: nothing"
        case .noSpace: "no space behind `data:`; plain: nothing"
        case .eventFields: "event, id and retry lines in every event; plain: nothing"
        case .multiLine: "each event's JSON on two data lines; plain: nothing"
        case .bom: "a byte order mark first"
        case .invalidUTF8: "bytes that are no UTF-8 in the text"
        case .splitUTF8: "a character of four bytes split over two chunks and writes"
        case .endless: "text that never ends"
        case .endlessEvent: "one event that never ends; plain: white space that never ends"
        case .noUsage: "no token counts"
        case .usageNull: "usage is null"
        case .usageSmall: "1 prompt and 1 completion token, whatever the answer"
        case .usageLarge: "5 million completion tokens for a few words"
        case .usageHuge: "counts of eighteen digits"
        case .usageNegative: "a negative completion count"
        case .usageInconsistent: "a total that is not the sum, more cached tokens than prompt tokens, more reasoning than completion"
        case .usageStrings: "counts as strings"
        case .usageFractions: "counts with a decimal point"
        case .usageEveryChunk: "running usage in every chunk; plain: nothing"
        case .usageWithFinish: "usage in the chunk that has the finish_reason; plain: nothing"
        case .badChunk: "chunk N has a size that is no number; plain: chunk 2"
        case .shortChunk: "chunk N is longer on paper than on the wire, and the connection ends; plain: chunk 1"
        case .lengthLong: "a content-length larger than the body, and the connection ends"
        case .lengthShort: "a content-length smaller than the body"
        case .twoLengths: "two content-lengths that differ"
        case .lengthAndChunked: "content-length beside chunks"
        case .gzip: "a gzip body that nobody asked for"
        case .hugeHeader: "a header of 100 KiB"
        case .manyHeaders: "200 headers more than usual"
        case .badHeader: "a header line without a colon"
        case .bareLineFeeds: "lines of the head end in LF alone"
        case .interim: "100 and 103 before the answer"
        case .switching: "101 instead of an answer"
        case .http10: "HTTP/1.0: no length and no chunks, the connection's end is the answer's"
        case .notHTTP: "another protocol answers"
        case .trailers: "fields behind the last chunk"
        case .chunkExtensions: "extensions behind chunk sizes"
        case .extraBytes: "bytes behind the end of the answer"
        case .secondAnswer: "a second answer that nobody asked for, right behind the first"
        case .endlessHead: "header lines that never end"
        case .oneWrite: "head and all of the body in one write"
        case .byteByByte: "every byte in a write of its own"
        case .slowWriter: "the answer in writes of 64 bytes with pauses"
        case .slowReader: "the request is read slowly, in pieces of 1024 bytes with pauses"
        case .slowFirstToken: "a long wait for head and first token"
        case .earlyHead: "the head at once, then a long wait for the first token"
        case .stallHead: "not a byte of an answer, and the connection stays open"
        case .stall: "nothing more after N events, and the connection stays open"
        case .stallInEvent: "nothing more in the middle of the event behind N, or of the body"
        case .resetOnHead: "the connection is reset once the request's head is read"
        case .resetOnBody: "the connection is reset once N bytes of the request's body are read"
        case .resetAt: "the connection is reset after N bytes of the answer, counted from the first of its head"
        case .finAt: "the connection is closed after N bytes of the answer, counted from the first of its head"
        case .resetAfter: "the connection is reset after N events"
        case .finAfter: "the connection is closed after N events"
        }
    }

    /// The line of `martlet simulate --list-faults`.
    package var line: String {
        guard let argument else { return "\(rawValue): \(summary)" }
        return "\(rawValue)[=N]: \(summary) (N: \(argument.meaning); \(argument.usual))"
    }
}
