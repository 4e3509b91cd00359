import NIOCore

/// The steps by which an unusual answer goes out.
struct Delivery {
    enum Step {
        /// One write.
        ///
        /// - Parameter frames: content frames that are complete with it.
        case bytes(ByteBuffer, frames: Int)
        /// Nanoseconds from the request's arrival.
        case waitUntil(Int64)
        /// Nanoseconds from now.
        case rest(Int64)
        case close
        case reset
        case stall
        /// Go on at that step.
        case back(Int)
    }

    private let steps: [Step]
    private var place = 0

    init(_ steps: [Step]) { self.steps = steps }

    var next: Step? { place < steps.count ? steps[place] : nil }

    mutating func advance() { place += 1 }

    mutating func go(to step: Int) { place = step }
}
