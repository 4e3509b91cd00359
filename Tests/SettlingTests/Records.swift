import Contracts
import Logging
import MartletTestKit
import NIOConcurrencyHelpers
import Settling
import Vocabulary

/// Records with every field drawn at random, and texts of one to four bytes a character.
struct RecordSource {
    var random: SplitMix
    private var sequence: UInt64 = 0

    init(seed: UInt64) { random = SplitMix(seed: seed) }

    mutating func text(upTo limit: Int) -> String {
        let ranges: [ClosedRange<UInt32>] = [0x20...0x7e, 0xa1...0x7ff, 0x800...0xd7ff, 0x10000...0x10ffff, 0...0x1f]
        var text = String.UnicodeScalarView()
        var count = 0
        let wanted = Int.random(in: 0...limit, using: &random)
        while true {
            let range = ranges.randomElement(using: &random) ?? 0x20...0x7e
            guard let scalar = Unicode.Scalar(UInt32.random(in: range, using: &random)) else { continue }
            count += UTF8.width(scalar)
            if count > wanted { return String(text) }
            text.append(scalar)
        }
    }

    /// - Parameter limits: the most bytes of each text, in the order of the fields.
    mutating func next(limits: [Int] = Array(repeating: 24, count: 17)) -> UsageRecord {
        func number() -> Int64 { Int64(bitPattern: random.next()) >> Int64.random(in: 0..<64, using: &random) }
        sequence += 1
        let texts = limits.map { text(upTo: $0) }
        return UsageRecord(
            id: RecordID(boot: random.next(), loop: UInt16.random(in: 0...(.max), using: &random), sequence: sequence), count: number(),
            startedAt: WallTime(microseconds: number()), requestID: texts[0], tenant: texts[1], team: texts[2], agent: texts[3], user: texts[4],
            keyID: texts[5], endpoint: Endpoint.allCases.randomElement(using: &random) ?? .embeddings, isStream: random.chance(oneIn: 2),
            requestedModel: texts[6], servedModel: texts[7], provider: texts[8], deployment: texts[9],
            tokens: TokenUsage(input: number(), cachedInput: number(), output: number(), reasoning: number(), isEstimate: random.chance(oneIn: 2)),
            cost: Money(nanodollars: number()), priceVersion: texts[10], priceIsKnown: random.chance(oneIn: 2), latencyMicroseconds: number(),
            firstByteMicroseconds: number(), overheadMicroseconds: number(), attempts: number(),
            outcome: Outcome.allCases.randomElement(using: &random) ?? .success, status: number(), errorCode: texts[11], fallbackReason: texts[12],
            promptBytes: number(), clientAddress: texts[13], endUser: texts[14], session: texts[15], tags: texts[16])
    }
}

extension UsageRecord {
    /// The texts in the order in which the journal has them.
    var texts: [String] {
        [
            requestID, tenant, team, agent, user, keyID, requestedModel, servedModel, provider, deployment, priceVersion, errorCode,
            fallbackReason, clientAddress, endUser, session, tags,
        ]
    }

    /// A record that is as large as one can be.
    static func largest(sequence: UInt64) -> UsageRecord {
        let long = String(repeating: "x", count: 1_000)
        return UsageRecord(
            id: RecordID(boot: 1, loop: 0, sequence: sequence), startedAt: WallTime(microseconds: 1), requestID: long, tenant: long, team: long,
            agent: long, user: long, keyID: long, endpoint: .chatCompletions, requestedModel: long, servedModel: long, provider: long,
            deployment: long, priceVersion: long, outcome: .success, errorCode: long, fallbackReason: long, clientAddress: long, endUser: long,
            session: long, tags: long)
    }

    static func plain(_ sequence: UInt64, loop: UInt16 = 0, requestID: String = "req") -> UsageRecord {
        UsageRecord(
            id: RecordID(boot: 9, loop: loop, sequence: sequence), startedAt: WallTime(microseconds: Int64(sequence)), requestID: requestID,
            tenant: "t", endpoint: .completions, requestedModel: "m", outcome: .success, status: 200)
    }
}

/// A logger that says nothing.
let silent = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

/// A store in memory that keeps its contract to the letter: what is not beyond the position of a segment changes nothing.
final class MemoryStore: UsageStore {
    struct State {
        var records: [UsageRecord] = []
        var positions: [String: Int64] = [:]
        var forgotten: [String] = []
        var applies = 0
        /// The next calls fail before they have done anything.
        var failuresBefore = 0
        /// The next calls fail after they have done everything, as when a connection breaks while it commits.
        var failuresAfter = 0
    }

    private let state = NIOLockedValueBox(State())

    var records: [UsageRecord] { state.withLockedValue { $0.records } }
    var now: State { state.withLockedValue { $0 } }
    func change(_ change: (inout State) -> Void) { state.withLockedValue { change(&$0) } }

    func apply(_ records: [UsageRecord], replica: String, position: JournalPosition) async throws(StoreError) {
        let failure = state.withLockedValue { state -> StoreError? in
            state.applies += 1
            if state.failuresBefore > 0 {
                state.failuresBefore -= 1
                return .unavailable("locked")
            }
            if position.offset > state.positions[position.segment] ?? 0 {
                state.records += records
                state.positions[position.segment] = position.offset
            }
            guard state.failuresAfter > 0 else { return nil }
            state.failuresAfter -= 1
            return .unavailable("the connection broke")
        }
        if let failure { throw failure }
    }

    func positions(replica: String) async throws(StoreError) -> [JournalPosition] {
        state.withLockedValue { $0.positions.map { JournalPosition(segment: $0.key, offset: $0.value) } }
    }

    func forget(segments: [String], replica: String) async throws(StoreError) {
        state.withLockedValue { state in
            for segment in segments { state.positions[segment] = nil }
            state.forgotten += segments
        }
    }

    func rows(_ filter: UsageFilter, before: Int64?, limit: Int) async throws(StoreError) -> [UsageRow] { [] }
    func totals(_ filter: UsageFilter) async throws(StoreError) -> UsageTotals { UsageTotals(calls: 0, tokens: TokenUsage(), cost: .zero) }
}

/// Keeps what the log is told.
final class MemoryLog: CallLogging {
    private let box = NIOLockedValueBox<[UsageRecord]>([])
    var records: [UsageRecord] { box.withLockedValue { $0 } }
    func ended(_ record: UsageRecord) { box.withLockedValue { $0.append(record) } }
}
