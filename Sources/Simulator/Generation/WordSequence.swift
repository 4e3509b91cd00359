/// Text that looks like sentences, one word a token, wholly given by its seed.
package struct WordSequence: Sendable {
    private var random: SeededRandom
    private var isFirst = true
    private var leftInSentence = 0

    /// Equal seeds give equal texts.
    package init(seed: UInt64) { random = SeededRandom(seed: seed) }

    /// The next token: a word with its leading space, capital at the start of a sentence, full stop at its end.
    ///
    /// Always printable ASCII without quote or backslash, so it stands in JSON as it is.
    package mutating func next() -> String {
        let number = random.next()
        let word = Int(truncatingIfNeeded: number & 127)
        guard leftInSentence > 0 else {
            leftInSentence = 5 + Int(truncatingIfNeeded: (number >> 8) & 7)
            defer { isFirst = false }
            return isFirst ? Self.openings[word] : Self.capitals[word]
        }
        leftInSentence -= 1
        return leftInSentence == 0 ? Self.endings[word] : Self.inner[word]
    }

    // Four spellings of each word, made once; each is at most fifteen bytes long and so needs no allocation.
    private static let inner = words.map { " " + $0 }
    private static let endings = words.map { " " + $0 + "." }
    private static let openings = words.map { $0.prefix(1).uppercased() + $0.dropFirst() }
    private static let capitals = openings.map { " " + $0 }

    /// 128 words, so that seven bits choose one.
    private static let words = """
        the river carries small boats toward quiet harbors while morning light settles over stone walls and open fields people gather near \
        warm markets to trade fresh bread honey salt woven cloth children run between tall houses looking for hidden paths that lead up \
        green hills where old trees hold their ground against steady wind a careful reader will notice how each letter follows simple rules \
        yet every story finds new ways of saying what was known before travelers arrive with maps drawn by hand and leave knowing more than \
        they asked clocks measure hours but seasons teach patience so work goes on through rain or sun until evening brings calm again \
        lamps glow softly in windows as distant bells ring across water birds return under pale clouds before winter
        """.split(separator: " ").prefix(128).map(String.init)

    /// A word of the vocabulary, for places that need a name rather than a sentence.
    package static func word(_ random: inout SeededRandom) -> String { words[random.below(words.count)] }
}
