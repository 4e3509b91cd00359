/// Reads HTTP/1.1 requests by the letter of RFC 9112, and stops at the first thing that two readers could read differently.
struct StrictReader {
    struct Request {
        var method: String
        var body: [UInt8]
    }

    private let bytes: [UInt8]
    private var at = 0

    /// The whole requests up to the end, or to the first that is not beyond doubt.
    static func requests(_ bytes: [UInt8]) -> [Request] {
        var reader = StrictReader(bytes: bytes)
        var requests: [Request] = []
        while let request = reader.next() { requests.append(request) }
        return requests
    }

    private init(bytes: [UInt8]) { self.bytes = bytes }

    private mutating func next() -> Request? {
        // Empty lines in front are passed over (§2.2).
        while at < bytes.count, bytes[at] == 13 || bytes[at] == 10 { at += 1 }
        guard let line = line() else { return nil }
        // Words may have more than one space between them (§3): that changes none of them.
        let words = line.split(separator: 0x20)
        guard words.count == 3, line.first != 0x20, words[0].allSatisfy(isTokenByte), words[1].allSatisfy({ $0 > 0x20 && $0 != 0x7f }),
            words[2].elementsEqual("HTTP/1.1".utf8) || words[2].elementsEqual("HTTP/1.0".utf8)
        else { return nil }
        var length: Int?
        var isChunked = false
        while true {
            guard let line = self.line() else { return nil }
            if line.isEmpty { break }
            guard let (name, value) = field(line) else { return nil }
            switch name {
            case "content-length":
                guard (1...15).contains(value.count), value.allSatisfy({ (0x30...0x39).contains($0) }),
                    let number = Int(String(decoding: value, as: UTF8.self)),
                    length == nil || length == number
                else { return nil }
                length = number
            case "transfer-encoding":
                guard !isChunked, String(decoding: value, as: UTF8.self).lowercased() == "chunked", words[2].last == UInt8(ascii: "1") else {
                    return nil
                }
                isChunked = true
            default: break
            }
        }
        guard !(isChunked && length != nil), let body = isChunked ? chunks() : take(length ?? 0) else { return nil }
        return Request(method: String(decoding: words[0], as: UTF8.self), body: body)
    }

    private func field(_ line: ArraySlice<UInt8>) -> (name: String, value: ArraySlice<UInt8>)? {
        guard let colon = line.firstIndex(of: UInt8(ascii: ":")), colon > line.startIndex, line[..<colon].allSatisfy(isTokenByte) else { return nil }
        var value = line[(colon + 1)...]
        while let first = value.first, first == 0x20 || first == 9 { value.removeFirst() }
        while let last = value.last, last == 0x20 || last == 9 { value.removeLast() }
        guard value.allSatisfy({ $0 >= 0x20 && $0 != 0x7f || $0 == 9 }) else { return nil }
        return (String(decoding: line[..<colon], as: UTF8.self).lowercased(), value)
    }

    private mutating func chunks() -> [UInt8]? {
        var body: [UInt8] = []
        while true {
            guard let line = line(), let digits = line.split(separator: UInt8(ascii: ";"), omittingEmptySubsequences: false).first else { return nil }
            guard (1...8).contains(digits.count), let size = Int(String(decoding: digits, as: UTF8.self), radix: 16),
                digits.allSatisfy({ $0 != 0x2b && $0 != 0x2d })
            else { return nil }
            if size == 0 { break }
            guard let part = take(size), line.allSatisfy({ $0 >= 0x20 && $0 != 0x7f || $0 == 9 }), self.line()?.isEmpty == true else { return nil }
            body += part
        }
        while true {
            guard let line = line() else { return nil }
            if line.isEmpty { return body }
            guard field(line) != nil else { return nil }
        }
    }

    private mutating func take(_ count: Int) -> [UInt8]? {
        guard at + count <= bytes.count else { return nil }
        defer { at += count }
        return Array(bytes[at..<at + count])
    }

    /// A line that ends in CR LF and has neither within.
    private mutating func line() -> ArraySlice<UInt8>? {
        guard at < bytes.count, let end = bytes[at...].firstIndex(of: 10), end > at, bytes[end - 1] == 13 else { return nil }
        let line = bytes[at..<end - 1]
        guard !line.contains(13) else { return nil }
        at = end + 1
        return line
    }
}

private func isTokenByte(_ byte: UInt8) -> Bool {
    switch byte {
    case 0x30...0x39, 0x41...0x5a, 0x61...0x7a: true
    default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
    }
}

/// Whether these are header lines that end in CR LF and hold no other control character.
func isSound(_ lines: [UInt8]) -> Bool {
    for index in lines.indices {
        switch lines[index] {
        case 13: if index + 1 == lines.count || lines[index + 1] != 10 { return false }
        case 10: if index == 0 || lines[index - 1] != 13 { return false }
        case 9: break
        case 0..<0x20, 0x7f: return false
        default: break
        }
    }
    return true
}

/// Reads what went out to a client: whole answers, one behind the other, with sound heads.
struct AnswerReader {
    /// How many final answers there are. Ends the run when the bytes are anything else.
    static func count(_ bytes: [UInt8]) -> Int {
        var rest = bytes[...]
        var count = 0
        while !rest.isEmpty {
            guard rest.starts(with: "HTTP/1.1 ".utf8), let end = headEnd(rest) else { fatalError("no answer: \(text(rest))") }
            let head = Array(rest[..<end])
            check(isSound(head), "a head with a line of its own: \(text(rest))")
            let lines = String(decoding: head, as: UTF8.self).lowercased()
            rest = rest[end...]
            if lines.hasPrefix("http/1.1 100 ") { continue }
            count += 1
            check(lines.components(separatedBy: "\r\nx-request-id: ") == 2, "not one request id: \(lines)")
            // The head of an answer to HEAD stands alone.
            if rest.isEmpty || rest.starts(with: "HTTP/1.1 ".utf8) { continue }
            if let length = value("content-length", lines).flatMap({ Int($0) }) {
                guard length <= rest.count else { fatalError("an answer is cut: \(text(rest))") }
                rest = rest.dropFirst(length)
            } else if value("transfer-encoding", lines) == "chunked" {
                guard let body = rest.firstRange(of: Array("0\r\n\r\n".utf8)) else { fatalError("a stream is cut: \(text(rest))") }
                rest = rest[body.upperBound...]
            } else {
                // An answer without an end of its own is the last.
                check(!lines.contains("\r\nconnection: keep-alive"), "an answer without an end, and more to come: \(lines)")
                rest = []
            }
        }
        return count
    }

    private static func text(_ bytes: ArraySlice<UInt8>) -> String { String(decoding: bytes.prefix(2_000), as: UTF8.self) }

    private static func headEnd(_ bytes: ArraySlice<UInt8>) -> Int? { bytes.firstRange(of: Array("\r\n\r\n".utf8))?.upperBound }

    private static func value(_ name: String, _ lines: String) -> Substring? {
        lines.split(separator: "\r\n").first { $0.hasPrefix(name + ": ") }?.dropFirst(name.utf8.count + 2)
    }
}

extension String {
    /// How many parts a separator makes of it.
    fileprivate func components(separatedBy separator: String) -> Int { ranges(of: separator).count + 1 }
}
