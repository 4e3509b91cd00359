package import Contracts
import Foundation
import GRDB
package import Vocabulary

extension SQLiteStore: KeyStore {
    package func insert(_ key: KeyRecord) async throws(StoreError) {
        try await write { database in
            let statement = try RawStatement(
                "INSERT INTO api_keys (\(keyColumns)) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", on: database)
            try statement.bind(key.id, at: 1)
            try statement.bind(key.name, at: 2)
            try statement.bind(key.hash.bytes, at: 3)
            try statement.bind(key.prefix, at: 4)
            try statement.bind(key.lastFour, at: 5)
            try statement.bind(key.tenant, at: 6)
            try statement.bind(key.team, at: 7)
            try statement.bind(key.agent, at: 8)
            try statement.bind(key.user, at: 9)
            try statement.bind(Int64(key.rights.rawValue), at: 10)
            try statement.bind(String(decoding: try JSONEncoder().encode(key.models), as: UTF8.self), at: 11)
            try statement.bind(key.createdAt.microseconds, at: 12)
            if let hash = key.previousHash { try statement.bind(hash.bytes, at: 15) } else { try statement.bindNull(at: 15) }
            for (index, time) in [(Int32(13), key.expiresAt), (14, key.revokedAt), (16, key.previousExpiresAt), (17, key.rotatedAt)] {
                if let time { try statement.bind(time.microseconds, at: index) } else { try statement.bindNull(at: index) }
            }
            try statement.run()
        }
    }

    package func keys() async throws(StoreError) -> [KeyRecord] {
        try await read { database in
            try RawStatement("SELECT \(keyColumns) FROM api_keys ORDER BY created_at, number", on: database).rows(key)
        }
    }

    package func revoke(id: String, at time: WallTime) async throws(StoreError) -> KeyRecord? {
        try await write { database in
            let update = try RawStatement("UPDATE api_keys SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL", on: database)
            try update.bind(time.microseconds, at: 1)
            try update.bind(id, at: 2)
            try update.run()
            return try find(id, database)
        }
    }

    package func rotate(id: String, to secret: KeySecret, graceEnd: WallTime?, at time: WallTime) async throws(StoreError) -> KeyRecord? {
        try await write { database in
            let update = try RawStatement(
                """
                UPDATE api_keys SET previous_hash = CASE WHEN ?1 IS NULL THEN NULL ELSE hash END, previous_expires_at = ?1, rotated_at = ?2,
                hash = ?3, prefix = ?4, last_four = ?5 WHERE id = ?6 AND revoked_at IS NULL
                """, on: database)
            if let graceEnd { try update.bind(graceEnd.microseconds, at: 1) } else { try update.bindNull(at: 1) }
            try update.bind(time.microseconds, at: 2)
            try update.bind(secret.hash.bytes, at: 3)
            try update.bind(secret.prefix, at: 4)
            try update.bind(secret.lastFour, at: 5)
            try update.bind(id, at: 6)
            try update.run()
            return try find(id, database)
        }
    }

    /// Counts the changes of keys by anyone; usage does not move it.
    package func changeCounter() async throws(StoreError) -> Int64 {
        try await read { database in
            let found = try RawStatement("SELECT value FROM changes WHERE name = 'api_keys'", on: database).rows { $0.integer(0) }
            guard let value = found.first else { throw StoreError.corrupt("the count of key changes is gone") }
            return value
        }
    }
}

private let keyColumns = """
    id, name, hash, prefix, last_four, tenant, team, agent, user, rights, models, created_at, expires_at, revoked_at,
    previous_hash, previous_expires_at, rotated_at
    """

private func find(_ id: String, _ database: Database) throws -> KeyRecord? {
    let find = try RawStatement("SELECT \(keyColumns) FROM api_keys WHERE id = ?", on: database)
    try find.bind(id, at: 1)
    return try find.rows(key).first
}

/// Reads a row of ``keyColumns``.
private func key(_ row: RawStatement) throws -> KeyRecord {
    let id = row.text(0)
    guard let hash = KeyHash(bytes: row.blob(2)) else { throw StoreError.corrupt("the hash of the key \(id) is not 32 bytes") }
    guard let rights = UInt8(exactly: row.integer(9)) else { throw StoreError.corrupt("the rights of the key \(id) are not readable") }
    let hasPrevious = row.optionalInteger(14) != nil
    let previousHash = hasPrevious ? KeyHash(bytes: row.blob(14)) : nil
    guard hasPrevious == (previousHash != nil) else { throw StoreError.corrupt("the former hash of the key \(id) is not 32 bytes") }
    let models: [String]
    do {
        models = try JSONDecoder().decode([String].self, from: Data(row.text(10).utf8))
    } catch {
        throw StoreError.corrupt("the models of the key \(id) are not readable")
    }
    return KeyRecord(
        id: id, name: row.text(1), hash: hash, prefix: row.text(3), lastFour: row.text(4), tenant: row.text(5), team: row.text(6),
        agent: row.text(7), user: row.text(8), rights: Rights(rawValue: rights), models: models,
        createdAt: WallTime(microseconds: row.integer(11)), expiresAt: row.optionalInteger(12).map(WallTime.init(microseconds:)),
        revokedAt: row.optionalInteger(13).map(WallTime.init(microseconds:)), previousHash: previousHash,
        previousExpiresAt: row.optionalInteger(15).map(WallTime.init(microseconds:)),
        rotatedAt: row.optionalInteger(16).map(WallTime.init(microseconds:)))
}
