import Contracts
import Glibc
import Logging
import Settling
import Vocabulary

/// What a call leaves behind: its price, its record, its meters.
let settlingCases: [Case] = [
    Case("price", "the cost of a call's tokens") {
        let usage = TokenUsage(input: 1_200, cachedInput: 400, output: 350, reasoning: 100)
        return { use(Int(price.cost(of: usage).nanodollars)) }
    },
    Case("record-encode", "a usage record into the journal's bytes") {
        let record = typicalRecord
        let target = UnsafeMutableRawBufferPointer.allocate(byteCount: RecordCodec.sizeMax, alignment: 8)
        return { use(RecordCodec.encode(record, into: target)) }
    },
    Case("record-decode", "a usage record out of the journal's bytes") {
        let target = UnsafeMutableRawBufferPointer.allocate(byteCount: RecordCodec.sizeMax, alignment: 8)
        let bytes = UnsafeRawBufferPointer(rebasing: target[..<RecordCodec.encode(typicalRecord, into: target)])
        guard RecordCodec.decode(bytes) == typicalRecord else { throw SetUpError(description: "a record does not come back") }
        return { use(Int(RecordCodec.decode(bytes)?.status ?? 0)) }
    },
    Case("journal-append", "reserve room, write a record, give the room back") {
        let journal = try openJournal()
        let loop = journal.loopJournal(0)
        let record = typicalRecord
        return {
            guard loop.reserve(), loop.append(record, isPromised: true) else { fatalError("the journal is full") }
            loop.release()
        }
    },
    Case("settle", "admit's hold, the record, the meters, the log that is off") {
        let journal = try openJournal()
        let loop = journal.loopJournal(0)
        let settler = CallSettler(journal: loop, meters: LoopMeters(), log: NoLog())
        let record = typicalRecord
        return {
            guard loop.reserve() else { fatalError("the journal is full") }
            use(settler.settle(record, hold: Hold(keeper: settler)) ? 1 : 0)
        }
    },
    Case("meters", "count a call under labels that are known") {
        let meters = LoopMeters()
        let record = typicalRecord
        return { meters.update { $0.count(record) } }
    },
]

private struct NoLog: CallLogging {
    func ended(_ record: UsageRecord) {}
}

/// A journal in a folder of its own, in segments so large that none ends while it is counted.
private func openJournal() throws -> Journal {
    let base = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
    var template = Array((base + "/martlet-function-bench-XXXXXX").utf8CString)
    guard let made = mkdtemp(&template) else { throw SetUpError(description: "no temporary folder") }
    let folder = String(cString: made)
    removed.append(folder)
    atexit { for folder in removed { remove(folder: folder) } }
    return try Journal(
        options: Journal.Options(directory: folder, segmentSizeBytes: 16 << 20, syncIntervalMilliseconds: 60_000), loops: 1,
        logger: Logger(label: "bench") { _ in SwiftLogNoOpLogHandler() })
}

/// The folders to remove at the end; written by one thread only.
nonisolated(unsafe) private var removed: [String] = []

/// Removes a journal's folder, which holds files alone.
private func remove(folder: String) {
    guard let entries = opendir(folder) else { return }
    while let entry = readdir(entries) {
        let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        unlink(folder + "/" + name)
    }
    closedir(entries)
    rmdir(folder)
}

let typicalRecord = UsageRecord(
    id: RecordID(boot: 0x1234_5678_9abc_def0, loop: 0, sequence: 4_711), startedAt: WallTime(microseconds: 1_780_000_000_000_000),
    requestID: "req_0123456789abcdef01", tenant: "default", team: "research", agent: "assistant", user: "", keyID: "key_0123456789",
    endpoint: .chatCompletions, requestedModel: "gpt-4o-mini", servedModel: "gpt-4o-mini", provider: "upstream",
    deployment: "upstream/gpt-4o-mini", tokens: TokenUsage(input: 120, output: 60), cost: Money(nanodollars: 54_000),
    priceVersion: "0123456789abcdef",
    latencyMicroseconds: 412_000, firstByteMicroseconds: 411_000, overheadMicroseconds: 80, attempts: 1, outcome: .success, status: 200,
    promptBytes: 650, clientAddress: "127.0.0.1", endUser: "customer-20817")
