/// Turns called tools into the tokens of an answer.
enum ToolCallMaker {
    static func pieces(_ tools: [ToolRequest.Tool], seed: UInt64) -> [AnswerPiece] {
        var random = SeededRandom(seed: seed)
        var pieces: [AnswerPiece] = []
        for (index, tool) in tools.enumerated() {
            pieces.append(.callStart(index: index, id: identifier(&random), name: tool.name, isCustom: tool.isCustom))
            let arguments = tool.isCustom ? sentence(&random) : SchemaMaker(root: tool.parameters, seed: random.next()).text()
            pieces += tokenPieces(arguments).map { .callArguments(index: index, $0) }
        }
        return pieces
    }

    /// `call_` and 24 letters or digits, as OpenAI's are.
    static func identifier(_ random: inout SeededRandom) -> String {
        let letters = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
        return "call_" + String((0..<24).map { _ in letters[random.below(letters.count)] })
    }

    private static func sentence(_ random: inout SeededRandom) -> String {
        var words = WordSequence(seed: random.next())
        return (0..<6).map { _ in words.next() }.joined()
    }
}
