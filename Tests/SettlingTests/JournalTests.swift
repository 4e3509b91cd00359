import Foundation
import MartletTestKit
import Settling
import Testing
import Vocabulary

@Suite struct JournalTests {
    /// Five records in one segment, and the journal closed.
    private func folderWithFive() throws -> (folder: TemporaryFolder, name: String, records: [UsageRecord]) {
        let folder = try TemporaryFolder()
        let records = (1...5).map { UsageRecord.plain($0, requestID: "request-\($0)") }
        let journal = try folder.journal()
        let loop = journal.loopJournal(0)
        for record in records { #expect(loop.append(record, isPromised: false)) }
        journal.shutdown()
        let name = try #require(try folder.files(".seg").first { frames(of: try folder.bytes($0)).count == 6 })
        return (folder, name, records)
    }

    /// What a journal reads from a folder with this one segment.
    private func recovered(_ segment: [UInt8], _ name: String) async throws -> [UsageRecord] {
        let folder = try TemporaryFolder()
        try folder.write(segment, to: name)
        return await (try folder.journal()).shipped()
    }

    @Test func `records of all loops come back in order`() async throws {
        let folder = try TemporaryFolder()
        let journal = try folder.journal(loops: 3)
        let loops = (0..<3).map { journal.loopJournal($0) }
        var source = RecordSource(seed: 31)
        var written: [[UsageRecord]] = [[], [], []]
        for _ in 0..<900 {
            let loop = Int.random(in: 0..<3, using: &source.random)
            var record = source.next()
            record.id = loops[loop].nextRecordID()
            #expect(loops[loop].append(record, isPromised: false))
            written[loop].append(record)
        }
        let shipped = await journal.shipped()
        #expect(shipped.count == 900)
        for loop in 0..<3 {
            #expect(shipped.filter { Int($0.id.loop) == loop } == written[loop])
            #expect(written[loop].map(\.id.sequence) == (1...UInt64(written[loop].count)).map { $0 })
        }
    }

    @Test func `a torn tail loses the torn record and no other`() async throws {
        let (folder, name, records) = try folderWithFive()
        let segment = try folder.bytes(name)
        let ends = frames(of: segment)
        for length in ends[4]..<ends[5] {
            await Task.yield()
            #expect(try await recovered(Array(segment[..<length]), name) == Array(records[..<4]), "cut at \(length)")
            // A page that never reached the disk reads as zeros.
            let zeroed = segment[..<length] + [UInt8](repeating: 0, count: segment.count - length)
            // The last bytes of the record are zeros themselves: without them it is whole.
            let isWhole = segment[length..<ends[5]].allSatisfy { $0 == 0 }
            #expect(try await recovered(Array(zeroed), name) == Array(records[..<(isWhole ? 5 : 4)]), "zeros from \(length)")
        }
        #expect(try await recovered(Array(segment[..<ends[5]]), name) == records)
    }

    @Test func `a flipped bit is noticed wherever it is`() async throws {
        let (folder, name, records) = try folderWithFive()
        let segment = try folder.bytes(name)
        let ends = frames(of: segment)
        for place in ends[2]..<ends[3] {
            await Task.yield()
            var damaged = segment
            damaged[place] ^= 1 << UInt8(place % 8)
            let found = try await recovered(damaged, name)
            #expect(found == Array(records[..<2]), "flipped at \(place)")
        }
    }

    @Test func `a file that is no segment is set aside and not touched`() async throws {
        let folder = try TemporaryFolder()
        try folder.write(Array("not ours".utf8), to: "0000000000000000-0000-00000001.seg")
        let journal = try folder.journal()
        #expect(await journal.shipped().isEmpty)
        #expect(try folder.files(".corrupt") == ["0000000000000000-0000-00000001.seg.corrupt"])
        #expect(try folder.bytes("0000000000000000-0000-00000001.seg.corrupt") == Array("not ours".utf8))
    }

    @Test func `what a start has left is shipped by the next one, with new names beside it`() async throws {
        let folder = try TemporaryFolder()
        var expected: [UsageRecord] = []
        var boots: Set<UInt64> = []
        var replicas: Set<String> = []
        for start in 0..<4 {
            let journal = try folder.journal(loops: 2)
            boots.insert(journal.boot)
            replicas.insert(journal.replica)
            for loop in 0..<2 {
                let record = UsageRecord.plain(UInt64(start * 2 + loop + 1), loop: UInt16(loop))
                #expect(journal.loopJournal(loop).append(record, isPromised: false))
                expected.append(record)
            }
            journal.shutdown()
        }
        let last = try folder.journal(loops: 2)
        #expect(Set(await last.shipped().map(\.id)) == Set(expected.map(\.id)))
        #expect(boots.count == 4 && replicas.count == 1)
        // All of it is in the store: nothing but spares is left.
        #expect(last.segmentCount == 0)
    }

    @Test func `one folder has one journal at a time`() throws {
        let folder = try TemporaryFolder()
        do {
            let first = try folder.journal()
            #expect(throws: JournalError.inUse(folder.path)) { try folder.journal() }
            first.shutdown()
        }
        _ = try folder.journal()
    }

    @Test func `segments rotate, and go when they are shipped`() async throws {
        let folder = try TemporaryFolder()
        let journal = try folder.journal(segmentSize: 4_096)
        let loop = journal.loopJournal(0)
        let store = MemoryStore()
        let shipper = JournalShipper(journal: journal, store: store, logger: silent)
        var records: [UsageRecord] = []
        for number in UInt64(1)...400 {
            let record = number % 3 == 0 ? UsageRecord.largest(sequence: number) : .plain(number)
            #expect(loop.append(record, isPromised: false))
            records.append(record)
            if number % 50 == 0 {
                await shipper.drain()
                #expect(journal.segmentCount <= 1)
            }
        }
        #expect(store.records.map(\.id) == records.map(\.id))
        #expect(store.now.forgotten.count > 50)
        journal.shutdown()
        // The one in use, and what stands ready.
        #expect(try folder.files(".seg").count <= 4)
    }
}
