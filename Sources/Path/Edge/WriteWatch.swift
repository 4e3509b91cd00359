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
    private var windowBytes = 0
    private var left = 0

    /// - Parameter left: what waits already, in bytes.
    package init(at now: NIODeadline, left: Int) {
        lookedAt = now
        takenAt = now
        windowBegan = now
        self.left = left
    }

    /// - Parameters:
    ///   - left: what waits now, here and in the kernel, in bytes.
    ///   - stall: how long nothing may be taken, and the length of a window.
    ///   - leastRate: in bytes a second; 0 for none.
    package mutating func look(left now: Int, at time: NIODeadline, stall: TimeAmount, leastRate: Int) -> Verdict {
        lookedAt = time
        if now < left {
            windowBytes += left - now
            takenAt = time
        }
        left = now
        if time - takenAt > stall { return .stalled }
        guard time - windowBegan > stall else { return .fine }
        let isSlow = windowBytes < bytes(at: leastRate, for: stall)
        windowBegan = time
        windowBytes = 0
        return isSlow ? .slow : .fine
    }
}

/// What a rate in bytes a second comes to.
func bytes(at rate: Int, for time: TimeAmount) -> Int {
    let product = Double(rate) * Double(time.nanoseconds) / 1_000_000_000
    return product < Double(Int.max) ? Int(product) : .max
}
