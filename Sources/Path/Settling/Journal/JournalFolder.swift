import Glibc

func hexadecimal(_ number: UInt64, _ width: Int) -> String {
    let text = String(number, radix: 16)
    return String(repeating: "0", count: max(0, width - text.utf8.count)) + text
}

/// Makes the folder and those above it, for our eyes only.
func makeDirectory(_ path: String) throws(JournalError) {
    var at = path.startIndex
    while at < path.endIndex {
        let slash = path[path.index(after: at)...].firstIndex(of: "/") ?? path.endIndex
        let part = String(path[..<slash])
        if mkdir(part, 0o700) != 0, errno != EEXIST { throw .io("cannot create \(part): \(describe(errno))") }
        at = slash
    }
}

/// The segments in a folder, oldest first in each loop.
func segmentNames(in directory: String) -> [String] {
    guard let handle = opendir(directory) else { return [] }
    defer { closedir(handle) }
    var names: [String] = []
    while let entry = readdir(handle) {
        let name = withUnsafeBytes(of: entry.pointee.d_name) { bytes in
            String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
        if name.hasSuffix(".seg") { names.append(name) }
    }
    return names.sorted()
}

/// The name of this replica, made at its first start and kept beside the segments.
func replicaName(in directory: String) throws(JournalError) -> String {
    let path = directory + "/replica"
    var bytes = [UInt8](repeating: 0, count: 64)
    let existing = open(path, O_RDONLY | O_CLOEXEC)
    if existing >= 0 {
        let count = read(existing, &bytes, bytes.count)
        close(existing)
        if count >= 16 { return String(decoding: bytes[..<16], as: UTF8.self) }
    }
    let name = hexadecimal(UInt64.random(in: 1...UInt64.max), 16)
    // Written beside and moved into place, so that a crash leaves the old name or the new one.
    let draft = path + ".new"
    let fresh = open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    guard fresh >= 0 else { throw .io("cannot create \(draft): \(describe(errno))") }
    let isWritten = write(fresh, Array(name.utf8), 16) == 16 && fsync(fresh) == 0
    close(fresh)
    guard isWritten, rename(draft, path) == 0 else { throw .io("cannot write \(path): \(describe(errno))") }
    return name
}
