import NIOCore

/// A legacy completion as a stream: an echo first where wanted, then one chunk a token, choice after choice.
struct CompletionFrames: FrameSource {
    private let answer: CompletionAnswer
    private var turn = 0
    private var position = 0
    private var textOffset = 0
    private var words: WordSequence?
    private var leads: Bool
    private var ended = false

    init(_ answer: CompletionAnswer) {
        self.answer = answer
        leads = answer.choices.contains { !$0.echo.isEmpty }
        enter(0)
    }

    var upcoming: FrameKind? {
        if leads { return .lead }
        if turn < answer.choices.count { return .content }
        return ended ? nil : .tail
    }

    mutating func write(into buffer: inout ByteBuffer) {
        switch upcoming {
        case .lead:
            for (index, entry) in answer.choices.enumerated() { write(entry.echo, [], 0, index, isLast: false, into: &buffer) }
            leads = false
        case .content:
            let token: String
            var tokens: [String] = []
            if let word = words?.next() {
                token = word
            } else if case .pieces(let pieces) = answer.choices[turn].choice.content, case .text(let text) = pieces[position] {
                token = text
                tokens = [text]
            } else {
                token = ""
            }
            write(token, tokens, position, turn, isLast: false, into: &buffer)
            textOffset += token.count
            position += 1
            if position == answer.choices[turn].choice.content.tokens { enter(turn + 1) }
        case .tail:
            for index in answer.choices.indices { write("", [], 0, index, isLast: true, into: &buffer) }
            if answer.includesUsage, let usage = answer.usage {
                buffer.writeStaticString("data: ")
                answer.writeEnvelope(&buffer)
                buffer.writeStaticString("],\"usage\":")
                usage.write(into: &buffer)
                buffer.writeStaticString("}\n\n")
            }
            buffer.writeDone()
            ended = true
        case nil:
            break
        }
    }

    /// Moves to a choice, or beyond it when it has no tokens.
    private mutating func enter(_ choice: Int) {
        turn = choice
        position = 0
        words = nil
        while turn < answer.choices.count, answer.choices[turn].choice.content.tokens == 0 { turn += 1 }
        guard turn < answer.choices.count else { return }
        textOffset = answer.choices[turn].echo.count
        if case .words(let words, _) = answer.choices[turn].choice.content { self.words = words }
    }

    private func write(_ text: String, _ tokens: [String], _ position: Int, _ index: Int, isLast: Bool, into buffer: inout ByteBuffer) {
        buffer.writeStaticString("data: ")
        answer.writeEnvelope(&buffer)
        buffer.writeStaticString("{\"text\":")
        buffer.writeJSON(text)
        answer.writeRest(
            of: answer.choices[index].choice, at: index, tokens: tokens, position: position, textOffset: textOffset, isLast: isLast, into: &buffer)
        buffer.writeStaticString(answer.includesUsage ? "],\"usage\":null}\n\n" : "]}\n\n")
    }
}
