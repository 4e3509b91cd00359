import Contracts
import Vocabulary

/// What a caller with the right `keys` may do to which keys: nothing beyond what the own key has, else that right would be every right.
///
/// `inference` is the exception, since calls to models are what keys are made for. An administrator is bound to no tenant.
struct KeyGrant {
    let caller: Principal

    private var isAdministrator: Bool { caller.rights.isSuperset(of: .administrator) }

    /// The tenant of a new key that names none.
    var standardTenant: String { isAdministrator ? "default" : caller.tenant }

    /// Whether the caller may know of a key.
    func sees(_ record: KeyRecord) -> Bool { isAdministrator || record.tenant == caller.tenant }

    /// - Throws: when a key like this has more than the caller's own.
    func checkMaking(_ request: KeyRequest) throws {
        try check(rights: request.rights, models: request.models)
        guard isAdministrator || request.tenant == caller.tenant else {
            throw APIError(
                status: 403, code: "tenant_not_yours", message: "Your own key is of the tenant '\(caller.tenant)', so it makes keys for no other.")
        }
        try check(expiresAt: request.expiresAt)
    }

    /// Whoever gets the new secret can do what the key may do, for as long.
    ///
    /// - Throws: when the key has more than the caller's own.
    func checkRotating(_ record: KeyRecord) throws {
        try check(rights: record.rights, models: record.models)
        try check(expiresAt: record.expiresAt)
    }

    /// - Throws: when the key has more rights than the caller's own; the own key can always be ended.
    func checkRevoking(_ record: KeyRecord) throws {
        if record.id != caller.keyID { try check(rights: record.rights, models: record.models) }
    }

    private func check(rights: Rights, models: [String]) throws {
        let excess = rights.subtracting(caller.rights.union(.inference))
        guard excess.isEmpty else { throw GatewayError.missingRight(excess.names.joined(separator: ", ")) }
        // No list, or one with a pattern for everything, is all models.
        let own = caller.models
        guard !own.isEmpty, !own.contains(where: { $0.pattern == "*" }) else { return }
        let foreign = models.filter { model in !own.contains { $0.covers(Glob(model)) } }
        guard foreign.isEmpty, !models.isEmpty else {
            let theirs = models.isEmpty ? "all models" : foreign.joined(separator: ", ")
            throw APIError(
                status: 403, code: "models_not_yours",
                message: "Your own key may use \(own.map(\.pattern).joined(separator: ", ")); this is about a key for \(theirs).")
        }
    }

    private func check(expiresAt: WallTime?) throws {
        guard let own = caller.expiresAt else { return }
        if let expiresAt, expiresAt <= own { return }
        throw APIError(
            status: 403, code: "expiry_beyond_yours",
            message: "Your own key expires at \(own.rfc3339); a key that you make has to expire no later. Set expires_at or expires_in.")
    }
}
