import Contracts
import Foundation
import Settling
import Testing
import Vocabulary

@Suite struct ShipperTests {
    /// A journal, a store and what carries from one to the other.
    private struct Bench {
        let folder: TemporaryFolder
        let journal: Journal
        let loop: LoopJournal
        let store = MemoryStore()
        let shipper: JournalShipper

        init() throws {
            folder = try TemporaryFolder()
            journal = try folder.journal(segmentSize: 4_096)
            loop = journal.loopJournal(0)
            shipper = JournalShipper(journal: journal, store: store, logger: silent)
        }

        func append(_ numbers: ClosedRange<UInt64>) {
            for number in numbers { #expect(loop.append(.plain(number), isPromised: false)) }
        }

        var shipped: [UInt64] { store.records.map(\.id.sequence) }
    }

    private func now() -> WallTime { WallTime(microseconds: Int64(Date().timeIntervalSince1970 * 1_000_000)) }

    @Test func `a store that is away gets everything once it is back, each record once`() async throws {
        let bench = try Bench()
        bench.store.change { $0.failuresBefore = 5 }
        var last: UInt64 = 0
        for round in 1...6 {
            bench.append((last + 1)...(last + 30))
            last += 30
            await bench.shipper.drain()
            #expect((bench.shipper.lastError == nil) == (round == 6))
            #expect((bench.shipper.asOf.microseconds == 0) == (round < 6))
        }
        #expect(bench.shipped == (1...180).map { UInt64($0) })
    }

    @Test func `a commit whose answer was lost is not repeated, though the journal has grown since`() async throws {
        let bench = try Bench()
        bench.append(1...5)
        bench.store.change { $0.failuresAfter = 1 }
        await bench.shipper.drain()
        #expect(bench.shipper.lastError != nil)
        // These go into the same segment as the five before them.
        bench.append(6...8)
        await bench.shipper.drain()
        #expect(bench.shipper.lastError == nil)
        #expect(bench.shipped == (1...8).map { UInt64($0) })
    }

    @Test func `another process goes on where the one before it stopped`() async throws {
        let bench = try Bench()
        bench.append(1...3)
        await bench.shipper.drain()
        bench.append(4...6)
        let successor = JournalShipper(journal: bench.journal, store: bench.store, logger: silent)
        await successor.drain()
        #expect(bench.shipped == (1...6).map { UInt64($0) })
    }

    @Test func `what is in the store already is not sent again`() async throws {
        let bench = try Bench()
        bench.append(1...3)
        await bench.shipper.drain()
        let applies = bench.store.now.applies
        for _ in 0..<5 { await bench.shipper.drain() }
        #expect(bench.store.now.applies == applies)
    }

    @Test func `flush returns when everything that was journaled before it is in the store`() async throws {
        let bench = try Bench()
        let shipper = bench.shipper
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await shipper.run(interval: .seconds(3_600)) }
            for round in UInt64(0)..<5 {
                bench.append((round * 10 + 1)...(round * 10 + 10))
                let began = now()
                let asOf = try await shipper.flush(timeout: .seconds(20))
                #expect(bench.shipped == (1...(round * 10 + 10)).map { $0 })
                #expect(asOf >= WallTime(microseconds: began.microseconds - 1) && asOf <= now() && shipper.asOf >= asOf)
            }
            group.cancelAll()
        }
    }

    @Test func `flush tells why the store takes nothing`() async throws {
        let bench = try Bench()
        let shipper = bench.shipper
        bench.append(1...2)
        bench.store.change { $0.failuresBefore = .max }
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await shipper.run(interval: .seconds(3_600)) }
            let error = await #expect(throws: StoreError.self) { try await shipper.flush(timeout: .milliseconds(120)) }
            if let error { #expect("\(error)".contains("locked")) }
            #expect(shipper.asOf.microseconds == 0)
            // Back again: the same call succeeds.
            bench.store.change { $0.failuresBefore = 0 }
            await #expect(throws: Never.self) { _ = try await shipper.flush(timeout: .seconds(20)) }
            group.cancelAll()
        }
        #expect(bench.shipped == [1, 2])
    }

    @Test func `many who flush at once are all answered`() async throws {
        let bench = try Bench()
        let shipper = bench.shipper
        bench.append(1...4)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await shipper.run(interval: .seconds(3_600)) }
            try await withThrowingTaskGroup(of: Void.self) { flushes in
                for _ in 0..<20 { flushes.addTask { _ = try await shipper.flush(timeout: .seconds(20)) } }
                try await flushes.waitForAll()
            }
            group.cancelAll()
        }
        #expect(bench.shipped == [1, 2, 3, 4])
    }
}
