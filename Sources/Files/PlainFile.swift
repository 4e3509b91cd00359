import Glibc

/// Reads a file that an operator names: a regular one only, never more than a bound, and without waiting for whoever might write to it.
///
/// A pipe with nobody at its other end blocks who opens it for ever, and a device may have no end: neither is read, and both are named for
/// what they are. A share that hangs can still block.
package enum PlainFile {
    /// - Parameter countMax: no more than this is read; a caller that refuses larger files asks for one byte more than it takes.
    package static func read(_ path: String, upTo countMax: Int) throws(FileReadError) -> [UInt8] {
        // Before it is opened, too: opening a device can do something, and a socket cannot be opened at all.
        var found = stat()
        guard stat(path, &found) == 0 else { throw FileReadError(code: errno) }
        try check(found)
        let file = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)
        guard file >= 0 else { throw FileReadError(code: errno) }
        defer { close(file) }
        guard fstat(file, &found) == 0 else { throw FileReadError(code: errno) }
        try check(found)
        var bytes: [UInt8] = []
        var part = [UInt8](repeating: 0, count: min(countMax, partBytes))
        while bytes.count < countMax {
            let wanted = min(part.count, countMax - bytes.count)
            let got = part.withUnsafeMutableBytes { Glibc.read(file, $0.baseAddress, wanted) }
            if got < 0, errno == EINTR { continue }
            guard got >= 0 else { throw FileReadError(code: errno) }
            if got == 0 { break }
            bytes += part[..<got]
        }
        return bytes
    }

    private static let partBytes = 64 << 10

    private static func check(_ found: stat) throws(FileReadError) {
        switch found.st_mode & S_IFMT {
        case S_IFREG: return
        case S_IFDIR: throw FileReadError(kind: "a directory")
        case S_IFIFO: throw FileReadError(kind: "a pipe")
        case S_IFSOCK: throw FileReadError(kind: "a socket")
        case S_IFCHR, S_IFBLK: throw FileReadError(kind: "a device")
        default: throw FileReadError(kind: "something else")
        }
    }
}

/// Why a file was not read.
package struct FileReadError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What is there instead of a file, as `a pipe`; `nil` when that is not why.
    package let kind: String?
    private let code: CInt

    init(kind: String) {
        self.kind = kind
        code = 0
    }

    init(code: CInt) {
        kind = nil
        self.code = code
    }

    /// Whether nothing is there.
    package var isMissing: Bool { code == ENOENT || code == ENOTDIR }

    /// Whether this user may not read it.
    package var isForbidden: Bool { code == EACCES || code == EPERM }

    /// The rest of a sentence that begins with the file: `is a pipe, not a file`, `cannot be read: Permission denied`.
    package var description: String {
        kind.map { "is \($0), not a file" } ?? "cannot be read: \(String(cString: strerror(code)))"
    }
}
