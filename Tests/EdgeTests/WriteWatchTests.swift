import Edge
import NIOCore
import Testing

@Suite struct WriteWatchTests {
    private let start = NIODeadline.uptimeNanoseconds(1_000_000_000)
    private let stall = TimeAmount.seconds(30)

    /// What becomes of a reader that takes so many bytes at each of these seconds.
    private func verdicts(_ taken: [Int64: Int], seconds: Int64, leastRate: Int = 1000) -> [WriteWatch.Verdict] {
        var total = -5_000
        var watch = WriteWatch(at: start, taken: total)
        return (1...seconds).map { second in
            total += taken[second] ?? 0
            return watch.look(taken: total, at: start + .seconds(second), stall: stall, leastRate: leastRate)
        }
    }

    @Test func `a reader that takes nothing is stalled after the time, not before`() {
        let verdicts = verdicts([:], seconds: 31)
        #expect(verdicts.dropLast().allSatisfy { $0 == .fine } && verdicts.last == .stalled)
    }

    @Test func `one byte a second is too slow, and seen at the end of the window`() {
        let verdicts = verdicts(Dictionary(uniqueKeysWithValues: (1...31).map { ($0, 1) }), seconds: 31)
        #expect(verdicts.dropLast().allSatisfy { $0 == .fine } && verdicts.last == .slow)
    }

    @Test func `without a least rate one byte a second will do`() {
        #expect(verdicts(Dictionary(uniqueKeysWithValues: (1...90).map { ($0, 1) }), seconds: 90, leastRate: 0).allSatisfy { $0 == .fine })
    }

    @Test func `the least rate is enough, in one piece a window or in many`() {
        #expect(verdicts(Dictionary(uniqueKeysWithValues: (1...90).map { ($0, 1000) }), seconds: 90).allSatisfy { $0 == .fine })
        #expect(verdicts([20: 30_000, 45: 30_000, 70: 30_000], seconds: 90).allSatisfy { $0 == .fine })
    }

    @Test func `a fast beginning buys no time later`() {
        let verdicts = verdicts([1: 900_000, 20: 1, 40: 1, 60: 1], seconds: 70)
        #expect(verdicts.prefix(60).allSatisfy { $0 == .fine } && verdicts.contains(.slow))
    }
}
