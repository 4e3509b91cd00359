import Glibc
package import Logging
import Synchronization
internal import Vocabulary

/// The journal of one process: a locked folder with segments of every loop, and the thread that keeps them (ARCHITECTURE §3).
///
/// A record is on its way to the disk before its answer is complete: `kill -9` loses nothing, since a written page outlives the process; a power
/// cut loses at most ``Options/syncIntervalMilliseconds``.
package final class Journal: Sendable {
    /// What the configuration says of the journal.
    package struct Options: Sendable {
        package var directory: String
        package var segmentSizeBytes: Int64
        /// The most that all segments together may take; beyond it new calls are refused.
        package var sizeMaxBytes: Int64
        /// New calls are refused while the volume has less room than this.
        package var freeMinBytes: Int64
        package var syncIntervalMilliseconds: Int64
        /// How long a burst must be over before the segments that were made for it go.
        package var surplusTime: Duration

        package init(
            directory: String, segmentSizeBytes: Int64 = 1 << 20, sizeMaxBytes: Int64 = 4 << 30, freeMinBytes: Int64 = 1 << 20,
            syncIntervalMilliseconds: Int64 = 100, surplusTime: Duration = .seconds(5)
        ) {
            self.directory = directory
            self.segmentSizeBytes = segmentSizeBytes
            self.sizeMaxBytes = sizeMaxBytes
            self.freeMinBytes = freeMinBytes
            self.syncIntervalMilliseconds = syncIntervalMilliseconds
            self.surplusTime = surplusTime
        }
    }

    private struct State {
        /// Every segment that is on disk, oldest first in each loop.
        var segments: [JournalSegment] = []
        /// By loop: segments that are made but not in use.
        var spares: [[JournalSegment]]
        var wanted: [Int]
        /// By loop: since when there have been more segments than what is promised can fill.
        var surplusSince: [ContinuousClock.Instant?]
        var nextIndex: UInt64 = 0
        var refusalReason: String?
    }

    package let options: Options
    /// Drawn at random at this start.
    package let boot: UInt64
    /// Who we are to the store; the same as long as the folder lives.
    package let replica: String
    var segmentSize: Int64 { options.segmentSizeBytes }

    private let lock: Int32
    private let logger: Logger
    private let state: Mutex<State>
    private let refusing = Atomic<Bool>(false)
    private let syncFailures = Atomic<Int>(0)
    private let keeper: JournalKeeper
    /// By loop: the records that have been promised room.
    private let promises: [RoomPromises]
    /// Whether a segment was made whose name may not be on the disk yet.
    private let hasNewNames = Atomic<Bool>(false)

    /// Opens the folder, takes its lock, and finds the segments that earlier starts have left.
    package init(options: Options, loops: Int, logger: Logger) throws(JournalError) {
        self.options = options
        self.logger = logger
        boot = UInt64.random(in: 1...UInt64.max)
        try makeDirectory(options.directory)
        lock = open(options.directory + "/LOCK", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard lock >= 0 else { throw .io("cannot open \(options.directory)/LOCK: \(describe(errno))") }
        guard flock(lock, LOCK_EX | LOCK_NB) == 0 else {
            close(lock)
            throw .inUse(options.directory)
        }
        replica = try replicaName(in: options.directory)
        promises = (0..<loops).map { _ in RoomPromises() }
        var state = State(
            spares: Array(repeating: [], count: loops), wanted: Array(repeating: 1, count: loops),
            surplusSince: Array(repeating: nil, count: loops))
        for name in segmentNames(in: options.directory) {
            do {
                let segment = try JournalSegment.recover(directory: options.directory, name: name)
                state.segments.append(segment)
                if segment.hasUnreadTail {
                    // A record torn by a power cut, or damage with whole records behind it: what can be read is shipped, and the file is kept.
                    link(segment.path, segment.path + ".corrupt")
                    logger.error(
                        "journal segment ends in bytes that are no record; a copy is kept",
                        metadata: ["journal.segment": "\(name)", "offset": "\(segment.written)"])
                }
            } catch {
                logger.error("journal segment set aside", metadata: ["journal.segment": "\(name)", "error": "\(error)"])
                rename(options.directory + "/" + name, options.directory + "/" + name + ".corrupt")
            }
        }
        self.state = Mutex(state)
        keeper = JournalKeeper()
        keep()
        keeper.start(intervalMilliseconds: options.syncIntervalMilliseconds) { [weak self] in self?.keep() }
    }

    deinit { close(lock) }

    package func loopJournal(_ loop: Int) -> LoopJournal { LoopJournal(journal: self, loop: loop, promises: promises[loop]) }

    /// Whether new calls are refused because their record might not be written.
    package var isRefusing: Bool { refusing.load(ordering: .relaxed) }
    /// Why, in words for an operator.
    package var refusalReason: String? { state.withLock { $0.refusalReason } }
    /// Segments on disk, for metrics and the soak test.
    package var segmentCount: Int { state.withLock { $0.segments.count } }

    /// Syncs everything and stops the keeper's thread.
    package func shutdown() {
        keeper.stop()
        keep()
    }

    // MARK: For the loops

    func takeSpare(loop: Int) throws(JournalError) -> JournalSegment {
        let spare = state.withLock { state -> JournalSegment? in
            state.wanted[loop] = max(state.wanted[loop], 1)
            guard !state.spares[loop].isEmpty else { return nil }
            let spare = state.spares[loop].removeFirst()
            state.segments.append(spare)
            return spare
        }
        keeper.wake()
        guard let spare else { throw .io("no segment was ready") }
        return spare
    }

    /// Asks the keeper to have that many segments ready.
    func wantSpares(_ count: Int, loop: Int) {
        let isMissing = state.withLock { state in
            state.wanted[loop] = max(state.wanted[loop], count)
            return state.spares[loop].count < count
        }
        if isMissing { keeper.wake() }
    }

    /// Whether that many segments are ready; makes them at once when the keeper has not got that far, for a burst must not be refused.
    func ensureSpares(_ count: Int, loop: Int) -> Bool {
        let ready = state.withLock { $0.spares[loop].count }
        if ready >= count { return true }
        if isRefusing { return false }
        return makeSpares(count, loop: loop)
    }

    /// A record could not be written although room was promised.
    func failed(_ error: JournalError) {
        refuse(error.description)
    }

    // MARK: For the shipper

    /// The segments that hold records, with how far they are written, oldest first in each loop.
    func segments() -> [(segment: JournalSegment, written: Int64)] {
        state.withLock { $0.segments }.map { ($0, $0.written) }
    }

    /// Drops a segment all of whose records are in the store.
    func retire(_ segment: JournalSegment) {
        state.withLock { state in state.segments.removeAll { $0 === segment } }
        segment.delete()
    }

    /// Takes a damaged segment out of the journal and leaves it on disk for a person to look at.
    func setAside(_ segment: JournalSegment) {
        state.withLock { state in state.segments.removeAll { $0 === segment } }
        rename(segment.path, segment.path + ".corrupt")
    }

    // MARK: Keeping

    /// One round of the keeper: syncs, makes spares, and looks at the volume.
    private func keep() {
        let segments = state.withLock { $0.segments }
        var trouble: String?
        do { try syncNames() } catch { trouble = error.description }
        for segment in segments {
            do { try segment.sync() } catch { trouble = error.description }
        }
        dropSurplus()
        trouble = trouble ?? volumeTrouble(segments: segments.count)
        if trouble == nil {
            for (loop, count) in state.withLock({ $0.wanted }).enumerated() where !makeSpares(count, loop: loop, isKeeper: true) {
                trouble = state.withLock { $0.refusalReason } ?? "no room for the next segment"
            }
        }
        if let trouble { refuse(trouble) } else { welcome() }
    }

    /// Brings the names of new segments to the disk: a synced file that no folder names is lost with the power all the same (fsync(2)).
    private func syncNames() throws(JournalError) {
        guard hasNewNames.exchange(false, ordering: .acquiringAndReleasing) else { return }
        let folder = open(options.directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard folder >= 0 else {
            hasNewNames.store(true, ordering: .releasing)
            throw .io("cannot open \(options.directory): \(describe(errno))")
        }
        defer { close(folder) }
        guard fsync(folder) == 0 else {
            hasNewNames.store(true, ordering: .releasing)
            throw .io("cannot sync \(options.directory): \(describe(errno))")
        }
    }

    /// Deletes spares that a burst has left, down to what the promises in force can fill and one more.
    ///
    /// A loop tells of a promise before it counts the spares, and both happen under the lock here: a spare that a promise counts on stays.
    private func dropSurplus() {
        let perSegment = LoopJournal.recordsPerSegment(segmentSize)
        let now = ContinuousClock.now
        let surplus = state.withLock { state -> [JournalSegment] in
            var surplus: [JournalSegment] = []
            for loop in state.wanted.indices {
                let needed = Int((promises[loop].count.load(ordering: .relaxed) + perSegment - 1) / perSegment) + 1
                guard max(state.wanted[loop], state.spares[loop].count) > needed else {
                    state.surplusSince[loop] = nil
                    continue
                }
                let since = state.surplusSince[loop] ?? now
                state.surplusSince[loop] = since
                guard now - since >= options.surplusTime else { continue }
                state.surplusSince[loop] = nil
                state.wanted[loop] = needed
                let extra = max(0, state.spares[loop].count - needed)
                surplus += state.spares[loop].suffix(extra)
                state.spares[loop].removeLast(extra)
            }
            return surplus
        }
        for segment in surplus { segment.delete() }
    }

    private func volumeTrouble(segments: Int) -> String? {
        var volume = statvfs()
        guard statvfs(options.directory, &volume) == 0 else { return "cannot look at \(options.directory): \(describe(errno))" }
        let free = Int64(clamping: UInt64(volume.f_bavail) * UInt64(volume.f_frsize))
        if free < options.freeMinBytes { return "the volume of \(options.directory) has \(free) bytes free, less than journal.min_free" }
        if Int64(segments) * options.segmentSizeBytes > options.sizeMaxBytes { return "the journal has reached journal.max_size" }
        return nil
    }

    private func makeSpares(_ count: Int, loop: Int, isKeeper: Bool = false) -> Bool {
        while true {
            let index = state.withLock { state -> UInt64? in
                guard state.spares[loop].count < count else { return nil }
                state.nextIndex += 1
                return state.nextIndex
            }
            guard let index else { return true }
            let name = "\(hexadecimal(boot, 16))-\(hexadecimal(UInt64(loop), 4))-\(hexadecimal(index, 8)).seg"
            do {
                let spare = try JournalSegment.create(
                    directory: options.directory, name: name, boot: boot, loop: loop, size: options.segmentSizeBytes)
                hasNewNames.store(true, ordering: .releasing)
                state.withLock { $0.spares[loop].append(spare) }
            } catch {
                refuse(error.description)
                return false
            }
        }
    }

    private func refuse(_ reason: String) {
        let isNew = state.withLock { state in
            defer { state.refusalReason = reason }
            return state.refusalReason == nil
        }
        refusing.store(true, ordering: .relaxed)
        if isNew { logger.error("journal refuses new calls", metadata: ["reason": "\(reason)"]) }
    }

    private func welcome() {
        let wasRefusing = state.withLock { state in
            defer { state.refusalReason = nil }
            return state.refusalReason != nil
        }
        refusing.store(false, ordering: .relaxed)
        if wasRefusing { logger.notice("journal takes calls again") }
    }
}

/// How many records one loop has promised room to. Written by the loop, read by the keeper.
final class RoomPromises: Sendable {
    let count = Atomic<Int64>(0)
}
