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

    mutating func next() -> Frame? {
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
        let record: UsageRecord?? = buffer.withUnsafeBytes { bytes in
            let payload = UnsafeRawBufferPointer(rebasing: bytes[start..<start + Int(length)])
            guard let base = payload.baseAddress,
                cscan_crc32c(0, base.assumingMemoryBound(to: UInt8.self), payload.count) == checksum
            else { return .none }
            return .some(RecordCodec.decode(payload))
        }
        guard case .some(let decoded) = record else { return nil }
        offset += Int64(whole)
        return Frame(record: decoded, end: offset)
    }

    /// Makes sure that `count` bytes from `offset` on are in the buffer.
    private mutating func fill(_ count: Int) -> Bool {
        guard offset + Int64(count) <= limit else { return false }
        if offset + Int64(count) <= bufferStart + Int64(buffer.count) { return true }
        let size = Int(min(limit - offset, Int64(max(count, JournalReader.readSize))))
        var fresh = [UInt8](repeating: 0, count: size)
        let got = fresh.withUnsafeMutableBytes { segment.read(into: $0, at: offset) }
        fresh.removeLast(size - got)
        buffer = fresh
        bufferStart = offset
        return got >= count
    }
}
