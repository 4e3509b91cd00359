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

    init(segment: JournalSegment, from: Int64, upTo limit: Int64) {
        self.segment = segment
        self.limit = limit
        offset = from
        bufferStart = from
    }

    /// A record and where it ends in the file. `record` is `nil` for one of a later version: it is whole, but not ours to read.
    struct Frame {
        var record: UsageRecord?
        var end: Int64
    }

    /// A record that was not looked into.
    struct UnreadFrame {
        var end: Int64
    }

    /// Moves over the next record.
    mutating func next() -> UnreadFrame? {
        take() == nil ? nil : UnreadFrame(end: offset)
    }

    /// Reads the next record.
    mutating func next(_ decoder: inout RecordDecoder) -> Frame? {
        guard let payload = take() else { return nil }
        return Frame(record: buffer.withUnsafeBytes { decoder.decode(UnsafeRawBufferPointer(rebasing: $0[payload])) }, end: offset)
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
