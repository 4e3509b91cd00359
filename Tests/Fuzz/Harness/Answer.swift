import Contracts
import NIOCore

@testable import Calling

/// What came of a provider's answer.
private struct Heard: Equatable {
    var head: [String] = []
    var body: [UInt8] = []
    var ends = 0
    var isRefused = false
    var isDone = false
    var keepsAlive = false

    init(_ pieces: [ByteBuffer]) {
        var parser = AnswerParser()
        for piece in pieces where !isRefused {
            do throws(AnswerParser.Failure) {
                try parser.feed(piece) { event in
                    switch event {
                    case .head(let head, let isProxyError):
                        self.head.append(
                            "\(head.status) \(isProxyError) \(head.isEventStream) \(head.isJSON) \(head.isEncoded) \(head.contentLength) "
                                + String(buffer: head.contentType) + "|" + String(buffer: head.passedOn))
                    case .body(let bytes):
                        check(self.head.count == 1 && ends == 0, "a body without its head, or behind the end")
                        body += bytes.readableBytesView
                    case .end: ends += 1
                    }
                }
            } catch {
                isRefused = true
            }
        }
        let isEnded = isRefused ? false : parser.endOfInput()
        check(!(isEnded && ends > 0), "an answer that ended twice")
        isDone = parser.isDone
        keepsAlive = parser.keepsAlive
        check(head.count <= 1 && ends <= 1, "\(head.count) heads and \(ends) ends of one answer")
    }
}

/// The parser of providers' answers: one head, one body, one end, however the bytes are cut.
func fuzzAnswer(_ input: FuzzInput) {
    let whole = Heard([input.buffer])
    let cut = Heard(input.pieces())
    check(whole.isRefused == cut.isRefused && whole.ends == cut.ends && whole.head == cut.head, "a cut changes what is read:\n\(whole)\n\(cut)")
    check(whole.body == cut.body, "a cut changes the body")
    if !whole.isRefused { check(whole == cut, "a cut changes what is left:\n\(whole)\n\(cut)") }
    // The lines that reach the client cannot end early.
    for head in whole.head { check(!head.contains("\0") && !head.contains("\r\n\r\n"), "a line for the client ends its head: \(head)") }
}
