import CScan
import Contracts
import Glibc
import MartletTestKit
import Vocabulary

@testable import Settling

private let folder: String = {
    var template = Array("/dev/shm/martlet-fuzz-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { fatalError("no folder for segments in /dev/shm") }
    let folder = String(cString: template)
    atexit { _ = unlink(path + "") }
    return folder
}()
private let path = folder + "/segment"

/// Segments of the journal: what is read is what was written, whatever stands behind it and whatever is damaged.
func fuzzJournal(_ input: FuzzInput) {
    readRaw(input)
    readFramed(input)
    decodeRecord(input.bytes)
}

/// Any bytes at all behind a header, or as the whole file.
private func readRaw(_ input: FuzzInput) {
    let header = JournalSegment.magic + [UInt8](repeating: 0, count: Int(JournalSegment.headerSize) - JournalSegment.magic.count)
    let file = input.bytes.starts(with: JournalSegment.magic) ? input.bytes : header + input.bytes
    guard file.count >= Int(JournalSegment.headerSize) else {
        check(recovered(file) == nil, "a file without a whole header is taken for a segment")
        return
    }
    guard let segment = recovered(file) else { fatalError("a segment is refused") }
    let expected = frames(file)
    check(segment.written == Int64(expected.last?.upperBound ?? Int(JournalSegment.headerSize)), "the end of the records is elsewhere")
    let tail = file[Int(segment.written)...]
    check(segment.hasUnreadTail == tail.contains { $0 != 0 }, "the tail is not seen for what it is")
    checkRecords(segment, payloads: expected.map { Array(file[($0.lowerBound + JournalSegment.frameSize)..<$0.upperBound]) })
}

/// The bytes cut into payloads with right checksums, then one bit turned over.
private func readFramed(_ input: FuzzInput) {
    var random = SplitMix(seed: input.hash)
    var file = JournalSegment.magic + [UInt8](repeating: 0, count: Int(JournalSegment.headerSize) - JournalSegment.magic.count)
    var payloads: [[UInt8]] = []
    var at = 0
    while at < input.bytes.count {
        let length = min(Int.random(in: 1...400, using: &random), input.bytes.count - at)
        let payload = Array(input.bytes[at..<at + length])
        payloads.append(payload)
        file += frame(payload)
        at += length
    }
    guard let segment = recovered(file + [UInt8](repeating: 0, count: 100)) else { fatalError("a segment is refused") }
    check(segment.written == Int64(file.count) && !segment.hasUnreadTail, "records are lost")
    checkRecords(segment, payloads: payloads)
    guard !payloads.isEmpty else { return }
    let bit = Int.random(in: Int(JournalSegment.headerSize) * 8..<file.count * 8, using: &random)
    file[bit / 8] ^= 1 << UInt8(bit % 8)
    guard let damaged = recovered(file) else { fatalError("a segment is refused") }
    var whole = 0
    var end = Int(JournalSegment.headerSize)
    for payload in payloads {
        guard end + JournalSegment.frameSize + payload.count <= bit / 8 else { break }
        end += JournalSegment.frameSize + payload.count
        whole += 1
    }
    check(damaged.written == Int64(end), "damage at \(bit / 8) of \(file.count): the records end at \(damaged.written), not at \(end)")
    checkRecords(damaged, payloads: Array(payloads.prefix(whole)))
}

/// The reader must find these payloads and make of them the records that they are, each by itself.
private func checkRecords(_ segment: JournalSegment, payloads: [[UInt8]]) {
    var reader = JournalReader(segment: segment, from: JournalSegment.headerSize, upTo: segment.written)
    var decoder = RecordDecoder()
    var found: [UsageRecord] = []
    var count = 0
    while reader.next(&decoder, into: &found) != nil { count += 1 }
    check(count == payloads.count, "\(count) records for \(payloads.count)")
    let expected = payloads.compactMap { payload in payload.withUnsafeBytes { RecordCodec.decode($0) } }
    check(found == expected, "a record is another one")
}

/// A payload that is a record is the same record after it was written once more.
private func decodeRecord(_ bytes: [UInt8]) {
    guard let record = bytes.withUnsafeBytes({ RecordCodec.decode($0) }) else { return }
    var target = [UInt8](repeating: 0, count: RecordCodec.sizeMax)
    let count = target.withUnsafeMutableBytes { RecordCodec.encode(record, into: $0) }
    check(count <= RecordCodec.sizeMax, "a record of \(count) bytes")
    guard let again = target[..<count].withUnsafeBytes({ RecordCodec.decode($0) }) else { fatalError("a record cannot be read back") }
    var once = [UInt8](repeating: 0, count: RecordCodec.sizeMax)
    let onceCount = once.withUnsafeMutableBytes { RecordCodec.encode(again, into: $0) }
    check(onceCount == count && once == target, "a record changes with every writing")
}

private func frame(_ payload: [UInt8]) -> [UInt8] {
    var frame: [UInt8] = []
    withUnsafeBytes(of: UInt32(payload.count).littleEndian) { frame += $0 }
    withUnsafeBytes(of: crc32c(payload[...]).littleEndian) { frame += $0 }
    return frame + payload
}

/// Where the sound frames of a file stand, found by the rules of the format alone.
private func frames(_ file: [UInt8]) -> [Range<Int>] {
    func word(_ at: Int) -> UInt32 { (0..<4).reduce(0) { $0 | UInt32(file[at + $1]) << UInt32(8 * $1) } }
    var frames: [Range<Int>] = []
    var at = Int(JournalSegment.headerSize)
    while at + 8 <= file.count {
        let length = Int(word(at))
        guard length > 0, length <= RecordCodec.sizeMax, at + 8 + length <= file.count, crc32c(file[(at + 8)..<(at + 8 + length)]) == word(at + 4)
        else { break }
        frames.append(at..<at + 8 + length)
        at += 8 + length
    }
    return frames
}

/// CRC-32C bit by bit, so that the quick one is checked too.
private func crc32c(_ bytes: ArraySlice<UInt8>) -> UInt32 {
    ~bytes.reduce(UInt32.max) { crc, byte in
        (0..<8).reduce(crc ^ UInt32(byte)) { crc, _ in crc & 1 == 1 ? crc >> 1 ^ 0x82f6_3b78 : crc >> 1 }
    }
}

private func recovered(_ file: [UInt8]) -> JournalSegment? {
    let descriptor = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    guard descriptor >= 0, write(descriptor, file, file.count) == file.count else { fatalError("cannot write \(path)") }
    close(descriptor)
    return try? JournalSegment.recover(directory: folder, name: "segment")
}
