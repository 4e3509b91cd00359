package import Contracts
package import Vocabulary

/// What every ``UsageStore`` promises.
package enum UsageStoreContract {
    package static let checks: [ContractCheck<any UsageStore>] = [
        ContractCheck("a record comes back as it went in") { store in
            try await store.apply([full], replica: "a", position: at(1))
            try expectEqual(try await store.rows(UsageFilter(), before: nil, limit: 10).map(\.record), [full], "rows")
        },
        ContractCheck("a batch is there once, however often it comes") { store in
            for _ in 0..<3 { try await store.apply([call(1), call(2)], replica: "a", position: at(1)) }
            try await store.apply([call(3)], replica: "b", position: at(1))
            let records = try await store.rows(UsageFilter(), before: nil, limit: 10).map(\.record)
            try expectEqual(records, [call(3), call(2), call(1)], "rows")
        },
        ContractCheck("a batch may be of any size and of any mixture") { store in
            var number = 0
            var position: Int64 = 0
            var expected: [UsageRecord] = []
            for size in [1, 15, 16, 17, 40, 3] {
                var batch = (0..<size).map { index in
                    var record = call(number + index)
                    record.startedAt.microseconds += Int64(number + index) * 20_000_000
                    if index % 5 == 4 { record.status = 429 }
                    return record
                }
                number += size
                expected += batch
                batch.insert(refusals(number, 3), at: size / 2)
                position += 1
                try await store.apply(batch, replica: "a", position: at(position))
            }
            var filter = UsageFilter()
            filter.keyID = "key_1"
            try expectEqual(try await store.rows(filter, before: nil, limit: 100).map(\.record), expected.reversed(), "rows")
            try expectEqual(try await store.totals(UsageFilter()).calls, Int64(number) + 18, "calls")
            for first in [5, 15, 30, 60] {
                filter.from = expected[first].startedAt
                filter.until = WallTime(microseconds: expected[first].startedAt.microseconds + 100_000_000)
                let found = try await store.rows(filter, before: nil, limit: 100).map(\.record)
                try expectEqual(found, expected[first..<min(first + 5, number)].reversed(), "rows of a range of time")
            }
        },
        ContractCheck("records with nothing in common keep what is theirs") { store in
            let records = (1...40).map { number in
                var record = call(number)
                record.keyID = "key_\(number % 3)"
                record.tags = number % 4 == 0 ? "tag \(number)" : ""
                record.session = number % 5 == 0 ? "session \(number)" : ""
                record.endUser = number % 7 == 0 ? String(repeating: "ü", count: 9_000) : ""
                return record
            }
            try await store.apply(records, replica: "a", position: at(1))
            try expectEqual(try await store.rows(UsageFilter(), before: nil, limit: 100).map(\.record), records.reversed(), "rows")
        },
        ContractCheck("a page of what is rare is found among many") { store in
            let records = (1...4000).map { number in
                var record = call(number)
                if number % 400 == 7 { record.keyID = number % 800 == 7 ? "rare" : "rarer" }
                if number % 1000 == 3 {
                    record.provider = ""
                    record.servedModel = ""
                    record.requestedModel = "nowhere"
                    record.tenant = "far"
                }
                if number == 12 { record.keyID = "once" }
                return record
            }
            for start in stride(from: 0, to: records.count, by: 500) {
                try await store.apply(Array(records[start..<start + 500]), replica: "a", position: at(Int64(start) + 1))
            }
            var filter = UsageFilter()
            for change: (inout UsageFilter) -> Void in [
                { $0.keyID = "rare" }, { $0.keyID = "once" }, { $0.keyID = "never" }, { $0.model = "nowhere" }, { $0.tenant = "far" },
                { $0.from = WallTime(microseconds: epoch + 1000) }, { $0.requestID = "req-2003" },
            ] {
                change(&filter)
                let expected = records.filter { matches($0, filter) }.reversed()
                var seen: [UsageRecord] = []
                var cursor: Int64?
                while true {
                    let page = try await store.rows(filter, before: cursor, limit: 3)
                    guard let last = page.last else { break }
                    seen += page.map(\.record)
                    cursor = last.number
                }
                try expectEqual(seen, Array(expected), "rows of \(filter)")
                try expectEqual(try await store.totals(filter), sums(Array(expected)), "totals of \(filter)")
                if filter.from == nil { filter = UsageFilter() }
            }
        },
        ContractCheck("nothing is applied up to a position that is applied already") { store in
            try await store.apply([refusals(1, 5)], replica: "a", position: at(100))
            try await store.apply([refusals(1, 5), call(2)], replica: "a", position: at(100))
            try await store.apply([refusals(2, 5), call(3)], replica: "a", position: at(50))
            try expectEqual(try await store.totals(UsageFilter()).calls, 5, "calls")
            try expectEqual(try await store.positions(replica: "a"), [at(100)], "positions")
            try await store.apply([refusals(3, 7)], replica: "a", position: at(101))
            try await store.apply([refusals(4, 9)], replica: "b", position: at(100))
            try expectEqual(try await store.totals(UsageFilter()).calls, 21, "calls of later positions")
        },
        ContractCheck("refusals of one kind and minute are one row") { store in
            var other = refusals(4, 1)
            other.errorCode = "expired_api_key"
            var later = refusals(5, 1)
            later.startedAt = WallTime(microseconds: epoch + 60_000_000)
            var single = refusals(6, 1)
            single.count = 1
            var middle = refusals(7, 2)
            middle.startedAt = WallTime(microseconds: epoch + 59_999_999)
            try await store.apply([refusals(1, 2), refusals(2, 3), other, later, single, middle], replica: "a", position: at(1))
            let rows = try await store.rows(UsageFilter(), before: nil, limit: 10)
            try expectEqual(rows.map(\.record.count), [1, 1, 8], "counts")
            try expectEqual(rows.map(\.record.startedAt.microseconds), [epoch + 60_000_000, epoch, epoch], "minutes")
        },
        ContractCheck("a refusal with a request id is a row of its own") { store in
            var first = call(1)
            first.outcome = .refused
            var second = first
            second.id.sequence = 2
            try await store.apply([first, second], replica: "a", position: at(1))
            try expectEqual(try await store.rows(UsageFilter(), before: nil, limit: 10).count, 2, "rows")
        },
        ContractCheck("positions are kept by replica and segment until they are forgotten") { store in
            try await store.apply([], replica: "a", position: JournalPosition(segment: "s1", offset: 10))
            try await store.apply([], replica: "a", position: JournalPosition(segment: "s2", offset: 20))
            try await store.apply([], replica: "b", position: JournalPosition(segment: "s1", offset: 30))
            try await store.forget(segments: ["s1", "unknown"], replica: "a")
            try expectEqual(try await store.positions(replica: "a"), [JournalPosition(segment: "s2", offset: 20)], "positions of a")
            try expectEqual(try await store.positions(replica: "b"), [JournalPosition(segment: "s1", offset: 30)], "positions of b")
            try expectEqual(try await store.positions(replica: "c"), [], "positions of c")
        },
        ContractCheck("pages meet without a gap and without an overlap") { store in
            try await store.apply((1...25).map { call($0) }, replica: "a", position: at(1))
            var seen: [UInt64] = []
            var cursor: Int64?
            while true {
                let page = try await store.rows(UsageFilter(), before: cursor, limit: 10)
                guard let last = page.last else { break }
                seen += page.map(\.record.id.sequence)
                cursor = last.number
            }
            try expectEqual(seen, (1...25).reversed(), "sequences")
            try expectEqual(try await store.rows(UsageFilter(), before: nil, limit: 0).count, 0, "rows of an empty page")
        },
        ContractCheck("filters choose the rows that a scan would choose") { store in
            let records = (1...400).map { varied($0) }
            for start in stride(from: 0, to: records.count, by: 50) {
                try await store.apply(Array(records[start..<start + 50]), replica: "a", position: at(Int64(start) + 1))
            }
            var random = SplitMix(seed: 7)
            for _ in 0..<300 {
                let filter = anyFilter(&random)
                let expected = records.filter { matches($0, filter) }
                let rows = try await store.rows(filter, before: nil, limit: 1000)
                try expectEqual(rows.map(\.record.id.sequence), expected.reversed().map(\.id.sequence), "rows of \(filter)")
                try expectEqual(try await store.totals(filter), sums(expected), "totals of \(filter)")
                guard rows.count > 3 else { continue }
                let page = try await store.rows(filter, before: rows[1].number, limit: 2)
                try expectEqual(page, Array(rows[2..<4]), "the second page of \(filter)")
            }
        },
    ]

    // MARK: Material

    /// The start of a minute.
    package static let epoch: Int64 = 1_760_000_040_000_000

    package static func at(_ offset: Int64) -> JournalPosition { JournalPosition(segment: "segment-1", offset: offset) }

    /// A plain successful call.
    package static func call(_ number: Int) -> UsageRecord {
        UsageRecord(
            id: RecordID(boot: 0x0123_4567_89ab_cdef, loop: 1, sequence: UInt64(number)), startedAt: WallTime(microseconds: epoch + Int64(number)),
            requestID: "req-\(number)", tenant: "default", keyID: "key_1", endpoint: .chatCompletions, requestedModel: "gpt-4o",
            servedModel: "gpt-4o", provider: "sim", deployment: "sim/gpt-4o", tokens: TokenUsage(input: 10, output: 5),
            cost: Money(nanodollars: 1350), attempts: 1, outcome: .success, status: 200)
    }

    private static func refusals(_ number: Int, _ count: Int64) -> UsageRecord {
        UsageRecord(
            id: RecordID(boot: 9, loop: 0, sequence: UInt64(number)), count: count, startedAt: WallTime(microseconds: epoch),
            endpoint: .chatCompletions, outcome: .refused, status: 401, errorCode: "invalid_api_key", clientAddress: "10.0.0.1")
    }

    /// Every field has a value of its own, awkward where it can be.
    private static let full = UsageRecord(
        id: RecordID(boot: .max, loop: .max, sequence: .max), startedAt: WallTime(microseconds: epoch + 123_456), requestID: "r/ü\u{0}x'\"",
        tenant: "t1", team: "t2", agent: "t3", user: "t4", keyID: "k", endpoint: .embeddings, isStream: true, requestedModel: "org/m:1",
        servedModel: "m2", provider: "p", deployment: "p/m2",
        tokens: TokenUsage(input: 1, cachedInput: 2, output: 3, reasoning: 4, isEstimate: true), cost: Money(nanodollars: Int64.max),
        priceVersion: "v", priceIsKnown: false, latencyMicroseconds: 5, firstByteMicroseconds: 6, overheadMicroseconds: 7, attempts: 8,
        outcome: .streamCut, status: 502, errorCode: "e", fallbackReason: "f", promptBytes: 9, clientAddress: "::1", endUser: "end\nuser",
        session: "s", tags: "🏷,b")

    private static func varied(_ number: Int) -> UsageRecord {
        var random = SplitMix(seed: UInt64(number))
        var record = call(number)
        record.startedAt.microseconds = epoch + Int64(number) * 7_000_000 + Int64(random.below(600)) * 1_000_000
        record.requestID = "req-\(random.below(100))"
        record.tenant = "tenant-\(random.below(3))"
        record.team = ["", "red", "blue"][random.below(3)]
        record.agent = ["", "coder"][random.below(2)]
        record.user = ["", "ann", "bob"][random.below(3)]
        record.keyID = "key_\(random.below(4))"
        record.endpoint = Endpoint.allCases[random.below(3)]
        record.isStream = random.below(2) == 0
        record.requestedModel = "model-\(random.below(3))"
        record.servedModel = "model-\(random.below(3))"
        record.provider = ["sim", "other", ""][random.below(3)]
        if record.provider.isEmpty { record.servedModel = "" }
        record.outcome = Outcome.allCases[random.below(3)]
        record.status = [200, 429, 500, 0][random.below(4)]
        record.tokens = TokenUsage(
            input: Int64(random.below(1000)), cachedInput: Int64(random.below(10)), output: Int64(random.below(1000)),
            reasoning: Int64(random.below(10)), isEstimate: random.below(10) == 0)
        record.cost = Money(nanodollars: Int64(random.below(1_000_000_000)))
        return record
    }

    private static func anyFilter(_ random: inout SplitMix) -> UsageFilter {
        var filter = UsageFilter()
        for _ in 0...random.below(3) {
            switch random.below(13) {
            case 0: filter.requestID = "req-\(random.below(100))"
            case 1: filter.tenant = "tenant-\(random.below(3))"
            case 2: filter.team = ["", "red"][random.below(2)]
            case 3: filter.agent = ["", "coder"][random.below(2)]
            case 4: filter.user = ["ann", "nobody"][random.below(2)]
            case 5: filter.keyID = "key_\(random.below(4))"
            case 6: filter.model = ["model-0", "model-1", "model-2", "model-3", ""][random.below(5)]
            case 7: filter.provider = "sim"
            case 8: filter.endpoint = Endpoint.allCases[random.below(3)]
            case 9: filter.outcome = Outcome.allCases[random.below(4)]
            case 10: filter.status = [200, 429, 404][random.below(3)]
            case 11: filter.isStream = random.below(2) == 0
            default:
                let from = epoch + Int64(random.below(3600)) * 1_000_000
                if random.below(3) > 0 { filter.from = WallTime(microseconds: from) }
                if random.below(3) > 0 { filter.until = WallTime(microseconds: from + Int64(random.below(1200)) * 1_000_000) }
            }
        }
        return filter
    }

    /// The meaning of ``UsageFilter``, in plain words.
    package static func matches(_ record: UsageRecord, _ filter: UsageFilter) -> Bool {
        func equal<Value: Equatable>(_ wanted: Value?, _ found: Value) -> Bool { wanted == nil || wanted == found }
        return equal(filter.requestID, record.requestID) && equal(filter.tenant, record.tenant) && equal(filter.team, record.team)
            && equal(filter.agent, record.agent) && equal(filter.user, record.user) && equal(filter.keyID, record.keyID)
            && (filter.model == nil || filter.model == record.requestedModel || filter.model == record.servedModel)
            && equal(filter.provider, record.provider) && equal(filter.endpoint, record.endpoint) && equal(filter.outcome, record.outcome)
            && equal(filter.status, record.status) && equal(filter.isStream, record.isStream)
            && (filter.from.map { record.startedAt >= $0 } ?? true) && (filter.until.map { record.startedAt < $0 } ?? true)
    }

    private static func sums(_ records: [UsageRecord]) -> UsageTotals {
        var totals = UsageTotals(calls: 0, tokens: TokenUsage(), cost: .zero)
        for record in records {
            totals.calls += record.count
            totals.tokens.input += record.tokens.input
            totals.tokens.cachedInput += record.tokens.cachedInput
            totals.tokens.output += record.tokens.output
            totals.tokens.reasoning += record.tokens.reasoning
            totals.tokens.isEstimate = totals.tokens.isEstimate || record.tokens.isEstimate
            totals.cost = totals.cost + record.cost
        }
        return totals
    }
}

extension SplitMix {
    fileprivate mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }
}
