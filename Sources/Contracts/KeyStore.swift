package import Vocabulary

/// An API key as the store keeps it: everything but the key.
package struct KeyRecord: Sendable, Hashable {
    /// `key_` and random letters; stable for the life of the key.
    package var id: String
    package var name: String
    package var hash: KeyHash
    /// The first seven characters of the key, to tell keys apart.
    package var prefix: String
    /// The last four characters of the key.
    package var lastFour: String
    /// Of the secret before the last rotation; `nil` where none was left a grace.
    package var previousHash: KeyHash?
    /// When the secret before the last rotation ends or has ended; there with `previousHash`.
    package var previousExpiresAt: WallTime?
    /// When the secret was last replaced.
    package var rotatedAt: WallTime?
    package var tenant: String
    package var team: String
    package var agent: String
    package var user: String
    package var rights: Rights
    /// Model patterns; empty means all models.
    package var models: [String]
    package var createdAt: WallTime
    package var expiresAt: WallTime?
    package var revokedAt: WallTime?

    package init(
        id: String, name: String, hash: KeyHash, prefix: String, lastFour: String, tenant: String, team: String, agent: String,
        user: String, rights: Rights, models: [String], createdAt: WallTime, expiresAt: WallTime?, revokedAt: WallTime? = nil,
        previousHash: KeyHash? = nil, previousExpiresAt: WallTime? = nil, rotatedAt: WallTime? = nil
    ) {
        self.id = id
        self.name = name
        self.hash = hash
        self.prefix = prefix
        self.lastFour = lastFour
        self.tenant = tenant
        self.team = team
        self.agent = agent
        self.user = user
        self.rights = rights
        self.models = models
        self.createdAt = createdAt
        self.expiresAt = expiresAt
        self.revokedAt = revokedAt
        self.previousHash = previousHash
        self.previousExpiresAt = previousExpiresAt
        self.rotatedAt = rotatedAt
    }

    /// The caller that this key makes.
    package var principal: Principal { principal(until: expiresAt) }

    /// Everything that makes this caller now: the secret in force, and the one before it, which ends with its grace. Nothing for a revoked key.
    package var credentials: [(hash: KeyHash, principal: Principal)] {
        guard revokedAt == nil else { return [] }
        var credentials = [(hash, principal)]
        if let previousHash, let previousExpiresAt {
            credentials.append((previousHash, principal(until: [previousExpiresAt, expiresAt].compactMap { $0 }.min())))
        }
        return credentials
    }

    private func principal(until end: WallTime?) -> Principal {
        Principal(
            keyID: id, keyName: name, tenant: tenant, team: team, agent: agent, user: user, rights: rights, models: models.map { Glob($0) },
            expiresAt: end)
    }
}

/// The new secret of a key, as the store keeps it.
package struct KeySecret: Sendable, Hashable {
    package var hash: KeyHash
    /// The first seven characters of the secret.
    package var prefix: String
    /// Its last four.
    package var lastFour: String

    package init(hash: KeyHash, prefix: String, lastFour: String) {
        self.hash = hash
        self.prefix = prefix
        self.lastFour = lastFour
    }
}

/// What can go wrong in a store, as far as its callers act on it.
package enum StoreError: Error, Sendable, Hashable {
    /// The store is locked, gone or full; the same call may work later.
    case unavailable(String)
    /// A record of that identity exists already.
    case duplicate(String)
    /// The store holds something that this version cannot read.
    case corrupt(String)
}

/// Where API keys live.
package protocol KeyStore: Sendable {
    /// Adds a key. Throws `duplicate` when its id or its hash is there already.
    func insert(_ key: KeyRecord) async throws(StoreError)
    /// Every key, revoked ones included, oldest first.
    func keys() async throws(StoreError) -> [KeyRecord]
    /// Marks a key as revoked; a key that already is stays as it was.
    ///
    /// - Returns: the key as it now stands, or `nil` when there is none of that id.
    func revoke(id: String, at time: WallTime) async throws(StoreError) -> KeyRecord?
    /// Replaces the secret of a key. Of those before it, the last is kept until its grace ends, and any older one is forgotten: a key never has
    /// more than two. A revoked key stays as it was.
    ///
    /// - Parameter graceEnd: until when the secret in force now may still be used; `nil` forgets it at once.
    /// - Returns: the key as it now stands, or `nil` when there is none of that id.
    func rotate(id: String, to secret: KeySecret, graceEnd: WallTime?, at time: WallTime) async throws(StoreError) -> KeyRecord?
    /// A number that changes whenever another connection or process has changed the store: the safety net of change detection.
    func changeCounter() async throws(StoreError) -> Int64
}
