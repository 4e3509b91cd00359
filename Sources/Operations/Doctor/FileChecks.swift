import Foundation
package import Settings

/// Looks at what is on disk: permissions, room, and whether it can be written. Changes nothing.
package struct FileChecks: Sendable {
    private let settings: Settings

    package init(_ settings: Settings) {
        self.settings = settings
    }

    /// A write that takes longer to be on the disk than this is felt in every power-loss bound. In seconds.
    private static let slowSyncSeconds = 0.25

    package func run() -> [Finding] {
        [configurationFile()].compactMap { $0 } + secretFiles() + dataDirectory() + journalDirectory()
    }

    // MARK: Configuration and secrets

    private func configurationFile() -> Finding? {
        guard let file = settings.file, let mode = FileState(file)?.mode else { return nil }
        let check = "configuration file"
        let isOpen = mode & 0o044 != 0
        let inline = inlineSecrets()
        if isOpen, !inline.isEmpty {
            return Finding(
                check, .warn, "\(file) holds \(inline.joined(separator: ", ")) and can be read by others (\(octal(mode)))",
                hint: "chmod 600 \(file), or refer to the secrets: env://NAME, file:///PATH")
        }
        if mode & 0o022 != 0 {
            return Finding(check, .warn, "\(file) can be changed by others (\(octal(mode)))", hint: "chmod go-w \(file)")
        }
        return Finding(check, .ok, "\(file) (\(octal(mode)))")
    }

    /// The paths of secrets that stand in the file itself.
    private func inlineSecrets() -> [String] {
        secretPaths().filter { path in
            guard let origin = settings.origins[path], case .file = origin.source else { return false }
            return origin.reference == nil
        }
    }

    private func secretPaths() -> [String] {
        settings.providers.flatMap { provider in
            (provider.apiKey == nil ? [] : ["providers.\(provider.id).api_key"])
                + provider.headers.map { "providers.\(provider.id).headers.\($0.name)" }
        }
    }

    /// Files that hold nothing but a secret: references and private keys.
    private func secretFiles() -> [Finding] {
        let references = secretPaths().compactMap { settings.origins[$0]?.reference }.filter { $0.hasPrefix("file://") }.map { $0.dropFirst(7) }
        let keys = [settings.server.tls?.keyFile].compactMap { $0 } + settings.providers.compactMap(\.clientKeyFile)
        let files = Set(references.map(String.init) + keys).sorted()
        return files.compactMap { file in
            guard let mode = FileState(file)?.mode else { return nil }
            let check = "secret \(file)"
            guard mode & 0o077 & ~0o040 == 0 else {
                return Finding(check, .warn, "can be read by others (\(octal(mode)))", hint: "chmod 600 \(file)")
            }
            return Finding(check, .ok, "private (\(octal(mode)))")
        }
    }

    // MARK: Data

    private func dataDirectory() -> [Finding] {
        let check = "data directory"
        guard let state = FileState(settings.data) else { return [missing(check, settings.data)] }
        guard state.isDirectory else {
            return [Finding(check, .fail, "\(settings.data) is no directory", hint: "remove it, or name another one with data:")]
        }
        guard access(settings.data, R_OK | W_OK | X_OK) == 0 else {
            return [Finding(check, .fail, "\(settings.data) cannot be written by this user", hint: "chown it to the user that runs the gateway")]
        }
        var findings: [Finding] = []
        if state.mode & 0o077 != 0 {
            findings.append(
                Finding(check, .warn, "\(settings.data) is open to others (\(octal(state.mode)))", hint: "chmod 700 \(settings.data)"))
        } else {
            findings.append(Finding(check, .ok, "\(settings.data) (\(octal(state.mode)))"))
        }
        for name in ["martlet.db", "snapshot.json"] {
            let path = "\(settings.data)/\(name)"
            guard let mode = FileState(path)?.mode else { continue }
            guard mode & 0o077 == 0 else {
                findings.append(Finding(name, .warn, "can be read by others (\(octal(mode)))", hint: "chmod 600 \(path)"))
                continue
            }
            findings.append(Finding(name, access(path, R_OK | W_OK) == 0 ? .ok : .fail, "\(path) (\(octal(mode)))"))
        }
        return findings
    }

    /// A directory that the first start makes.
    private func missing(_ check: String, _ path: String) -> Finding {
        var parent = URL(fileURLWithPath: path).deletingLastPathComponent().path
        while FileState(parent) == nil, parent != "/" { parent = URL(fileURLWithPath: parent).deletingLastPathComponent().path }
        guard FileState(parent)?.isDirectory == true, access(parent, W_OK | X_OK) == 0 else {
            return Finding(check, .fail, "\(path) is not there and cannot be made in \(parent)", hint: "make it, owned by the gateway's user")
        }
        return Finding(check, .ok, "\(path) is not there yet; the first start makes it")
    }

    // MARK: Journal

    private func journalDirectory() -> [Finding] {
        let directory = settings.journal.directory
        guard let state = FileState(directory), state.isDirectory else { return [missing("journal directory", directory), room(of: directory)] }
        return [written(directory), room(of: directory)]
    }

    /// Writes to a file without a name, which leaves nothing behind, and waits until it is on the disk.
    private func written(_ directory: String) -> Finding {
        let check = "journal directory"
        // The bits of O_TMPFILE (open(2)), which C spells as a macro that Swift does not import: __O_TMPFILE | O_DIRECTORY.
        let file = open(directory, O_RDWR | O_CLOEXEC | 0o20_000_000 | O_DIRECTORY, 0o600)
        guard file >= 0 else {
            let code = errno
            guard code == EOPNOTSUPP || code == EISDIR || code == ENOENT, access(directory, W_OK | X_OK) == 0 else {
                return Finding(
                    check, .fail, "\(directory) cannot be written: \(String(cString: strerror(code)))",
                    hint: "give the gateway's user a volume that it may write to")
            }
            return Finding(check, .ok, "\(directory) may be written; its file system does not let that be tried without a trace")
        }
        defer { close(file) }
        let began = ContinuousClock.now
        let bytes = [UInt8](repeating: 0, count: 4096)
        guard write(file, bytes, bytes.count) == bytes.count, fsync(file) == 0 else {
            return Finding(check, .fail, "\(directory): \(String(cString: strerror(errno)))", hint: "look at the volume: full, or failing")
        }
        let took = (ContinuousClock.now - began) / .seconds(1)
        let milliseconds = Int((took * 1000).rounded(.up))
        if took > FileChecks.slowSyncSeconds {
            return Finding(
                check, .warn, "\(directory): a write took \(milliseconds) ms to be on the disk",
                hint: "a power loss can cost that much more than journal.sync_interval; use a faster volume")
        }
        return Finding(check, .ok, "\(directory): a write is on the disk in \(milliseconds) ms")
    }

    private func room(of directory: String) -> Finding {
        let check = "disk space"
        var place = URL(fileURLWithPath: directory).path
        while FileState(place) == nil, place != "/" { place = URL(fileURLWithPath: place).deletingLastPathComponent().path }
        var found = statvfs()
        guard statvfs(place, &found) == 0 else { return Finding(check, .fail, "\(place): \(String(cString: strerror(errno)))") }
        let free = Int64(clamping: UInt64(found.f_bavail) * UInt64(found.f_frsize))
        let needed = Int64(settings.journal.freeMinBytes) + Int64(settings.journal.segmentSizeBytes) * 2
        let words = "\(mebibytes(free)) MiB free in \(place)"
        if free < needed {
            return Finding(check, .fail, "\(words); new calls are refused", hint: "free some, or lower journal.min_free")
        }
        if free < Int64(settings.journal.sizeMaxBytes) {
            return Finding(
                check, .warn,
                "\(words), less than the journal may take while the store is away, \(mebibytes(Int64(settings.journal.sizeMaxBytes))) MiB",
                hint: "free some, or lower journal.max_size")
        }
        return Finding(check, .ok, words)
    }

    private func mebibytes(_ bytes: Int64) -> Int64 { bytes >> 20 }
}

/// Permissions as people write them.
private func octal(_ mode: UInt32) -> String {
    let digits = String(mode & 0o777, radix: 8)
    return String(repeating: "0", count: 4 - min(4, digits.count)) + digits
}
