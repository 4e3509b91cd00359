package import NIOCore

/// Watches a client that does not take its answer as fast as it is made, from the moment on when too much of it waits.
///
/// A reader of one byte a second makes progress, so progress alone is not enough: in every window of `stall` it has to take what the least
/// rate asks for. Pure: the lane says what the clock and the kernel say.
package struct WriteWatch {
    package enum Verdict: Equatable, Sendable {
        case fine
        /// Nothing was taken for the whole time.
        case stalled
        /// Something was, but less than the least rate.
        case slow
    }

    private(set) var lookedAt: NIODeadline
    private var takenAt: NIODeadline
    private var windowBegan: NIODeadline
    private var windowTaken: Int
    private var taken: Int

    /// - Parameter taken: what has been taken until now, in bytes, counted from anywhere.
    package init(at now: NIODeadline, taken: Int) {
        lookedAt = now
        takenAt = now
        windowBegan = now
        windowTaken = taken
        self.taken = taken
    }

    /// - Parameters:
    ///   - total: what has been taken until now, in bytes, counted from where ``init(at:taken:)`` counted.
    ///   - stall: how long nothing may be taken, and the length of a window.
    ///   - leastRate: in bytes a second; 0 for none.
    package mutating func look(taken total: Int, at time: NIODeadline, stall: TimeAmount, leastRate: Int) -> Verdict {
        lookedAt = time
        if total > taken {
            taken = total
            takenAt = time
        }
        if time - takenAt > stall { return .stalled }
        guard time - windowBegan > stall else { return .fine }
        let isSlow = taken - windowTaken < bytes(at: leastRate, for: stall)
        windowBegan = time
        windowTaken = taken
        return isSlow ? .slow : .fine
    }
}

/// What a rate in bytes a second comes to.
func bytes(at rate: Int, for time: TimeAmount) -> Int {
    let product = Double(rate) * Double(time.nanoseconds) / 1_000_000_000
    return product < Double(Int.max) ? Int(product) : .max
}
