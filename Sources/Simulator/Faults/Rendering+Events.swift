import NIOCore

/// Faults of bodies and events.
extension Rendering {
    /// - Returns: whether the fault is one of these.
    mutating func applyToEvents(_ fault: Fault) -> Bool {
        switch fault.kind {
        case .badJSON:
            let broken = #"{"id":"chatcmpl-0","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":undefined}]"#
            let at = isStream ? place(behind: max(1, fault.number) - 1) : 0
            guard pieces.indices.contains(at) else { break }
            if isStream { pieces[at].text = "data: \(broken)\n\n" } else { changeBody { String($0.dropLast()) + #","extra":undefined]"# } }
        case .truncatedJSON:
            let at = isStream ? place(behind: max(1, fault.number) - 1) : 0
            guard pieces.indices.contains(at) else { break }
            pieces.removeLast(pieces.count - 1 - at)
            halve(at)
            if !isStream { framing = .length(pieces[at].bytes.readableBytes) }
        case .noDone: pieces.removeAll { $0.role == .done }
        case .noFinish:
            pieces.removeAll { $0.role == .done || $0.role == .finish || $0.role == .usage }
            setFinishReason(nil)
        case .doneTwice: if isStream { append(Piece("data: [DONE]\n\n", .done)) }
        case .dataAfterDone: if isStream, let content = pieces.last(where: { $0.role == .content }) { append(content) }
        case .contentFilter: setFinishReason("content_filter")
        case .lengthFinish: setFinishReason("length")
        case .comments:
            guard isStream else {
                changeBody { "\n \n\n\($0)" }
                break
            }
            pieces = pieces.flatMap { [Piece(": keep-alive\n\n", .lead, due: $0.due), $0] }
        case .crlf:
            changeBody { "\r\n\r\n\($0)\r\n" }
            changeEvents { $0.split(separator: "\n", omittingEmptySubsequences: false).joined(separator: "\r\n") }
        case .carriageReturns: changeEvents { $0.split(separator: "\n", omittingEmptySubsequences: false).joined(separator: "\r") }
        case .noSpace: changeEvents { "data:\($0.dropFirst("data: ".count))" }
        case .eventFields: changeEvents { "event: message\nid: 7\nretry: 1000\n\($0)" }
        case .multiLine:
            changeEvents { event in
                guard let comma = event.firstIndex(of: ",") else { return event }
                return "\(event[...comma])\ndata: \(event[event.index(after: comma)...])"
            }
        case .bom:
            guard let first = pieces.first else { break }
            pieces[0].bytes = ByteBuffer(bytes: [0xEF, 0xBB, 0xBF] + first.bytes.readableBytesView)
            if case .length(let length) = framing { framing = .length(length + 3) }
        case .invalidUTF8: insertInContent([0xFF, 0xC3, 0x28, 0xE2, 0x82], splitAt: nil)
        case .splitUTF8: insertInContent(Array("🐦".utf8), splitAt: 2)
        case .endless: neverEnd()
        case .endlessEvent:
            guard isStream else {
                changeBody { _ in " " }
                framing = .chunked
                ending = .forever(ByteBuffer(string: String(repeating: " ", count: 64)))
                break
            }
            let at = place(behind: 1)
            pieces.removeSubrange(at...)
            append(Piece(#"data: {"id":"chatcmpl-0","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":""#, .other))
            ending = .forever(ByteBuffer(string: String(repeating: "more", count: 4 << 10)))
        default: return false
        }
        return true
    }

    private mutating func append(_ piece: Piece) {
        var piece = piece
        piece.due = pieces.last?.due ?? 0
        pieces.append(piece)
    }

    private mutating func changeEvents(_ change: (String) -> String) {
        guard isStream else { return }
        for index in pieces.indices where pieces[index].role != .other {
            // One piece may hold the first events of several choices.
            pieces[index].text = pieces[index].text.split(separator: "\n\n").map { change("\($0)\n\n") }.joined()
        }
    }

    private mutating func setFinishReason(_ reason: String?) {
        let told = reason.map { "\"\($0)\"" } ?? "null"
        func changed(_ text: String) -> String {
            ["stop", "length", "tool_calls"].reduce(text) { $0.replacing("\"finish_reason\":\"\($1)\"", with: "\"finish_reason\":\(told)") }
        }
        changeBody(changed)
        for index in pieces.indices where pieces[index].role == .finish { pieces[index].text = changed(pieces[index].text) }
    }

    /// Puts bytes at the start of the first text that the model says.
    ///
    /// - Parameter splitAt: how many of them go into a chunk before the others.
    private mutating func insertInContent(_ inserted: [UInt8], splitAt: Int?) {
        let marks = [Array(#""content":""#.utf8), Array(#""text":""#.utf8)]
        for index in pieces.indices where pieces[index].role == .content || pieces[index].role == .body {
            let bytes = Array(pieces[index].bytes.readableBytesView)
            for mark in marks {
                guard let start = bytes.firstRange(of: mark)?.upperBound else { continue }
                let whole = bytes[..<start] + inserted + bytes[start...]
                if case .length(let length) = framing { framing = .length(length + inserted.count) }
                guard let splitAt else {
                    pieces[index].bytes = ByteBuffer(bytes: whole)
                    return
                }
                var second = pieces[index]
                pieces[index].bytes = ByteBuffer(bytes: whole[..<(start + splitAt)])
                second.bytes = ByteBuffer(bytes: whole[(start + splitAt)...])
                pieces[index].role = isStream ? .lead : .body
                // So that the two are not read at once.
                second.due += 5_000_000
                pieces.insert(second, at: index + 1)
                return
            }
        }
    }

    private mutating func neverEnd() {
        guard isStream else {
            guard let text = pieces.first?.text, let mark = text.range(of: #""content":""#) ?? text.range(of: #""text":""#) else { return }
            changeBody { _ in String(text[..<mark.upperBound]) }
            framing = .chunked
            ending = .forever(ByteBuffer(string: "and on "))
            return
        }
        guard let content = pieces.last(where: { $0.role == .content }) else { return }
        pieces.removeAll { $0.role == .finish || $0.role == .usage || $0.role == .done }
        ending = .forever(content.bytes)
    }
}

extension Array where Element == UInt8 {
    /// Where a text stands for the first time.
    fileprivate func firstRange(of wanted: [UInt8]) -> Range<Int>? {
        guard wanted.count <= count else { return nil }
        return (0...(count - wanted.count)).first { self[$0..<($0 + wanted.count)].elementsEqual(wanted) }.map { $0..<($0 + wanted.count) }
    }
}
