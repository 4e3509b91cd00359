/// One token's worth of an answer, which is one frame of a stream.
enum AnswerPiece: Sendable {
    case text(String)
    /// A tool call begins: its place, id, name and kind.
    case callStart(index: Int, id: String, name: String, isCustom: Bool)
    /// A fragment of that call's arguments (of a custom tool: its input).
    case callArguments(index: Int, String)
}

/// What one choice answers.
enum AnswerContent: Sendable {
    /// That many words; made while they are written, so the usual answer is never stored.
    case words(WordSequence, count: Int)
    case pieces([AnswerPiece])

    var tokens: Int {
        switch self {
        case .words(_, let count): count
        case .pieces(let pieces): pieces.count
        }
    }

    var hasToolCalls: Bool {
        guard case .pieces(let pieces) = self, case .callStart = pieces.first else { return false }
        return true
    }
}

/// One choice of an answer.
struct AnswerChoice: Sendable {
    var content: AnswerContent
    var finishReason: String
    /// Where this choice's log probabilities come from.
    var seed: UInt64
}

extension AnswerChoice {
    /// Seeded words.
    ///
    /// - Parameters:
    ///   - wanted: tokens the model would write.
    ///   - limit: tokens the caller allows; reaching it is the finish reason `length`.
    ///   - stops: the text ends before the first of these.
    ///   - keepsPieces: whether the caller needs the tokens themselves, for their log probabilities.
    static func text(seed: UInt64, wanted: Int, limit: Int?, stops: [String], keepsPieces: Bool = false) -> AnswerChoice {
        let count = min(wanted, limit ?? wanted)
        let reason = count < wanted ? "length" : "stop"
        var words = WordSequence(seed: seed)
        guard !stops.isEmpty || keepsPieces else { return AnswerChoice(content: .words(words, count: count), finishReason: reason, seed: seed) }
        let tokens = (0..<count).map { _ in words.next() }
        if let kept = end(of: tokens, before: stops) {
            return AnswerChoice(content: .pieces(kept.map { .text($0) }), finishReason: "stop", seed: seed)
        }
        return AnswerChoice(content: .pieces(tokens.map { .text($0) }), finishReason: reason, seed: seed)
    }

    /// Pieces that are what they are, cut where the caller's limit is.
    static func pieces(_ pieces: [AnswerPiece], limit: Int?, reason: String, seed: UInt64) -> AnswerChoice {
        guard let limit, limit < pieces.count else { return AnswerChoice(content: .pieces(pieces), finishReason: reason, seed: seed) }
        return AnswerChoice(content: .pieces(Array(pieces.prefix(limit))), finishReason: "length", seed: seed)
    }

    /// The tokens before the first stop text, the last one shortened; `nil` when no stop text occurs.
    private static func end(of tokens: [String], before stops: [String]) -> [String]? {
        let whole = Array(tokens.joined().utf8)
        var first: Int?
        for stop in stops where !stop.isEmpty {
            let wanted = Array(stop.utf8)
            guard wanted.count <= whole.count else { continue }
            let found = (0...(whole.count - wanted.count)).first { whole[$0..<($0 + wanted.count)].elementsEqual(wanted) }
            if let found { first = min(first ?? found, found) }
        }
        guard var left = first else { return nil }
        var kept: [String] = []
        for token in tokens where left > 0 {
            kept.append(String(decoding: token.utf8.prefix(left), as: UTF8.self))
            left -= min(left, token.utf8.count)
        }
        return kept
    }
}

/// Cuts a text into tokens of about four bytes, never inside a character.
func tokenPieces(_ text: String) -> [String] {
    var pieces: [String] = []
    var piece = ""
    for character in text {
        piece.append(character)
        if piece.utf8.count >= 4 {
            pieces.append(piece)
            piece = ""
        }
    }
    if !piece.isEmpty { pieces.append(piece) }
    return pieces
}
