/// A model pattern: `*` stands for any run of bytes (none included), `?` for one byte; everything else for itself.
package struct Glob: Sendable, Hashable {
    /// The pattern as it was written.
    package let pattern: String

    package init(_ pattern: String) {
        self.pattern = pattern
    }

    /// Whether the whole of `text` fits the pattern. Linear for patterns with one `*`, bounded by the product of both lengths otherwise.
    package func matches(_ text: String) -> Bool {
        let pattern = Array(pattern.utf8)
        let text = Array(text.utf8)
        var p = 0
        var t = 0
        var star: Int?
        var resume = 0
        while t < text.count {
            if p < pattern.count, pattern[p] == UInt8(ascii: "*") {
                star = p
                resume = t
                p += 1
            } else if p < pattern.count, pattern[p] == UInt8(ascii: "?") || pattern[p] == text[t] {
                p += 1
                t += 1
            } else if let back = star {
                p = back + 1
                resume += 1
                t = resume
            } else {
                return false
            }
        }
        return pattern[p...].allSatisfy { $0 == UInt8(ascii: "*") }
    }

    /// Whether everything that `other` matches is matched here, too. Says `false` where that would take more than a look: a pattern with
    /// wildcards of its own is covered only by itself and by `*`.
    package func covers(_ other: Glob) -> Bool {
        if pattern == "*" || pattern == other.pattern { return true }
        let hasWildcard = other.pattern.utf8.contains { $0 == UInt8(ascii: "*") || $0 == UInt8(ascii: "?") }
        return !hasWildcard && matches(other.pattern)
    }
}
