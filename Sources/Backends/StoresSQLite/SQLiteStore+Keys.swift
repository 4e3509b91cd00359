package import Contracts
import Foundation
import GRDB
package import Vocabulary

extension SQLiteStore: KeyStore {
    package func insert(_ key: KeyRecord) async throws(StoreError) {
        try await write { database in
            let statement = try RawStatement(
                "INSERT INTO api_keys (\(keyColumns)) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", on: database)
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
            for (index, time) in [(Int32(13), key.expiresAt), (14, key.revokedAt)] {
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
            let find = try RawStatement("SELECT \(keyColumns) FROM api_keys WHERE id = ?", on: database)
            try find.bind(id, at: 1)
            return try find.rows(key).first
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
    id, name, hash, prefix, last_four, tenant, team, agent, user, rights, models, created_at, expires_at, revoked_at
    """

/// Reads a row of ``keyColumns``.
private func key(_ row: RawStatement) throws -> KeyRecord {
    let id = row.text(0)
    guard let hash = KeyHash(bytes: row.blob(2)) else { throw StoreError.corrupt("the hash of the key \(id) is not 32 bytes") }
    guard let rights = UInt8(exactly: row.integer(9)) else { throw StoreError.corrupt("the rights of the key \(id) are not readable") }
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
        revokedAt: row.optionalInteger(13).map(WallTime.init(microseconds:)))
}
