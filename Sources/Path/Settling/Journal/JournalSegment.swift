internal import CScan
import Glibc
import Synchronization

/// One file of the journal: a header, then records, then the zeros that were set aside for more.
///
/// ```
/// 0   magic "MARTLET1"      8 bytes
/// 8   boot                  8      which start of the process wrote it
/// 16  loop                  8
/// 24  reserved             40
/// 64  record: length u32, CRC-32C u32, payload; a length of zero ends the segment
/// ```
///
/// One loop appends; the keeper syncs and closes; the shipper reads what `written` covers.
final class JournalSegment: Sendable {
    static let magic: [UInt8] = Array("MARTLET1".utf8)
    static let headerSize: Int64 = 64
    static let frameSize = 8

    let name: String
    let path: String
    let size: Int64
    private let descriptor: Int32
    /// The end of the last whole record, in bytes from the start.
    private let writtenEnd: Atomic<Int64>
    private let syncedEnd: Atomic<Int64>
    private let sealed: Atomic<Bool>

    private init(name: String, path: String, size: Int64, descriptor: Int32, written: Int64, isSealed: Bool) {
        self.name = name
        self.path = path
        self.size = size
        self.descriptor = descriptor
        writtenEnd = Atomic(written)
        syncedEnd = Atomic(written)
        sealed = Atomic(isSealed)
    }

    deinit { close(descriptor) }

    var written: Int64 { writtenEnd.load(ordering: .acquiring) }
    /// Whether nothing more will be appended.
    var isSealed: Bool { sealed.load(ordering: .acquiring) }
    func seal() { sealed.store(true, ordering: .releasing) }
    /// The bytes that may still be appended.
    var free: Int64 { size - written }

    /// Makes a segment with all of its space set aside, so that a full volume is found out here and not by a record.
    static func create(directory: String, name: String, boot: UInt64, loop: Int, size: Int64) throws(JournalError) -> JournalSegment {
        let path = directory + "/" + name
        let descriptor = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw .io("cannot create \(path): \(describe(errno))") }
        let failure = posix_fallocate(descriptor, 0, off_t(size))
        guard failure == 0 else {
            close(descriptor)
            unlink(path)
            throw .io("cannot set \(size) bytes aside for \(path): \(describe(failure))")
        }
        var header = magic
        withUnsafeBytes(of: boot.littleEndian) { header.append(contentsOf: $0) }
        withUnsafeBytes(of: UInt64(loop).littleEndian) { header.append(contentsOf: $0) }
        header += [UInt8](repeating: 0, count: Int(headerSize) - header.count)
        guard pwrite(descriptor, header, header.count, 0) == header.count else {
            let reason = describe(errno)
            close(descriptor)
            unlink(path)
            throw .io("cannot write \(path): \(reason)")
        }
        return JournalSegment(name: name, path: path, size: size, descriptor: descriptor, written: headerSize, isSealed: false)
    }

    /// Opens a segment that an earlier start of the process has left, and finds the end of its last whole record.
    static func recover(directory: String, name: String) throws(JournalError) -> JournalSegment {
        let path = directory + "/" + name
        let descriptor = open(path, O_RDWR | O_CLOEXEC)
        guard descriptor >= 0 else { throw .io("cannot open \(path): \(describe(errno))") }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else {
            let reason = describe(errno)
            close(descriptor)
            throw .io("cannot look at \(path): \(reason)")
        }
        let size = Int64(status.st_size)
        var header = [UInt8](repeating: 0, count: Int(headerSize))
        let count = pread(descriptor, &header, header.count, 0)
        guard count == header.count, header.starts(with: magic) else {
            close(descriptor)
            throw .notASegment(path)
        }
        let segment = JournalSegment(name: name, path: path, size: size, descriptor: descriptor, written: headerSize, isSealed: true)
        var end = headerSize
        var scanner = JournalReader(segment: segment, from: headerSize, upTo: size)
        while let frame = scanner.next() { end = frame.end }
        segment.writtenEnd.store(end, ordering: .releasing)
        return segment
    }

    /// Whether anything but the zeros that were set aside stands behind the last whole record: a torn record, or damage with more behind it.
    var hasUnreadTail: Bool {
        var buffer = [UInt8](repeating: 0, count: 64 * 1024)
        var offset = written
        while offset < size {
            let count = buffer.withUnsafeMutableBytes { read(into: $0, at: offset) }
            if count == 0 { return false }
            if buffer[..<count].contains(where: { $0 != 0 }) { return true }
            offset += Int64(count)
        }
        return false
    }

    /// Appends one framed record. Only the owning loop calls this.
    func append(_ frame: UnsafeRawBufferPointer) throws(JournalError) {
        let offset = written
        guard offset + Int64(frame.count) <= size else { throw .io("segment \(name) is full") }
        var done = 0
        while done < frame.count {
            let count = pwrite(descriptor, frame.baseAddress.map { $0 + done }, frame.count - done, off_t(offset) + off_t(done))
            if count < 0 {
                if errno == EINTR { continue }
                throw .io("cannot write \(path): \(describe(errno))")
            }
            done += count
        }
        writtenEnd.store(offset + Int64(frame.count), ordering: .releasing)
    }

    /// Reads bytes; fewer than asked for only at the end of the file.
    func read(into target: UnsafeMutableRawBufferPointer, at offset: Int64) -> Int {
        var done = 0
        while done < target.count {
            let count = pread(descriptor, target.baseAddress.map { $0 + done }, target.count - done, off_t(offset) + off_t(done))
            if count < 0, errno == EINTR { continue }
            if count <= 0 { break }
            done += count
        }
        return done
    }

    /// Brings what has been appended to the disk.
    func sync() throws(JournalError) {
        let target = written
        guard syncedEnd.load(ordering: .relaxed) < target else { return }
        guard fdatasync(descriptor) == 0 else { throw .io("cannot sync \(path): \(describe(errno))") }
        syncedEnd.store(target, ordering: .relaxed)
    }

    func delete() { unlink(path) }
}

/// What can go wrong with the journal, in words for an operator.
package enum JournalError: Error, Sendable, Hashable, CustomStringConvertible {
    /// A file could not be made, written, read or synced.
    case io(String)
    /// A file in the journal's folder is none of ours.
    case notASegment(String)
    /// Another process uses the folder.
    case inUse(String)

    package var description: String {
        switch self {
        case .io(let reason): reason
        case .notASegment(let path): "\(path) is not a journal segment"
        case .inUse(let path): "the journal in \(path) is in use by another process; every instance needs a data directory of its own"
        }
    }
}

func describe(_ code: Int32) -> String {
    String(cString: strerror(code))
}
