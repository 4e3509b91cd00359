import NIOConcurrencyHelpers
import NIOCore
import NIOHTTP1

/// One call that is kept for `GET /sim/calls`: what came, what it suffered, and how it ended.
final class CallEntry: Sendable {
    /// How a call stands.
    enum End: String {
        case active
        /// The last byte of the answer was handed to the socket.
        case complete
        /// The client left before that.
        case clientClosed = "client_closed"
        /// A fault closed the connection.
        case closed
        /// A fault reset the connection.
        case reset
    }

    private struct Course {
        var rule: String?
        var model: String?
        var faults: [String] = []
        var status: Int?
        var firstByteAt: Int?
        var bytesSent = 0
        var frames = 0
        var isStalled = false
        var end = End.active
        var endedAt: Int?
    }

    /// Bytes of a body that are kept.
    static let bodyMaxBytes = 64 << 10

    let number: Int
    private let method: String
    private let uri: String
    private let headers: HTTPHeaders
    private let body: String
    private let bodyBytes: Int
    private let receivedAt = Clock.unixMilliseconds()
    private let course = NIOLockedValueBox(Course())
    /// About what it costs to keep.
    let sizeBytes: Int

    init(number: Int, _ head: HTTPRequestHead, _ body: ByteBuffer) {
        self.number = number
        method = head.method.rawValue
        uri = head.uri
        headers = head.headers
        bodyBytes = body.readableBytes
        self.body = String(buffer: body.getSlice(at: body.readerIndex, length: min(bodyBytes, Self.bodyMaxBytes)) ?? body)
        sizeBytes = 512 + uri.utf8.count + self.body.utf8.count + headers.reduce(0) { $0 + $1.name.utf8.count + $1.value.utf8.count + 32 }
    }

    func decided(rule: String?, model: String?, faults: [Fault], status: Int) {
        course.withLockedValue { course in
            course.rule = rule
            course.model = model
            course.faults = faults.map(\.text)
            course.status = status
        }
    }

    func answered(status: Int) { course.withLockedValue { $0.status = status } }

    func sent(bytes: Int) {
        course.withLockedValue { course in
            if course.bytesSent == 0 { course.firstByteAt = Clock.unixMilliseconds() }
            course.bytesSent += bytes
        }
    }

    func stalled() { course.withLockedValue { $0.isStalled = true } }

    func ended(_ end: End, frames: Int) {
        course.withLockedValue { course in
            guard course.end == .active else { return }
            course.end = end
            course.frames = frames
            course.endedAt = Clock.unixMilliseconds()
        }
    }

    /// Whether it is what a query asks for.
    func matches(_ filter: CallFilter) -> Bool {
        guard number > filter.since, filter.path.map({ glob($0, uri) }) ?? true else { return false }
        return course.withLockedValue { course in
            (filter.model.map { glob($0, course.model ?? "") } ?? true)
                && (filter.rule.map { glob($0, course.rule ?? "") } ?? true)
                && (filter.fault.map { wanted in course.faults.contains { glob(wanted, $0) || $0.prefix { $0 != "=" } == wanted } } ?? true)
                && (filter.end.map { $0 == course.end.rawValue } ?? true)
                && (filter.status.map { $0 == course.status } ?? true)
                && (filter.requestID.map { headers["x-request-id"].contains($0) } ?? true)
        }
    }

    var json: JSONValue {
        func number(_ value: Int?) -> JSONValue { value.map { .number(String($0)) } ?? .null }
        func text(_ value: String?) -> JSONValue { value.map { .string($0) } ?? .null }
        let course = course.withLockedValue { $0 }
        return .object([
            JSONMember("number", number(self.number)),
            JSONMember("method", .string(method)),
            JSONMember("uri", .string(uri)),
            JSONMember("headers", .array(headers.map { .array([.string($0.name), .string($0.value)]) })),
            JSONMember("body", .string(body)),
            JSONMember("body_bytes", number(bodyBytes)),
            JSONMember("body_is_whole", .bool(bodyBytes <= Self.bodyMaxBytes)),
            JSONMember("model", text(course.model)),
            JSONMember("rule", text(course.rule)),
            JSONMember("faults", .array(course.faults.map { .string($0) })),
            JSONMember("status", number(course.status)),
            JSONMember("received_at_ms", number(receivedAt)),
            JSONMember("first_byte_at_ms", number(course.firstByteAt)),
            JSONMember("ended_at_ms", number(course.endedAt)),
            JSONMember("bytes_sent", number(course.bytesSent)),
            JSONMember("frames_sent", number(course.frames)),
            JSONMember("stalled", .bool(course.isStalled)),
            JSONMember("end", .string(course.end.rawValue)),
        ])
    }
}

/// What a query of `GET /sim/calls` asks for; a filter that is absent lets all through.
struct CallFilter {
    var path: String?
    var model: String?
    var rule: String?
    var fault: String?
    var end: String?
    var status: Int?
    var requestID: String?
    /// Calls with a larger number only.
    var since = 0
    var limit = Int.max

    /// Reads a query; a name or a value that is not known is a mistake.
    init(_ query: [(name: String, value: String)]) throws(APIError) {
        for (name, value) in query {
            switch name {
            case "path": path = value
            case "model": model = value
            case "rule": rule = value
            case "fault": fault = value
            case "end": end = value
            case "request_id": requestID = value
            case "status", "since", "limit":
                guard let number = Int(value), number >= 0 else { throw .invalid(name, "'\(name)' is a number, not '\(value)'.") }
                if name == "status" { status = number } else if name == "since" { since = number } else { limit = number }
            default:
                throw .invalid(name, "There is no filter '\(name)'; there are path, model, rule, fault, end, status, request_id, since and limit.")
            }
        }
    }
}

/// Keeps the last calls, so that a test can see what reached its upstream (`GET /sim/calls`).
final class CallRecorder: Sendable {
    /// Bytes that all calls together may take; the oldest are forgotten.
    private static let maximumBytes = 64 << 20

    fileprivate struct Kept {
        var entries: [CallEntry] = []
        var bytes = 0
        var forgotten = 0
        var last = 0
    }

    private let maximumCalls: Int
    private let kept = NIOLockedValueBox(Kept())

    init(maximumCalls: Int) { self.maximumCalls = maximumCalls }

    func record(_ head: HTTPRequestHead, _ body: ByteBuffer) -> CallEntry {
        kept.withLockedValue { kept in
            kept.last += 1
            let entry = CallEntry(number: kept.last, head, body)
            kept.entries.append(entry)
            kept.bytes += entry.sizeBytes
            // Several at once, so that a full list is not moved for every call.
            if kept.entries.count > maximumCalls + maximumCalls / 8 { kept.forget(kept.entries.count - maximumCalls) }
            while kept.bytes > Self.maximumBytes, kept.entries.count > 1 { kept.forget(max(1, kept.entries.count / 8)) }
            return entry
        }
    }

    func reset() {
        kept.withLockedValue { kept in
            let last = kept.last
            kept = Kept()
            kept.last = last
        }
    }

    /// The calls that a filter lets through, oldest first, of more than the limit the newest.
    func body(_ filter: CallFilter) -> ByteBuffer {
        let (entries, forgotten) = kept.withLockedValue { (Array($0.entries.suffix(maximumCalls)), $0.forgotten) }
        let found = entries.filter { $0.matches(filter) }.suffix(filter.limit)
        var buffer = ByteBuffer()
        buffer.writeJSON(
            .object([JSONMember("calls", .array(found.map(\.json))), JSONMember("forgotten", .number(String(forgotten)))]))
        return buffer
    }
}

extension CallRecorder.Kept {
    fileprivate mutating func forget(_ count: Int) {
        bytes -= entries.prefix(count).reduce(0) { $0 + $1.sizeBytes }
        entries.removeFirst(count)
        forgotten += count
    }
}
