import Glibc

/// What tells one state of a file from another without reading it; links are followed, and a file that is not there has one, too.
package struct FileFingerprint: Sendable, Equatable {
    private var device: UInt64 = 0
    private var inode: UInt64 = 0
    private var size: Int64 = 0
    private var seconds = 0
    private var nanoseconds = 0
    // A file that gets its permissions has not been written, but can be read at last.
    private var changeSeconds = 0
    private var changeNanoseconds = 0

    /// - Parameter path: `nil` stands for a file that is not there.
    package init(_ path: String?) {
        var found = stat()
        guard let path, stat(path, &found) == 0 else { return }
        device = UInt64(found.st_dev)
        inode = UInt64(found.st_ino)
        size = Int64(found.st_size)
        seconds = Int(found.st_mtim.tv_sec)
        nanoseconds = Int(found.st_mtim.tv_nsec)
        changeSeconds = Int(found.st_ctim.tv_sec)
        changeNanoseconds = Int(found.st_ctim.tv_nsec)
    }
}
