internal import CScan
internal import Vocabulary

/// Reads the records of a segment in order and stops at the first thing that is not a whole record with a right checksum.
struct JournalReader {
    private let segment: JournalSegment
    private let limit: Int64
    private var offset: Int64
    private var buffer: [UInt8] = []
    /// The file offset of the first byte in `buffer`.
    private var bufferStart: Int64

    private static let readSize = 256 * 1024
    /// Of a small record with its frame, in bytes.
    private static let typicalSize = 200

    init(segment: JournalSegment, from: Int64, upTo limit: Int64) {
        self.segment = segment
        self.limit = limit
        offset = from
        bufferStart = from
    }

    /// A record that is whole.
    struct Frame {
        /// Where it ends in the file.
        var end: Int64
    }

    /// About how many records are left, and rather too many; at most `most`.
    func countEstimate(upTo most: Int) -> Int {
        min(most, Int(limit - offset) / JournalReader.typicalSize)
    }

    /// Moves over the next record.
    mutating func next() -> Frame? {
        take() == nil ? nil : Frame(end: offset)
    }

    /// Reads the next record; one of a later version is whole, but not ours to read, and is not added.
    mutating func next(_ decoder: inout RecordDecoder, into records: inout [UsageRecord]) -> Frame? {
        guard let payload = take() else { return nil }
        _ = buffer.withUnsafeBytes { decoder.decode(UnsafeRawBufferPointer(rebasing: $0[payload]), into: &records) }
        return Frame(end: offset)
    }

    /// Moves over the next record.
    ///
    /// - Returns: where it is in `buffer`.
    private mutating func take() -> Range<Int>? {
        guard fill(JournalSegment.frameSize) else { return nil }
        let at = Int(offset - bufferStart)
        let (length, checksum) = buffer.withUnsafeBytes {
            (
                UInt32(littleEndian: $0.loadUnaligned(fromByteOffset: at, as: UInt32.self)),
                UInt32(littleEndian: $0.loadUnaligned(fromByteOffset: at + 4, as: UInt32.self))
            )
        }
        guard length > 0, length <= UInt32(RecordCodec.sizeMax) else { return nil }
        let whole = JournalSegment.frameSize + Int(length)
        guard fill(whole) else { return nil }
        let start = Int(offset - bufferStart) + JournalSegment.frameSize
        let isRight = buffer.withUnsafeBufferPointer { bytes in
            bytes.baseAddress.map { cscan_crc32c(0, $0 + start, Int(length)) == checksum } ?? false
        }
        guard isRight else { return nil }
        offset += Int64(whole)
        return start..<start + Int(length)
    }

    /// Makes sure that `count` bytes from `offset` on are in the buffer.
    private mutating func fill(_ count: Int) -> Bool {
        guard offset + Int64(count) <= limit else { return false }
        if offset + Int64(count) <= bufferStart + Int64(buffer.count) { return true }
        let size = Int(min(limit - offset, Int64(max(count, JournalReader.readSize))))
        buffer = [UInt8](unsafeUninitializedCapacity: size) { bytes, got in
            got = segment.read(into: UnsafeMutableRawBufferPointer(bytes), at: offset)
        }
        bufferStart = offset
        return buffer.count >= count
    }
}
