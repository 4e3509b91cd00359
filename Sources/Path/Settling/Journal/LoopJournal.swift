internal import CScan
internal import Contracts
import Synchronization
package import Vocabulary

/// One loop's end of the journal: appends records, and promises room for those to come. Confined to its loop.
package final class LoopJournal: RecordRoom {
    private let journal: Journal
    private let loop: Int
    private var current: JournalSegment?
    private let promises: RoomPromises
    /// Records that have been promised room and are not written yet.
    private var promised: Int64 {
        get { promises.count.load(ordering: .relaxed) }
        set { promises.count.store(newValue, ordering: .relaxed) }
    }
    private var sequence: UInt64 = 0
    private let scratch = UnsafeMutableRawBufferPointer.allocate(
        byteCount: RecordCodec.sizeMax + JournalSegment.frameSize, alignment: 8)

    /// What one record takes at most, frame included.
    private static let recordRoom = Int64(RecordCodec.sizeMax + JournalSegment.frameSize)

    init(journal: Journal, loop: Int, promises: RoomPromises) {
        self.journal = journal
        self.loop = loop
        self.promises = promises
    }

    deinit { scratch.deallocate() }

    package func nextRecordID() -> RecordID {
        sequence += 1
        return RecordID(boot: journal.boot, loop: UInt16(truncatingIfNeeded: loop), sequence: sequence)
    }

    package func reserve() -> Bool {
        guard !journal.isRefusing else { return false }
        // Told first, so that nobody takes away the spares on which it counts.
        promised += 1
        if hasRoom(for: promised) { return true }
        promised -= 1
        return false
    }

    /// Takes a promise back.
    package func release() {
        promised -= 1
    }

    /// Writes a record.
    ///
    /// - Parameter isPromised: whether room was reserved for it; one without a promise never takes the room of those that have one.
    /// - Returns: whether it is written.
    package func append(_ record: UsageRecord, isPromised: Bool) -> Bool {
        guard hasRoom(for: isPromised ? 1 : promised + 1) else { return false }
        let length = RecordCodec.encode(record, into: UnsafeMutableRawBufferPointer(rebasing: scratch[JournalSegment.frameSize...]))
        let payload = UnsafeRawBufferPointer(rebasing: scratch[JournalSegment.frameSize..<JournalSegment.frameSize + length])
        guard let base = payload.baseAddress else { return false }
        let checksum = cscan_crc32c(0, base.assumingMemoryBound(to: UInt8.self), length)
        scratch.storeBytes(of: UInt32(length).littleEndian, toByteOffset: 0, as: UInt32.self)
        scratch.storeBytes(of: checksum.littleEndian, toByteOffset: 4, as: UInt32.self)
        let frame = UnsafeRawBufferPointer(rebasing: scratch[..<(JournalSegment.frameSize + length)])
        do {
            try segment(for: Int64(frame.count)).append(frame)
            return true
        } catch {
            journal.failed(error)
            return false
        }
    }

    /// The segment that the next record goes into.
    private func segment(for count: Int64) throws(JournalError) -> JournalSegment {
        if let current {
            if current.free >= count { return current }
            current.seal()
        }
        let next = try journal.takeSpare(loop: loop)
        current = next
        return next
    }

    /// How many records of the largest size a segment takes.
    static func recordsPerSegment(_ segmentSize: Int64) -> Int64 {
        max(1, (segmentSize - JournalSegment.headerSize) / recordRoom)
    }

    /// Whether that many records of the largest size fit into what has been set aside.
    private func hasRoom(for records: Int64) -> Bool {
        let perSegment = LoopJournal.recordsPerSegment(journal.segmentSize)
        let here = (current?.free ?? 0) / LoopJournal.recordRoom
        if here >= records {
            // Below a quarter, have the next one made before it is needed.
            if here < perSegment / 4 { journal.wantSpares(1, loop: loop) }
            return true
        }
        let missing = (records - here + perSegment - 1) / perSegment
        // A file takes a while to make: ask for the next one when the last is half promised, so that no call of a burst waits for it.
        if missing * perSegment - (records - here) < perSegment / 2 { journal.wantSpares(Int(missing) + 1, loop: loop) }
        return journal.ensureSpares(Int(missing), loop: loop)
    }
}
