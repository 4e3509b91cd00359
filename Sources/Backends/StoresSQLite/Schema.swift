import Contracts
import GRDB

/// The tables, as numbered steps that can be taken forward and back.
package enum Schema {
    /// The version that this build writes and reads.
    package static var currentVersion: Int { steps.count }

    /// The version of the tables in a file; 0 for an empty one.
    static func version(_ database: Database) throws -> Int {
        try Int.fetchOne(database, sql: "PRAGMA user_version") ?? 0
    }

    /// Takes the steps between what the file has and `target`.
    ///
    /// Each step is a transaction that looks at the version again, so that processes which start together do not take one twice.
    static func migrate(_ database: Database, to target: Int) throws {
        guard (0...currentVersion).contains(target) else {
            throw StoreError.corrupt("there is no version \(target); this build knows 0 to \(currentVersion)")
        }
        var isThere = false
        while !isThere {
            try database.inTransaction(.immediate) {
                let version = try version(database)
                guard (0...currentVersion).contains(version) else {
                    throw StoreError.corrupt("the tables are of version \(version); this build knows 0 to \(currentVersion)")
                }
                if version < target {
                    try database.execute(sql: steps[version].forward)
                    try database.execute(sql: "PRAGMA user_version = \(version + 1)")
                } else if version > target {
                    try database.execute(sql: steps[version - 1].back)
                    try database.execute(sql: "PRAGMA user_version = \(version - 1)")
                } else {
                    isThere = true
                }
                return .commit
            }
        }
    }

    /// The step at index n leads from version n to n + 1. A step that was released is never changed.
    private static let steps: [(forward: String, back: String)] = [
        (forward: keys, back: "DROP TABLE api_keys; DROP TABLE changes;"),
        (
            forward: usage,
            back: ["usage", "usage_dimensions", "usage_spans", "usage_minutes", "usage_positions"].map { "DROP TABLE \($0);" }.joined()
        ),
        (
            // Going back forgets the secrets that are in their grace: they end at once.
            forward: rotation,
            back: "DROP INDEX api_keys_previous_hash;"
                + ["previous_hash", "previous_expires_at", "rotated_at"].map { "ALTER TABLE api_keys DROP COLUMN \($0);" }.joined()
        ),
    ]

    private static let rotation = """
        ALTER TABLE api_keys ADD COLUMN previous_hash BLOB;
        ALTER TABLE api_keys ADD COLUMN previous_expires_at INTEGER;
        ALTER TABLE api_keys ADD COLUMN rotated_at INTEGER;
        CREATE UNIQUE INDEX api_keys_previous_hash ON api_keys (previous_hash) WHERE previous_hash IS NOT NULL;
        """

    /// Triggers count the changes, so that changes by other programs are seen too and usage does not drown them.
    private static let keys = """
        CREATE TABLE api_keys (
            number INTEGER PRIMARY KEY,
            id TEXT NOT NULL UNIQUE,
            name TEXT NOT NULL,
            hash BLOB NOT NULL UNIQUE,
            prefix TEXT NOT NULL,
            last_four TEXT NOT NULL,
            tenant TEXT NOT NULL,
            team TEXT NOT NULL,
            agent TEXT NOT NULL,
            user TEXT NOT NULL,
            rights INTEGER NOT NULL,
            models TEXT NOT NULL,
            created_at INTEGER NOT NULL,
            expires_at INTEGER,
            revoked_at INTEGER
        ) STRICT;
        CREATE TABLE changes (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
        INSERT INTO changes VALUES ('api_keys', 0);
        CREATE TRIGGER api_keys_inserted AFTER INSERT ON api_keys BEGIN
            UPDATE changes SET value = value + 1 WHERE name = 'api_keys';
        END;
        CREATE TRIGGER api_keys_updated AFTER UPDATE ON api_keys BEGIN
            UPDATE changes SET value = value + 1 WHERE name = 'api_keys';
        END;
        CREATE TRIGGER api_keys_deleted AFTER DELETE ON api_keys BEGIN
            UPDATE changes SET value = value + 1 WHERE name = 'api_keys';
        END;
        """

    /// What many rows have in common stands once, in `usage_dimensions`: a row names it by a number, and a reader first finds the few dimensions
    /// that match and then their rows. Dimensions are never changed nor deleted.
    ///
    /// `usage_spans` tells in which spans of 256 row numbers a dimension has rows: an index with an entry a row would cost far more to write
    /// than a span does to read. `number` is given in the order of insertion, so newest rows have the greatest.
    ///
    /// A model that was never served is the client's own invention and stands with its row, lest a client fill the dimensions; so do the texts
    /// that clients say of themselves. These are NULL when there are none, and `count` is NULL for a call and not for an aggregate. No index
    /// guards the identity of records: they come exactly once because how far the journal is applied is part of the same transaction.
    ///
    /// `usage_minutes` turns a range of time into a range of numbers: which rows the calls that started in a minute lie between.
    private static let usage = """
        CREATE TABLE usage_dimensions (
            id INTEGER PRIMARY KEY,
            tenant TEXT NOT NULL,
            team TEXT NOT NULL,
            agent TEXT NOT NULL,
            user TEXT NOT NULL,
            key_id TEXT NOT NULL,
            endpoint INTEGER NOT NULL,
            is_stream INTEGER NOT NULL,
            requested_model TEXT NOT NULL,
            served_model TEXT NOT NULL,
            provider TEXT NOT NULL,
            deployment TEXT NOT NULL,
            price_version TEXT NOT NULL,
            price_is_known INTEGER NOT NULL,
            outcome INTEGER NOT NULL,
            status INTEGER NOT NULL,
            error_code TEXT NOT NULL,
            fallback_reason TEXT NOT NULL,
            UNIQUE (key_id, served_model, requested_model, status, outcome, endpoint, is_stream, error_code, provider, deployment,
                price_version, price_is_known, fallback_reason, tenant, team, agent, user)
        ) STRICT;
        CREATE TABLE usage (
            number INTEGER PRIMARY KEY,
            dimension INTEGER NOT NULL,
            started_at INTEGER NOT NULL,
            request_id TEXT NOT NULL,
            record_id BLOB NOT NULL,
            input_tokens INTEGER NOT NULL,
            cached_input_tokens INTEGER NOT NULL,
            output_tokens INTEGER NOT NULL,
            reasoning_tokens INTEGER NOT NULL,
            is_estimate INTEGER NOT NULL,
            cost_nanodollars INTEGER NOT NULL,
            latency_microseconds INTEGER NOT NULL,
            first_byte_microseconds INTEGER NOT NULL,
            overhead_microseconds INTEGER NOT NULL,
            attempts INTEGER NOT NULL,
            prompt_bytes INTEGER NOT NULL,
            client_address TEXT NOT NULL,
            unserved_model TEXT,
            end_user TEXT,
            session TEXT,
            tags TEXT,
            count INTEGER
        ) STRICT;
        CREATE UNIQUE INDEX usage_aggregate ON usage (started_at, dimension, client_address) WHERE count IS NOT NULL;
        CREATE INDEX usage_request_id ON usage (request_id);
        CREATE INDEX usage_unserved_model ON usage (unserved_model) WHERE unserved_model IS NOT NULL;
        CREATE TABLE usage_spans (
            dimension INTEGER NOT NULL,
            span INTEGER NOT NULL,
            PRIMARY KEY (dimension, span)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE usage_minutes (
            minute INTEGER PRIMARY KEY,
            first_number INTEGER NOT NULL,
            last_number INTEGER NOT NULL
        ) STRICT;
        CREATE TABLE usage_positions (
            replica TEXT NOT NULL,
            segment TEXT NOT NULL,
            offset INTEGER NOT NULL,
            PRIMARY KEY (replica, segment)
        ) STRICT, WITHOUT ROWID;
        """
}
