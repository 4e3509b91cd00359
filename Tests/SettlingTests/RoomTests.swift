import Foundation
import Glibc
import MartletTestKit
import Settling
import Testing
import Vocabulary

@Suite struct RoomTests {
    @Test func `a promise is kept when the journal refuses`() async throws {
        let folder = try TemporaryFolder()
        let journal = try folder.journal(segmentSize: 4_096, sizeMax: 4_096)
        let loop = journal.loopJournal(0)
        for _ in 0..<50 { #expect(loop.reserve()) }
        // The promises stand for at least that many records of the largest size; two of those fit a segment.
        for number in UInt64(1)...4 {
            #expect(loop.append(.largest(sequence: number), isPromised: true))
            loop.release()
        }
        // One round of the keeper, which now finds two segments in use where one is allowed.
        journal.shutdown()
        #expect(journal.isRefusing && journal.refusalReason?.contains("max_size") == true)
        #expect(!loop.reserve())
        // What is set aside beyond the promises is little, and all that a record without a promise may have.
        var extra: [UInt64] = []
        while extra.count < 10, loop.append(.largest(sequence: 90 + UInt64(extra.count)), isPromised: false) {
            extra.append(90 + UInt64(extra.count))
        }
        #expect(extra.count < 6, "records without a promise took the room of those that have one")
        for number in UInt64(5)...50 {
            #expect(loop.append(.largest(sequence: number), isPromised: true), "promise \(number) was broken")
            loop.release()
        }
        #expect(await journal.shipped().map(\.id.sequence).sorted() == (1...50).map { UInt64($0) } + extra)
        // Everything is in the store: there is room again.
        journal.shutdown()
        #expect(!journal.isRefusing && journal.refusalReason == nil && loop.reserve())
    }

    @Test func `room that is given back can be promised again`() throws {
        let folder = try TemporaryFolder()
        let journal = try folder.journal(segmentSize: 4_096)
        let loop = journal.loopJournal(0)
        for _ in 0..<2_000 {
            #expect(loop.reserve())
            loop.release()
        }
        journal.shutdown()
        // Promises that were never used made no files.
        #expect(try folder.files(".seg").count <= 3)
    }

    @Test func `the segments of a burst go when it is over`() throws {
        let folder = try TemporaryFolder()
        let journal = try folder.journal(segmentSize: 16_384)
        let loop = journal.loopJournal(0)
        for _ in 0..<200 { #expect(loop.reserve()) }
        #expect(try folder.files(".seg").count >= 20, "ten records of the largest size fit a segment")
        for _ in 0..<150 { loop.release() }
        // Each shutdown is one round of the keeper, and no time at all is long enough here.
        journal.shutdown()
        let kept = try folder.files(".seg").count
        #expect(kept >= 5 && kept <= 7)
        for number in UInt64(1)...50 { #expect(loop.append(.largest(sequence: number), isPromised: true), "promise \(number) was broken") }
        for _ in 0..<50 { loop.release() }
        journal.shutdown()
        #expect(try folder.files(".seg").count <= 8)
    }

    @Test func `random calls never find the room gone that was promised to them`() async throws {
        var random = SplitMix(seed: 41)
        for _ in 0..<30 {
            await Task.yield()
            let folder = try TemporaryFolder()
            let journal = try folder.journal(loops: 2, segmentSize: Int64.random(in: 2_000...9_000, using: &random), sizeMax: 40_000)
            let loops = [journal.loopJournal(0), journal.loopJournal(1)]
            var promised = [0, 0]
            var number: UInt64 = 0
            for _ in 0..<150 {
                let index = Int.random(in: 0..<2, using: &random)
                number += 1
                switch Int.random(in: 0..<10, using: &random) {
                case 0..<5: if loops[index].reserve() { promised[index] += 1 }
                case 5..<8 where promised[index] > 0:
                    #expect(loops[index].append(random.chance(oneIn: 2) ? .largest(sequence: number) : .plain(number), isPromised: true))
                    loops[index].release()
                    promised[index] -= 1
                case 8: _ = loops[index].append(.largest(sequence: number), isPromised: false)
                case 9 where random.chance(oneIn: 4): journal.shutdown()
                default: break
                }
            }
            for index in 0..<2 {
                for _ in 0..<promised[index] {
                    number += 1
                    #expect(loops[index].append(.largest(sequence: number), isPromised: true))
                    loops[index].release()
                }
            }
        }
    }

    @Test func `a volume with too little room refuses calls, in words`() throws {
        let folder = try TemporaryFolder()
        let journal = try folder.journal(freeMin: .max)
        #expect(journal.isRefusing && !journal.loopJournal(0).reserve())
        #expect(journal.refusalReason?.contains("journal.min_free") == true && journal.refusalReason?.contains(folder.path) == true)
    }

    @Test(.enabled(if: SmallVolume.isPermitted, "needs the right to mount a small volume"))
    func `a full volume refuses, and takes calls again by itself`() async throws {
        let volume = try SmallVolume(bytes: 512 << 10)
        let journal = try volume.folder.journal(segmentSize: 32 << 10, freeMin: 64 << 10)
        let loop = journal.loopJournal(0)
        #expect(!journal.isRefusing && loop.reserve())
        try volume.fill()
        journal.shutdown()
        #expect(journal.isRefusing && !loop.reserve())
        // What was promised is on the disk already.
        #expect(loop.append(.largest(sequence: 1), isPromised: true))
        loop.release()
        try volume.empty()
        journal.shutdown()
        #expect(!journal.isRefusing && loop.reserve())
        #expect(await journal.shipped().map(\.id.sequence) == [1])
    }
}

/// A volume of a few hundred kilobytes, in memory.
private final class SmallVolume {
    let folder: TemporaryFolder

    /// Whether this process may mount one; tried once.
    static let isPermitted: Bool = {
        guard let volume = try? SmallVolume(bytes: 64 << 10) else { return false }
        return (try? volume.folder.files("")) != nil
    }()

    struct NotPermitted: Error {}

    init(bytes: Int) throws {
        folder = try TemporaryFolder()
        guard mount("tmpfs", folder.path, "tmpfs", 0, "size=\(bytes)") == 0 else { throw NotPermitted() }
    }

    deinit { umount2(folder.path, 2) }

    func fill() throws {
        let file = open(folder.path + "/filler", O_WRONLY | O_CREAT, 0o600)
        let block = [UInt8](repeating: 1, count: 4_096)
        while Glibc.write(file, block, block.count) > 0 {}
        close(file)
    }

    func empty() throws { try FileManager.default.removeItem(atPath: folder.path + "/filler") }
}
