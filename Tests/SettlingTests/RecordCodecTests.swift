import MartletTestKit
import Settling
import Testing
import Vocabulary

@Suite struct RecordCodecTests {
    /// The limits of the texts, in bytes, as the documentation of usage rows has them.
    private static let limits = [128, 64, 64, 64, 64, 24, 128, 128, 64, 192, 24, 48, 32, 48, 64, 64, 128]

    private func encoded(_ record: UsageRecord) -> [UInt8] {
        // Room for one record and not a byte more: a larger one would trap here.
        var bytes = [UInt8](repeating: 0xaa, count: RecordCodec.sizeMax)
        let count = bytes.withUnsafeMutableBytes { RecordCodec.encode(record, into: $0) }
        return Array(bytes[..<count])
    }

    private func decoded(_ bytes: [UInt8]) -> UsageRecord? { bytes.withUnsafeBytes { RecordCodec.decode($0) } }

    @Test func `any record within the limits comes back as it was`() {
        var source = RecordSource(seed: 21)
        for _ in 0..<3_000 {
            let record = source.next(limits: RecordCodecTests.limits)
            #expect(decoded(encoded(record)) == record)
        }
    }

    @Test func `a text that is too long is cut between its characters`() async throws {
        var source = RecordSource(seed: 22)
        for round in 0..<1_000 {
            if round % 50 == 0 { await Task.yield() }
            let record = source.next(limits: RecordCodecTests.limits.map { $0 * 3 })
            let bytes = encoded(record)
            #expect(bytes.count <= RecordCodec.sizeMax)
            let back = try #require(decoded(bytes))
            for (index, limit) in RecordCodecTests.limits.enumerated() {
                let (long, cut) = (record.texts[index], back.texts[index])
                #expect(cut.utf8.count <= limit && Array(long.utf8).starts(with: cut.utf8) && !cut.unicodeScalars.contains("\u{fffd}"))
                // No more was cut than had to be: one more scalar would not have fitted.
                if let next = long.unicodeScalars.dropFirst(cut.unicodeScalars.count).first { #expect(cut.utf8.count + UTF8.width(next) > limit) }
            }
        }
    }

    @Test func `the largest record fits what is promised for one`() {
        #expect(encoded(.largest(sequence: .max)).count <= RecordCodec.sizeMax)
    }

    @Test func `every prefix and every longer text of a record is none`() {
        var source = RecordSource(seed: 23)
        let bytes = encoded(source.next())
        for length in 0..<bytes.count { #expect(decoded(Array(bytes[..<length])) == nil) }
        #expect(decoded(bytes + [0]) == nil)
        #expect(decoded([2] + bytes.dropFirst()) == nil)
    }

    @Test func `a hundred thousand damaged records crash nothing`() async {
        var source = RecordSource(seed: 24)
        var random = SplitMix(seed: 25)
        let originals = (0..<50).map { _ in encoded(source.next()) }
        var readable = 0
        for round in 0..<100_000 {
            if round % 500 == 0 { await Task.yield() }
            var bytes: [UInt8]
            if random.chance(oneIn: 3) {
                bytes = (0..<Int.random(in: 0...400, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
                if !bytes.isEmpty, random.chance(oneIn: 2) { bytes[0] = 1 }
            } else {
                bytes = originals.randomElement(using: &random) ?? []
                for _ in 0..<Int.random(in: 1...6, using: &random) {
                    bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
                }
                if random.chance(oneIn: 4) { bytes.removeLast(Int.random(in: 0..<bytes.count, using: &random)) }
            }
            if let record = decoded(bytes) {
                readable += 1
                if encoded(record).count > RecordCodec.sizeMax { Issue.record("\(bytes)") }
            }
        }
        #expect(readable > 1_000)
    }
}
