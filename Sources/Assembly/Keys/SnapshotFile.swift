import Contracts
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
    }

    private struct Contents: Codable {
        var version = 1
        var keys: [Entry]
    }

    /// Reads the keys. Throws when there is no file or it is damaged.
    func read() throws -> [KeyRecord] {
        let contents = try JSONDecoder().decode(Contents.self, from: Data(contentsOf: URL(fileURLWithPath: path)))
        return try contents.keys.map { entry in
            guard let bytes = Data(base64Encoded: entry.hash), let hash = KeyHash(bytes: bytes), let rights = Rights(names: entry.rights) else {
                throw CocoaError(.coderReadCorrupt)
            }
            return KeyRecord(
                id: entry.id, name: entry.name, hash: hash, prefix: entry.prefix, lastFour: entry.lastFour, tenant: entry.tenant,
                team: entry.team, agent: entry.agent, user: entry.user, rights: rights, models: entry.models,
                createdAt: WallTime(microseconds: entry.createdAt), expiresAt: entry.expiresAt.map(WallTime.init(microseconds:)),
                revokedAt: entry.revokedAt.map(WallTime.init(microseconds:)))
        }
    }

    /// Puts the keys in place of those before, at once: a crash leaves the one file or the other.
    func write(_ records: [KeyRecord]) throws {
        let entries = records.sorted { $0.id < $1.id }.map { record in
            Entry(
                id: record.id, name: record.name, hash: Data(record.hash.bytes).base64EncodedString(), prefix: record.prefix,
                lastFour: record.lastFour, tenant: record.tenant, team: record.team, agent: record.agent, user: record.user,
                rights: record.rights.names, models: record.models, createdAt: record.createdAt.microseconds,
                expiresAt: record.expiresAt?.microseconds, revokedAt: record.revokedAt?.microseconds)
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
