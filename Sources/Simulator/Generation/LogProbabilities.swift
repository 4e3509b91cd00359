import NIOCore

/// Made-up log probabilities: the chosen token leads, its alternatives follow with falling values.
struct LogProbabilities {
    var seed: UInt64
    var alternatives: Int

    private struct Candidate {
        var token: String
        var logprob: Double
    }

    /// The chosen token and its alternatives, the chosen one first.
    private func candidates(_ token: String, at position: Int) -> [Candidate] {
        var random = SeededRandom(seed: seed &+ UInt64(truncatingIfNeeded: position) &* 0xD129_0D3B_3F2A_9E67)
        var value = -random.unit() * 0.5 - 0.001
        var words = WordSequence(seed: random.next())
        var found = [Candidate(token: token, logprob: rounded(value))]
        while found.count < max(1, alternatives) {
            value -= random.unit() * 1.5 + 0.1
            // Token texts are told apart by a mark where the words repeat, since they are the keys of the legacy shape.
            let word = words.next()
            let isKnown = found.contains { $0.token == word }
            found.append(Candidate(token: isKnown ? word + String(found.count) : word, logprob: rounded(value)))
        }
        return found
    }

    private func rounded(_ number: Double) -> Double { (number * 1_000_000).rounded() / 1_000_000 }

    /// The `logprobs` object of a chat choice.
    ///
    /// - Parameter position: of the first piece within its answer, so that streamed pieces get what the plain answer says.
    func writeChat(_ pieces: [AnswerPiece], from position: Int, into buffer: inout ByteBuffer) {
        buffer.writeStaticString("{\"content\":[")
        for (offset, piece) in pieces.enumerated() {
            guard case .text(let token) = piece else { continue }
            if offset > 0 { buffer.writeStaticString(",") }
            let candidates = candidates(token, at: position + offset)
            writeFields(candidates[0], into: &buffer)
            buffer.writeStaticString(",\"top_logprobs\":[")
            for (index, candidate) in candidates.prefix(alternatives).enumerated() {
                if index > 0 { buffer.writeStaticString(",") }
                writeFields(candidate, into: &buffer)
                buffer.writeStaticString("}")
            }
            buffer.writeStaticString("]}")
        }
        buffer.writeStaticString("],\"refusal\":null}")
    }

    private func writeFields(_ candidate: Candidate, into buffer: inout ByteBuffer) {
        buffer.writeStaticString("{\"token\":")
        buffer.writeJSON(candidate.token)
        buffer.writeStaticString(",\"logprob\":")
        buffer.writeString(String(candidate.logprob))
        buffer.writeStaticString(",\"bytes\":[")
        buffer.writeString(candidate.token.utf8.map { String($0) }.joined(separator: ","))
        buffer.writeStaticString("]")
    }

    /// The `logprobs` object of a legacy choice.
    ///
    /// - Parameters:
    ///   - position: of the first token within its answer.
    ///   - offset: characters before the first token.
    func writeLegacy(_ tokens: [String], from position: Int, textOffset offset: Int, into buffer: inout ByteBuffer) {
        let all = tokens.indices.map { candidates(tokens[$0], at: position + $0) }
        var offsets: [String] = []
        var end = offset
        for token in tokens {
            offsets.append(String(end))
            end += token.count
        }
        buffer.writeStaticString("{\"tokens\":")
        buffer.writeJSON(.array(tokens.map { .string($0) }))
        buffer.writeStaticString(",\"token_logprobs\":[")
        buffer.writeString(all.map { String($0[0].logprob) }.joined(separator: ","))
        buffer.writeStaticString("],\"top_logprobs\":")
        if alternatives == 0 {
            buffer.writeStaticString("null")
        } else {
            buffer.writeJSON(.array(all.map { .object($0.prefix(alternatives).map { JSONMember($0.token, .number(String($0.logprob))) }) }))
        }
        buffer.writeStaticString(",\"text_offset\":[")
        buffer.writeString(offsets.joined(separator: ","))
        buffer.writeStaticString("]}")
    }
}
