import Contracts
internal import Files
import Foundation
import Vocabulary

/// The last good keys on disk, readable by the owner only, so that a restart without a store still knows its callers.
struct SnapshotFile: Sendable {
    let path: String

    private struct Entry: Codable {
        var id, name, hash, prefix, lastFour, tenant, team, agent, user: String
        var rights: [String]
        var models: [String]
        var createdAt: Int64
        var expiresAt: Int64?
        var revokedAt: Int64?
        // Since version 2; absent in files of version 1.
        var previousHash: String?
        var previousExpiresAt: Int64?
        var rotatedAt: Int64?
    }

    private struct Contents: Codable {
        var version = SnapshotFile.version
        var keys: [Entry]
    }

    private static let version = 2
    /// Hundreds of bytes a key: more than a million of them.
    private static let fileMaxBytes = 1 << 30

    /// Reads the keys. Throws when there is no file, or it is damaged or of a later version.
    func read() throws -> [KeyRecord] {
        let contents = try JSONDecoder().decode(Contents.self, from: Data(PlainFile.read(path, upTo: SnapshotFile.fileMaxBytes)))
        guard (1...SnapshotFile.version).contains(contents.version) else { throw CocoaError(.coderReadCorrupt) }
        return try contents.keys.map { entry in
            guard let hash = keyHash(entry.hash), let rights = Rights(names: entry.rights) else { throw CocoaError(.coderReadCorrupt) }
            let previousHash = entry.previousHash.flatMap(keyHash)
            guard (previousHash == nil) == (entry.previousHash == nil) else { throw CocoaError(.coderReadCorrupt) }
            return KeyRecord(
                id: entry.id, name: entry.name, hash: hash, prefix: entry.prefix, lastFour: entry.lastFour, tenant: entry.tenant,
                team: entry.team, agent: entry.agent, user: entry.user, rights: rights, models: entry.models,
                createdAt: WallTime(microseconds: entry.createdAt), expiresAt: entry.expiresAt.map(WallTime.init(microseconds:)),
                revokedAt: entry.revokedAt.map(WallTime.init(microseconds:)), previousHash: previousHash,
                previousExpiresAt: entry.previousExpiresAt.map(WallTime.init(microseconds:)),
                rotatedAt: entry.rotatedAt.map(WallTime.init(microseconds:)))
        }
    }

    private func keyHash(_ text: String) -> KeyHash? { Data(base64Encoded: text).flatMap { KeyHash(bytes: $0) } }

    private func base64(_ hash: KeyHash) -> String { Data(hash.bytes).base64EncodedString() }

    /// Puts the keys in place of those before, at once: a crash leaves the one file or the other.
    func write(_ records: [KeyRecord]) throws {
        let entries = records.sorted { $0.id < $1.id }.map { record in
            Entry(
                id: record.id, name: record.name, hash: base64(record.hash), prefix: record.prefix,
                lastFour: record.lastFour, tenant: record.tenant, team: record.team, agent: record.agent, user: record.user,
                rights: record.rights.names, models: record.models, createdAt: record.createdAt.microseconds,
                expiresAt: record.expiresAt?.microseconds, revokedAt: record.revokedAt?.microseconds,
                previousHash: record.previousHash.map(base64), previousExpiresAt: record.previousExpiresAt?.microseconds,
                rotatedAt: record.rotatedAt?.microseconds)
        }
        let data = try JSONEncoder().encode(Contents(keys: entries))
        let draft = path + ".new"
        let descriptor = open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO) }
        let handle = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
        try handle.write(contentsOf: data)
        try handle.synchronize()
        guard rename(draft, path) == 0 else { throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO) }
    }
}
