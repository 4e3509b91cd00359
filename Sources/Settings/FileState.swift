import Foundation

/// What a path leads to, links followed.
package struct FileState: Sendable {
    /// Permissions, without the kind of file.
    package let mode: UInt32
    package let isDirectory: Bool
    package let device: UInt64
    package let inode: UInt64

    /// `nil` when nothing is there.
    package init?(_ path: String) {
        var found = stat()
        guard stat(path, &found) == 0 else { return nil }
        mode = UInt32(found.st_mode) & 0o7777
        isDirectory = UInt32(found.st_mode) & 0o170_000 == 0o040_000
        device = UInt64(found.st_dev)
        inode = UInt64(found.st_ino)
    }
}
