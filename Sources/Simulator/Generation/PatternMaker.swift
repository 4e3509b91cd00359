/// Makes a text that matches a regular expression.
///
/// Known: literals, `.`, classes with ranges and negation, `\d \w \s` and their opposites, groups, alternatives, `* + ? {n} {n,} {n,m}`
/// (also lazy), anchors. Look-around and back references are not; such a pattern has no text.
package struct PatternMaker {
    private struct Unsupported: Error {}

    /// Repeats without an upper bound repeat at most this often beyond their lower bound.
    private static let spareRepeats = 3
    private static let maximumLength = 4096

    private let pattern: [Character]
    private var index = 0
    private var random: SeededRandom

    /// - Returns: `nil` when the pattern uses what is not known here.
    package static func text(_ pattern: String, _ random: inout SeededRandom) -> String? {
        var maker = PatternMaker(pattern: Array(pattern), random: random)
        defer { random = maker.random }
        guard let text = try? maker.alternatives(depth: 0), maker.index == maker.pattern.count else { return nil }
        return text
    }

    private init(pattern: [Character], random: SeededRandom) {
        self.pattern = pattern
        self.random = random
    }

    private var next: Character? { index < pattern.count ? pattern[index] : nil }

    private mutating func alternatives(depth: Int) throws -> String {
        guard depth < 32 else { throw Unsupported() }
        var options = [try sequence(depth: depth)]
        while next == "|" {
            index += 1
            options.append(try sequence(depth: depth))
        }
        return options[random.below(options.count)]
    }

    private mutating func sequence(depth: Int) throws -> String {
        var text = ""
        while let character = next, character != "|", character != ")" {
            if character == "^" || character == "$" {
                index += 1
                continue
            }
            let start = index
            let once = try atom(depth: depth)
            let end = index
            let count = try repeats()
            let after = index
            if count > 0 { text += once }
            // Each repetition walks the atom again, so that it draws anew.
            for _ in 1..<max(1, count) {
                index = start
                text += try atom(depth: depth)
                guard index == end, text.utf8.count < Self.maximumLength else { throw Unsupported() }
            }
            index = after
        }
        return text
    }

    private mutating func atom(depth: Int) throws -> String {
        guard let character = next else { throw Unsupported() }
        index += 1
        switch character {
        case "(":
            if next == "?" {
                guard index + 1 < pattern.count, pattern[index + 1] == ":" else { throw Unsupported() }
                index += 2
            }
            let text = try alternatives(depth: depth + 1)
            guard next == ")" else { throw Unsupported() }
            index += 1
            return text
        case "[": return String(try characterClass())
        case ".": return String(Self.letters[random.below(Self.letters.count)])
        case "\\":
            let choices = try escape()
            return String(choices[random.below(choices.count)])
        case "*", "+", "?", "{": throw Unsupported()
        default: return String(character)
        }
    }

    private mutating func repeats() throws -> Int {
        var low = 1
        var high = 1
        switch next {
        case "*": (low, high) = (0, Self.spareRepeats)
        case "+": (low, high) = (1, 1 + Self.spareRepeats)
        case "?": (low, high) = (0, 1)
        case "{":
            guard let end = pattern[index...].firstIndex(of: "}") else { throw Unsupported() }
            let parts = String(pattern[(index + 1)..<end]).split(separator: ",", omittingEmptySubsequences: false)
            guard let first = parts.first, let lower = Int(first), parts.count <= 2 else { throw Unsupported() }
            low = lower
            high = parts.count == 1 ? lower : parts[1].isEmpty ? lower + Self.spareRepeats : Int(parts[1]) ?? -1
            guard high >= low, high <= Self.maximumLength else { throw Unsupported() }
            index = end
        default: return 1
        }
        index += 1
        if next == "?" { index += 1 }
        return low + random.below(high - low + 1)
    }

    private mutating func characterClass() throws -> Character {
        var members: [Character] = []
        let isNegated = next == "^"
        if isNegated { index += 1 }
        var isFirst = true
        while let character = next, character != "]" || isFirst {
            isFirst = false
            index += 1
            if character == "\\" {
                members += try escape()
            } else if next == "-", index + 1 < pattern.count, pattern[index + 1] != "]" {
                let last = pattern[index + 1]
                index += 2
                guard let low = character.asciiValue, let high = last.asciiValue, low <= high else { throw Unsupported() }
                members += (low...high).map { Character(Unicode.Scalar($0)) }
            } else {
                members.append(character)
            }
        }
        guard next == "]" else { throw Unsupported() }
        index += 1
        let choices = isNegated ? Self.printable.filter { !members.contains($0) } : members
        guard !choices.isEmpty else { throw Unsupported() }
        return choices[random.below(choices.count)]
    }

    /// The characters that an escape stands for.
    private mutating func escape() throws -> [Character] {
        guard let character = next else { throw Unsupported() }
        index += 1
        switch character {
        case "d": return Self.digits
        case "D", "W": return character == "D" ? Self.letters : ["-"]
        case "w": return Self.letters + Self.digits
        case "s": return [" "]
        case "S": return Self.letters
        case "n": return ["\n"]
        case "t": return ["\t"]
        case "r": return ["\r"]
        case let other where other.isLetter || other.isNumber: throw Unsupported()
        default: return [character]
        }
    }

    private static let letters: [Character] = Array("abcdefghijklmnopqrstuvwxyz")
    private static let digits: [Character] = Array("0123456789")
    private static let printable: [Character] = (UInt8(0x20)...UInt8(0x7E)).map { Character(Unicode.Scalar($0)) }
}
