internal import Files
package import Settings
import Vocabulary

/// Where a gateway's configuration comes from, each time that it is read: the same file, with variables and flags over it.
package struct ConfigurationSource: Sendable {
    /// The file that is read and watched; it need not be there. `nil` where there is none to look for.
    package let file: String?
    /// Of the file when this was made, which is before it is read for the first time.
    let firstContentHash: Int
    private let read: @Sendable () throws(SettingsError) -> Settings

    /// To be made before the first reading, so that no change between that and the watch goes unseen. Blocks on the disk.
    ///
    /// - Parameters:
    ///   - file: where the file is, or might appear.
    ///   - read: reads that file, variables and flags. Blocks on the disk.
    package init(file: String?, read: @escaping @Sendable () throws(SettingsError) -> Settings) {
        self.file = file
        self.read = read
        firstContentHash = file.map(ConfigurationSource.contentHash(of:)) ?? 0
    }

    /// Reads the configuration for the first time.
    package func loadNow() throws(SettingsError) -> Settings { try read() }

    /// Reads the configuration, off the threads that everything else runs on. Like the looks below, it ends when its task is cancelled,
    /// whatever the disk does.
    func load() async throws(SettingsError) -> Settings {
        let read = read
        guard let result = await offPoolUntilCancelled({ Result { () throws(SettingsError) in try read() } }) else { throw .shuttingDown(file) }
        return try result.get()
    }

    /// Which file stands there now, links followed: another one when it was written, replaced by a rename, or reached by a link that was moved.
    func fingerprint() async -> FileFingerprint {
        guard let file else { return FileFingerprint(nil) }
        return await offPoolUntilCancelled { FileFingerprint(file) } ?? FileFingerprint(nil)
    }

    /// A digest of what the file says; the same for every file that is not there.
    func contentHash() async -> Int {
        guard let file else { return 0 }
        return await offPoolUntilCancelled { ConfigurationSource.contentHash(of: file) } ?? 0
    }

    private static func contentHash(of file: String) -> Int {
        // No configuration is as large.
        guard let bytes = try? PlainFile.read(file, upTo: 16 << 20) else { return 0 }
        var hasher = Hasher()
        bytes.withUnsafeBytes { hasher.combine(bytes: $0) }
        return hasher.finalize()
    }
}

extension SettingsError {
    /// The gateway ends before a configuration was read.
    static func shuttingDown(_ file: String?) -> SettingsError {
        SettingsError(problems: [.init(file: file, path: "", reason: "the gateway is shutting down")])
    }
}
