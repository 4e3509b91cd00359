/// The candidate that a mistyped word most likely stood for.
///
/// - Returns: `nil` when none is near: at most a third of the letters may be wrong, and never more than three.
func suggestion(for word: String, among candidates: some Sequence<String>) -> String? {
    let lowered = Array(word.lowercased().utf8)
    // A word of the length of a document is no slip of the finger, and comparing it would cost.
    guard lowered.count <= 128 else { return nil }
    var best: (candidate: String, distance: Int)?
    for candidate in candidates {
        let distance = editDistance(lowered, Array(candidate.lowercased().utf8))
        guard distance <= min(3, max(1, max(lowered.count, candidate.utf8.count) / 3)) else { continue }
        if best.map({ distance < $0.distance }) ?? true { best = (candidate, distance) }
    }
    return best?.candidate
}

/// How many letters must be inserted, removed, replaced or swapped with their neighbour to make one word of the other.
private func editDistance(_ left: [UInt8], _ right: [UInt8]) -> Int {
    var beforeLast: [Int] = []
    var last = Array(0...right.count)
    for row in left.indices {
        var current = [row + 1]
        for column in right.indices {
            var cost = min(last[column + 1] + 1, current[column] + 1, last[column] + (left[row] == right[column] ? 0 : 1))
            if row > 0, column > 0, left[row] == right[column - 1], left[row - 1] == right[column] {
                cost = min(cost, beforeLast[column - 1] + 1)
            }
            current.append(cost)
        }
        beforeLast = last
        last = current
    }
    return last[right.count]
}
