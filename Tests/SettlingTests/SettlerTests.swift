import Contracts
import Settling
import Testing
import Vocabulary

@Suite struct SettlerTests {
    /// A settler over a journal of its own.
    private struct Bench {
        let folder: TemporaryFolder
        let journal: Journal
        let loop: LoopJournal
        let meters = LoopMeters()
        let log = MemoryLog()
        let settler: CallSettler

        init() throws {
            folder = try TemporaryFolder()
            journal = try folder.journal()
            loop = journal.loopJournal(0)
            settler = CallSettler(journal: loop, meters: meters, log: log)
        }

        func refusal(_ number: Int, key: String = "", address: String = "192.0.2.7", code: String = "invalid_api_key", second: Int64 = 90)
            -> UsageRecord
        {
            UsageRecord(
                id: settler.nextRecordID(), startedAt: WallTime(microseconds: second * 1_000_000 + Int64(number)), requestID: "r\(number)",
                keyID: key,
                endpoint: .chatCompletions, isStream: true, requestedModel: "m", latencyMicroseconds: 5, outcome: .refused, status: 401,
                errorCode: code, promptBytes: 3, clientAddress: address, endUser: "e", session: "s", tags: "t")
        }
    }

    @Test func `a settled call is recorded, counted and told`() async throws {
        let bench = try Bench()
        bench.settler.callBegan()
        #expect(bench.meters.snapshot.activeCalls == 1)
        #expect(bench.loop.reserve())
        var record = UsageRecord.plain(1)
        record.tokens = TokenUsage(input: 3, output: 4)
        let isWritten = bench.settler.settle(record, hold: Hold(keeper: bench.settler))
        #expect(isWritten)
        bench.settler.callEnded()
        #expect(await bench.journal.shipped() == [record])
        #expect(bench.log.records == [record] && bench.meters.snapshot.activeCalls == 0 && bench.meters.snapshot.holdsDropped == 0)
        let series = try #require(bench.meters.snapshot.series.first?.series)
        #expect(series.calls == 1 && series.errors == 0 && series.tokens.input == 3 && series.tokens.output == 4)
    }

    @Test func `a hold that is dropped is a fault of ours and its room comes back`() throws {
        let bench = try Bench()
        #expect(bench.loop.reserve())
        do { _ = Hold(keeper: bench.settler) }
        #expect(bench.meters.snapshot.holdsDropped == 1)
        #expect(bench.loop.reserve())
        Hold(keeper: bench.settler).giveBack()
        #expect(bench.meters.snapshot.holdsDropped == 1)
    }

    @Test func `the eleventh refusal of a key in a second is counted with those that follow`() async throws {
        let bench = try Bench()
        for number in 1...13 { bench.settler.refuse(bench.refusal(number, key: "key_a", code: "model_not_allowed"), isAuthenticated: true) }
        bench.settler.refuse(bench.refusal(14, key: "key_b", code: "model_not_allowed"), isAuthenticated: true)
        bench.settler.refuse(bench.refusal(15, key: "key_a", code: "model_not_found"), isAuthenticated: true)
        bench.settler.flushRefusals()
        let shipped = await bench.journal.shipped()
        let own = shipped.filter { !$0.requestID.isEmpty }
        #expect(own.map(\.requestID) == (1...10).map { "r\($0)" } + ["r14", "r15"])
        #expect(own.allSatisfy { $0.count == 1 && $0.endUser == "e" && $0.clientAddress == "192.0.2.7" })
        let aggregate = try #require(shipped.first { $0.requestID.isEmpty })
        #expect(shipped.count == 13 && aggregate.count == 3 && aggregate.keyID == "key_a" && aggregate.errorCode == "model_not_allowed")
        #expect(aggregate.startedAt == WallTime(microseconds: 60_000_000) && aggregate.requestedModel.isEmpty && aggregate.endUser.isEmpty)
        #expect(aggregate.session.isEmpty && aggregate.tags.isEmpty && aggregate.promptBytes == 0 && !aggregate.isStream)
        #expect(Set(shipped.map(\.id)).count == 13)
        #expect(bench.log.records.count == 15 && bench.meters.snapshot.refusals == ["model_not_allowed": 14, "model_not_found": 1])
    }

    @Test func `the next second has refusals of its own again`() async throws {
        let bench = try Bench()
        for second in Int64(90)...92 {
            for number in 1...12 { bench.settler.refuse(bench.refusal(number, key: "k", second: second), isAuthenticated: true) }
        }
        bench.settler.flushRefusals()
        bench.settler.flushRefusals()
        let shipped = await bench.journal.shipped()
        #expect(shipped.filter { !$0.requestID.isEmpty }.count == 30 && shipped.reduce(0) { $0 + $1.count } == 36)
    }

    @Test(arguments: [
        ("192.0.2.7", "192.0.2.0/24"), ("2001:db8:aa:bb:cc:dd:ee:ff", "2001:db8:aa::/48"), ("2001:db8::1", "2001:db8::/48"),
        ("::1", "::/48"), ("2001::1", "2001::/48"), ("::ffff:192.0.2.7", "192.0.2.0/24"), ("fe80::1%eth0", "fe80::/48"),
        ("unix", "unix"),
    ])
    func `who has no key is known by the network of its address alone`(address: String, network: String) async throws {
        let bench = try Bench()
        for number in 1...12 { bench.settler.refuse(bench.refusal(number, address: address), isAuthenticated: false) }
        bench.settler.flushRefusals()
        let shipped = await bench.journal.shipped()
        #expect(shipped.allSatisfy { $0.requestID.isEmpty && $0.endUser.isEmpty && $0.startedAt == WallTime(microseconds: 60_000_000) })
        #expect(shipped.reduce(0) { $0 + $1.count } == 12)
        #expect(Set(shipped.map(\.clientAddress)) == [network])
    }

    @Test func `a flood from everywhere stays bounded and loses no count`() async throws {
        let bench = try Bench()
        for number in 1...30_000 {
            if number % 1_000 == 0 { await Task.yield() }
            bench.settler.refuse(
                bench.refusal(number, address: "10.\(number >> 16).\(number >> 8 & 255).\(number & 255)", code: "c"), isAuthenticated: false)
        }
        bench.settler.flushRefusals()
        let shipped = await bench.journal.shipped()
        #expect(shipped.reduce(0) { $0 + $1.count } + bench.meters.snapshot.refusalsUnrecorded == 30_000)
        #expect(shipped.count < 2_000)
    }

    @Test func `what finds no room is at least counted`() throws {
        let folder = try TemporaryFolder()
        let journal = try folder.journal(freeMin: .max)
        let meters = LoopMeters()
        let settler = CallSettler(journal: journal.loopJournal(0), meters: meters, log: MemoryLog())
        let record = UsageRecord.plain(1)
        let isWritten = settler.settle(record, hold: Hold(keeper: settler))
        #expect(!isWritten)
        settler.refuse(record, isAuthenticated: true)
        #expect(meters.snapshot.refusalsUnrecorded == 1)
    }

    @Test func `series stay bounded whatever the labels`() {
        let meters = LoopMeters()
        for number in 1...5_000 {
            var record = UsageRecord.plain(UInt64(number))
            record.agent = "agent-\(number)"
            meters.update { $0.count(record) }
        }
        let series = meters.snapshot.series
        #expect(series.count <= CallMeters.seriesMax + 50)
        #expect(series.reduce(0) { $0 + $1.series.calls } == 5_000)
    }
}
