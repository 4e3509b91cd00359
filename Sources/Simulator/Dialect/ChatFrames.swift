import NIOCore

/// A chat completion as a stream of chunks.
///
/// A content chunk is kept to about 190 bytes, the size of OpenAI's: fingerprint and service tier stand in the first and last chunks only.
struct ChatFrames: FrameSource {
    private let answer: ChatAnswer
    /// `data: {"id":…,"model":…,` of every chunk.
    private let opening: ByteBuffer
    private var cursors: [Cursor]
    private var leads = true
    private var ended = false
    /// The choice whose token comes next; choices take turns.
    private var turn = 0

    /// How far one choice has come.
    private struct Cursor {
        var words: WordSequence?
        var position = 0
        var count: Int
    }

    init(_ answer: ChatAnswer) {
        self.answer = answer
        var opening = ByteBufferAllocator().buffer(capacity: 160)
        opening.writeStaticString("data: {\"id\":\"chatcmpl-")
        opening.writeHex16(answer.id)
        opening.writeStaticString("\",\"object\":\"chat.completion.chunk\",\"created\":")
        opening.writeDecimal(answer.created)
        opening.writeStaticString(",\"model\":")
        opening.writeJSON(answer.model)
        opening.writeStaticString(",")
        self.opening = opening
        cursors = answer.choices.map { choice in
            if case .words(let words, let count) = choice.content { Cursor(words: words, count: count) } else { Cursor(count: choice.content.tokens) }
        }
        skipFinished()
    }

    var upcoming: FrameKind? {
        if leads { return .lead }
        if turn < cursors.count { return .content }
        return ended ? nil : .tail
    }

    mutating func write(into buffer: inout ByteBuffer) {
        switch upcoming {
        case .lead:
            writeLead(into: &buffer)
            leads = false
        case .content:
            writeContent(into: &buffer)
            skipFinished()
        case .tail:
            writeTail(into: &buffer)
            ended = true
        case nil:
            break
        }
    }

    /// Moves `turn` to the next choice that has tokens left, or beyond the last.
    private mutating func skipFinished() {
        for step in 1...cursors.count {
            let candidate = (turn + (leads ? step - 1 : step)) % cursors.count
            if cursors[candidate].position < cursors[candidate].count {
                turn = candidate
                return
            }
        }
        turn = cursors.count
    }

    private func writeEnvelope(_ buffer: inout ByteBuffer) {
        buffer.writeImmutableBuffer(opening)
        buffer.writeStaticString("\"service_tier\":\"default\",\"system_fingerprint\":\"")
        buffer.writeStaticString(ChatAnswer.fingerprint)
        buffer.writeStaticString("\",\"choices\":[")
    }

    private func writeClosing(_ buffer: inout ByteBuffer) {
        if answer.includesUsage { buffer.writeStaticString("],\"usage\":null}\n\n") } else { buffer.writeStaticString("]}\n\n") }
    }

    private func writeLead(into buffer: inout ByteBuffer) {
        for (index, choice) in answer.choices.enumerated() {
            writeEnvelope(&buffer)
            buffer.writeStaticString("{\"index\":")
            buffer.writeDecimal(index)
            buffer.writeStaticString(",\"delta\":{\"role\":\"assistant\",\"content\":")
            buffer.writeStaticString(choice.content.hasToolCalls ? "null" : "\"\"")
            buffer.writeStaticString(",\"refusal\":null},\"logprobs\":null,\"finish_reason\":null}")
            writeClosing(&buffer)
        }
    }

    private mutating func writeContent(into buffer: inout ByteBuffer) {
        let position = cursors[turn].position
        cursors[turn].position += 1
        buffer.writeImmutableBuffer(opening)
        buffer.writeStaticString("\"choices\":[{\"index\":")
        buffer.writeDecimal(turn)
        buffer.writeStaticString(",\"delta\":{")
        if let word = cursors[turn].words?.next() {
            buffer.writeStaticString("\"content\":\"")
            buffer.writeString(word)
            buffer.writeStaticString("\"},\"finish_reason\":null}")
        } else if case .pieces(let pieces) = answer.choices[turn].content {
            write(pieces[position], into: &buffer)
            if let topLogprobs = answer.topLogprobs, case .text = pieces[position] {
                buffer.writeStaticString("},\"logprobs\":")
                LogProbabilities(seed: answer.choices[turn].seed, alternatives: topLogprobs)
                    .writeChat([pieces[position]], from: position, into: &buffer)
                buffer.writeStaticString(",\"finish_reason\":null}")
            } else {
                buffer.writeStaticString("},\"finish_reason\":null}")
            }
        }
        writeClosing(&buffer)
    }

    private func write(_ piece: AnswerPiece, into buffer: inout ByteBuffer) {
        switch piece {
        case .text(let text):
            buffer.writeStaticString("\"content\":")
            buffer.writeJSON(text)
        case .callStart(let index, let id, let name, let isCustom):
            buffer.writeStaticString("\"tool_calls\":[{\"index\":")
            buffer.writeDecimal(index)
            buffer.writeStaticString(",\"id\":")
            buffer.writeJSON(id)
            buffer.writeStaticString(isCustom ? ",\"type\":\"custom\",\"custom\":{\"name\":" : ",\"type\":\"function\",\"function\":{\"name\":")
            buffer.writeJSON(name)
            buffer.writeStaticString(isCustom ? ",\"input\":\"\"}}]" : ",\"arguments\":\"\"}}]")
        case .callArguments(let index, let fragment):
            let isCustom = answer.isCustomCall(index, choice: turn)
            buffer.writeStaticString("\"tool_calls\":[{\"index\":")
            buffer.writeDecimal(index)
            buffer.writeStaticString(isCustom ? ",\"custom\":{\"input\":" : ",\"function\":{\"arguments\":")
            buffer.writeJSON(fragment)
            buffer.writeStaticString("}}]")
        }
    }

    private func writeTail(into buffer: inout ByteBuffer) {
        for (index, choice) in answer.choices.enumerated() {
            writeEnvelope(&buffer)
            buffer.writeStaticString("{\"index\":")
            buffer.writeDecimal(index)
            buffer.writeStaticString(",\"delta\":{},\"logprobs\":null,\"finish_reason\":\"")
            buffer.writeString(choice.finishReason)
            buffer.writeStaticString("\"}")
            writeClosing(&buffer)
        }
        if answer.includesUsage, let usage = answer.usage {
            writeEnvelope(&buffer)
            buffer.writeStaticString("],\"usage\":")
            usage.write(into: &buffer)
            buffer.writeStaticString("}\n\n")
        }
        buffer.writeDone()
    }
}

extension ChatAnswer {
    /// Whether a call of a choice is that of a custom tool.
    fileprivate func isCustomCall(_ index: Int, choice: Int) -> Bool {
        guard case .pieces(let pieces) = choices[choice].content else { return false }
        return pieces.contains { piece in
            if case .callStart(index, _, _, true) = piece { true } else { false }
        }
    }
}
