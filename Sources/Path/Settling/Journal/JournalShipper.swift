package import Contracts
import Glibc
package import Logging
import Synchronization
package import Vocabulary

/// Carries records from the journal into the store, each exactly once: the store keeps how far it has applied each segment in the same
/// transaction as the rows. The store may be away for hours; the journal then simply grows.
package final class JournalShipper: UsageShipping {
    private struct State {
        /// How far each segment is applied; `nil` until the store has told.
        var applied: [String: Int64]?
        var asOf = WallTime(microseconds: 0)
        var lastError: String?
        var rounds: UInt64 = 0
        /// Segments with records that are not ours to read, of which the log has been told.
        var segmentsWithUnread: Set<String> = []
    }

    private let journal: Journal
    private let store: any UsageStore
    private let logger: Logger
    private let state = Mutex(State())
    private let decoder = Mutex(RecordDecoder())
    /// Rung to have a round begin at once.
    private let demand = Bell()
    /// Rung when a round has ended.
    private let roundEnded = Bell()

    /// Records in one transaction.
    private static let batchMax = 4_000

    package init(journal: Journal, store: any UsageStore, logger: Logger) {
        self.journal = journal
        self.store = store
        self.logger = logger
    }

    package var asOf: WallTime { state.withLock { $0.asOf } }
    /// Why the store does not take records, while it does not.
    package var lastError: String? { state.withLock { $0.lastError } }

    /// Ships until it is cancelled.
    ///
    /// - Parameter interval: the pause between two rounds, in which records gather to a batch.
    package func run(interval: Duration) async {
        while !Task.isCancelled {
            await round()
            await demand.wait(upTo: interval)
        }
    }

    /// Ships everything that is in the journal now, for a shutdown; gives up on the first failure.
    package func drain() async {
        await round()
    }

    package func flush(timeout: Duration) async throws(StoreError) -> WallTime {
        // A round that has begun before now may have passed records by; the one after it cannot.
        let wanted = state.withLock { $0.rounds } + 2
        let deadline = ContinuousClock.now + timeout
        while ContinuousClock.now < deadline {
            let (rounds, asOf, error) = state.withLock { ($0.rounds, $0.asOf, $0.lastError) }
            if rounds >= wanted, error == nil { return asOf }
            demand.ring()
            await roundEnded.wait(upTo: .milliseconds(50))
        }
        throw .unavailable(lastError ?? "the store has not taken all records in time")
    }

    private func round() async {
        let began = WallTime.now
        do {
            try await ship(journal.segments())
            let wasFailing = state.withLock { state in
                defer { state.lastError = nil }
                state.asOf = began
                return state.lastError != nil
            }
            if wasFailing { logger.notice("usage store takes records again") }
        } catch {
            let isNew = state.withLock { state in
                defer { state.lastError = "\(error)" }
                // The store may have taken a batch although it did not say so; only it knows from where to go on.
                state.applied = nil
                return state.lastError == nil
            }
            if isNew { logger.warning("usage store takes no records; they wait in the journal", metadata: ["error": "\(error)"]) }
        }
        state.withLock { $0.rounds += 1 }
        roundEnded.ring()
    }

    private func ship(_ segments: [(segment: JournalSegment, written: Int64)]) async throws(StoreError) {
        let applied = try await appliedPositions()
        var retired: [String] = []
        for (segment, written) in segments {
            let from = max(applied[segment.name] ?? 0, JournalSegment.headerSize)
            guard from < written || segment.isSealed else { continue }
            let end = try await ship(segment, from: from, upTo: written)
            if end < written {
                // What `written` covers was whole when it was written: the disk has lost it since.
                logger.error(
                    "journal segment is damaged", metadata: ["journal.segment": "\(segment.name)", "offset": "\(end)", "written": "\(written)"])
                journal.setAside(segment)
                continue
            }
            state.withLock { $0.applied?[segment.name] = end }
            if segment.isSealed, segment.written == written {
                journal.retire(segment)
                retired.append(segment.name)
            }
        }
        try await forget(retired)
    }

    /// Forgets how far segments are applied, if their files are gone for good: one that came back would be shipped a second time.
    private func forget(_ segments: [String]) async throws(StoreError) {
        guard !segments.isEmpty, syncDirectory(journal.options.directory) else { return }
        // One that was set aside as damaged may be put back by a person.
        let gone = segments.filter { name in
            ["", ".corrupt"].allSatisfy { access(journal.options.directory + "/" + name + $0, F_OK) != 0 && errno == ENOENT }
        }
        try await store.forget(segments: gone, replica: journal.replica)
        state.withLock { state in
            for segment in gone {
                state.applied?.removeValue(forKey: segment)
                state.segmentsWithUnread.remove(segment)
            }
        }
    }

    /// Ships a part of a segment, batch by batch.
    ///
    /// - Returns: how far its records are whole.
    private func ship(_ segment: JournalSegment, from: Int64, upTo written: Int64) async throws(StoreError) -> Int64 {
        var reader = JournalReader(segment: segment, from: from, upTo: written)
        var end = from
        while true {
            let batch = read(&reader, of: segment)
            guard let batchEnd = batch.end else { return end }
            end = batchEnd
            guard !batch.records.isEmpty else { continue }
            try await store.apply(
                batch.records, replica: journal.replica, position: JournalPosition(segment: segment.name, offset: end))
        }
    }

    /// Reads up to ``batchMax`` records.
    ///
    /// - Returns: the records that are ours to read, and where the last one of all ends; `nil` when there was none.
    private func read(_ reader: inout JournalReader, of segment: JournalSegment) -> (records: [UsageRecord], end: Int64?) {
        var records: [UsageRecord] = []
        records.reserveCapacity(reader.countEstimate(upTo: JournalShipper.batchMax))
        var end: Int64?
        var count = 0
        decoder.withLock { decoder in
            while count < JournalShipper.batchMax, let frame = reader.next(&decoder, into: &records) {
                count += 1
                end = frame.end
            }
        }
        if count > records.count, state.withLock({ $0.segmentsWithUnread.insert(segment.name).inserted }) {
            logger.error("journal records of a later version are skipped", metadata: ["journal.segment": "\(segment.name)"])
        }
        return (records, end)
    }

    private func appliedPositions() async throws(StoreError) -> [String: Int64] {
        if let known = state.withLock({ $0.applied }) { return known }
        let positions = try await store.positions(replica: journal.replica)
        let applied = Dictionary(positions.map { ($0.segment, $0.offset) }, uniquingKeysWith: { max($0, $1) })
        // An earlier start may have ended between dropping a segment and forgetting it.
        try await forget(positions.map(\.segment))
        state.withLock { $0.applied = applied }
        return applied
    }
}

/// Brings the names in a directory to the disk.
private func syncDirectory(_ path: String) -> Bool {
    let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { return false }
    defer { close(descriptor) }
    return fsync(descriptor) == 0
}
