package import Vocabulary

/// What the management API may do with keys; whoever implements it also puts the change into the snapshot in force.
package protocol KeyDirectory: Sendable {
    /// Makes a key, stores it and puts it in force before it returns.
    ///
    /// - Returns: the stored record and the key itself, which nobody can read again.
    func create(_ request: KeyRequest) async throws(StoreError) -> (record: KeyRecord, secret: String)
    /// Every key, revoked ones included, oldest first.
    func list() async throws(StoreError) -> [KeyRecord]
    /// Revokes a key; it is refused from the moment that this returns.
    func revoke(id: String) async throws(StoreError) -> KeyRecord?
    /// Replaces the secret of a key; everything else about it stays, its usage included.
    ///
    /// - Parameter grace: how long the secret in force now may still be used; nothing ends it at once.
    func rotate(id: String, grace: Duration) async throws(StoreError) -> KeyRotation
    /// Whether an id is that of a key that is configured and not stored, so that it cannot be changed here.
    func isConfigured(id: String) -> Bool
}

/// What came of a rotation.
package enum KeyRotation: Sendable, Hashable {
    /// The key as it now stands, and its new secret, which nobody can read again.
    case rotated(KeyRecord, secret: String)
    /// The key was revoked before and stays so.
    case revoked
    case unknown
}

/// What a new key is asked to be.
package struct KeyRequest: Sendable, Hashable {
    package var name: String
    package var tenant: String
    package var team: String
    package var agent: String
    package var user: String
    package var rights: Rights
    package var models: [String]
    package var expiresAt: WallTime?

    package init(
        name: String = "", tenant: String = "default", team: String = "", agent: String = "", user: String = "",
        rights: Rights = .inference, models: [String] = [], expiresAt: WallTime? = nil
    ) {
        self.name = name
        self.tenant = tenant
        self.team = team
        self.agent = agent
        self.user = user
        self.rights = rights
        self.models = models
        self.expiresAt = expiresAt
    }
}

/// Tells who owns a credential, against the snapshot in force.
package protocol CredentialChecking: Sendable {
    /// - Parameter credential: the key as the client sent it, without `Bearer`.
    func principal(for credential: String) throws(GatewayError) -> Principal
}
