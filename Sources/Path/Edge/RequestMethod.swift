/// The method of a request. What is none of the methods that clients know is refused as nonsense by the reader of heads.
package enum RequestMethod: Equatable {
    case get
    case head
    case post
    case connect
    /// Any other that clients know; the control plane may have an answer.
    case other(String)

    /// As it stands in a request line.
    package var name: String {
        switch self {
        case .get: "GET"
        case .head: "HEAD"
        case .post: "POST"
        case .connect: "CONNECT"
        case .other(let name): name
        }
    }

    /// Reads the method at the start of a request line, with the blank behind it.
    init?(_ bytes: UnsafeRawBufferPointer, _ line: Range<Int>) {
        if RequestMethod.begins(bytes, line, "POST ") {
            self = .post
        } else if RequestMethod.begins(bytes, line, "GET ") {
            self = .get
        } else if RequestMethod.begins(bytes, line, "HEAD ") {
            self = .head
        } else if RequestMethod.begins(bytes, line, "CONNECT ") {
            self = .connect
        } else if let name = RequestMethod.others.first(where: { RequestMethod.begins(bytes, line, $0) }) {
            self = .other(String("\(name)".dropLast()))
        } else {
            return nil
        }
    }

    /// Whether the bytes of a line that is not whole can become one with a method: another protocol is noticed by its first bytes, not when
    /// our patience ends.
    static func canBegin(_ bytes: UnsafeRawBufferPointer, _ line: Range<Int>) -> Bool {
        (usual + others).contains { name in
            let length = min(line.count, name.utf8CodeUnitCount)
            return (0..<length).allSatisfy { bytes[line.lowerBound + $0] == name.utf8Start[$0] }
        }
    }

    private static func begins(_ bytes: UnsafeRawBufferPointer, _ line: Range<Int>, _ name: StaticString) -> Bool {
        let length = name.utf8CodeUnitCount
        return line.count >= length && bytes.isExactly(line.lowerBound..<line.lowerBound + length, name)
    }

    private static let usual: [StaticString] = ["POST ", "GET ", "HEAD ", "CONNECT "]
    /// Those of HTTP and WebDAV, and those that UPnP's clients and caches have used for long.
    private static let others: [StaticString] = [
        "DELETE ", "PUT ", "OPTIONS ", "TRACE ", "COPY ", "LOCK ", "MKCOL ", "MOVE ", "PROPFIND ", "PROPPATCH ", "SEARCH ", "UNLOCK ", "BIND ",
        "REBIND ", "UNBIND ", "ACL ", "REPORT ", "MKACTIVITY ", "CHECKOUT ", "MERGE ", "M-SEARCH ", "NOTIFY ", "SUBSCRIBE ", "UNSUBSCRIBE ", "PATCH ",
        "PURGE ", "MKCALENDAR ", "LINK ", "UNLINK ", "SOURCE ", "QUERY ",
    ]
}
