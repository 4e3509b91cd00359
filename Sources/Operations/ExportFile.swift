import Foundation
package import NIOCore

/// A file that only takes its name once it is whole, so that a broken export never looks like a finished one.
package struct ExportFile {
    private let path: String
    private let temporaryPath: String
    private let handle: FileHandle

    /// - Throws: when the file cannot be made; nothing is left behind then.
    package init(path: String) throws(ManagementError) {
        self.path = path
        temporaryPath = path + ".part"
        // Usage tells who asks what; others on this machine have no business in it.
        guard FileManager.default.createFile(atPath: temporaryPath, contents: nil, attributes: [.posixPermissions: 0o600]),
            let handle = FileHandle(forWritingAtPath: temporaryPath)
        else { throw .output("\(temporaryPath) cannot be created") }
        self.handle = handle
    }

    package func write(_ bytes: ByteBuffer) throws {
        try handle.write(contentsOf: Data(bytes.readableBytesView))
    }

    /// Takes the unfinished file away.
    package func discard() {
        try? handle.close()
        try? FileManager.default.removeItem(atPath: temporaryPath)
    }

    /// Gives the file its name.
    package func finish() throws(ManagementError) {
        do {
            try handle.synchronize()
            try handle.close()
            guard rename(temporaryPath, path) == 0 else { throw CocoaError(.fileWriteUnknown) }
        } catch {
            throw .output("\(path) cannot be written: \(error)")
        }
    }
}
