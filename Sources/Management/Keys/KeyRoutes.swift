import Contracts
import Hummingbird
import Vocabulary

/// Making, listing, rotating and revoking API keys (PRODUCT H1).
struct KeyRoutes: Sendable {
    let keys: any KeyDirectory
    let access: Access
    let now: @Sendable () -> WallTime

    func add(to routes: RouteTable) {
        routes.add(
            "/api/v1/keys",
            get: { request, _ in try await list(request) },
            post: { request, _ in try await create(request) })
        routes.add(
            "/api/v1/keys/{id}",
            get: { request, context in try await show(request, context) },
            delete: { request, context in try await revoke(request, context) })
        routes.add("/api/v1/keys/{id}/rotate", post: { request, context in try await rotate(request, context) })
    }

    private func create(_ request: Request) async throws -> Response {
        let caller = try access.caller(request, with: .keys)
        let body = try await request.body.collect(upTo: ManagementPlane.bodyMaxBytes)
        let grant = KeyGrant(caller: caller)
        let wanted = try KeyRequestReader(now: now(), standardTenant: grant.standardTenant).read(body)
        try grant.checkMaking(wanted)
        let (record, secret) = try await keys.create(wanted)
        return .json(status: .created) { json in
            record.write(to: &json, at: now())
            json.member("key", secret)
        }
    }

    private func list(_ request: Request) async throws -> Response {
        let grant = KeyGrant(caller: try access.caller(request, with: .keys))
        let records = try await keys.list().filter(grant.sees)
        let time = now()
        return .list { json in
            for record in records { json.object { record.write(to: &$0, at: time) } }
        }
    }

    private func show(_ request: Request, _ context: ManagementContext) async throws -> Response {
        let record = try await key(context, KeyGrant(caller: try access.caller(request, with: .keys)))
        return .json { record.write(to: &$0, at: now()) }
    }

    private func revoke(_ request: Request, _ context: ManagementContext) async throws -> Response {
        let grant = KeyGrant(caller: try access.caller(request, with: .keys))
        let id = try context.decodedParameter("id")
        // The administrator's key from the environment is in no list.
        if !keys.isConfigured(id: id) { try grant.checkRevoking(try await key(context, grant)) }
        guard let record = try await keys.revoke(id: id) else { throw unknown(id) }
        return .json { json in
            record.write(to: &json, at: now())
            json.member("revoked", true)
            json.member("deleted", true)
        }
    }

    private func rotate(_ request: Request, _ context: ManagementContext) async throws -> Response {
        let caller = try access.caller(request, with: .keys)
        let id = try context.decodedParameter("id")
        let body = try await request.body.collect(upTo: ManagementPlane.bodyMaxBytes)
        let grace = try KeyRotationReader().grace(body)
        guard !keys.isConfigured(id: id) else {
            throw APIError(
                status: 409, code: "key_is_configured",
                message: "The administrator's key comes from MARTLET_ADMIN_KEY and is not stored: change it there, then restart the gateway, "
                    + "or reload its configuration where the variable is a file:// reference.")
        }
        let grant = KeyGrant(caller: caller)
        let known = try await key(context, grant)
        try grant.checkRotating(known)
        if let end = known.expiresAt, now() >= end {
            throw APIError(status: 409, code: "key_expired", message: "The API key '\(id)' has expired; make another one.")
        }
        switch try await keys.rotate(id: id, grace: grace) {
        case .rotated(let record, let secret):
            return .json { json in
                record.write(to: &json, at: now())
                json.member("key", secret)
            }
        case .revoked: throw APIError(status: 409, code: "key_revoked", message: "The API key '\(id)' is revoked; make another one.")
        case .unknown: throw unknown(id)
        }
    }

    /// The key that the path names, where the caller may know of it.
    private func key(_ context: ManagementContext, _ grant: KeyGrant) async throws -> KeyRecord {
        let id = try context.decodedParameter("id")
        guard let record = try await keys.list().first(where: { $0.id == id }), grant.sees(record) else { throw unknown(id) }
        return record
    }

    private func unknown(_ id: String) -> APIError {
        .notFound(code: "key_not_found", "There is no API key '\(id)'.")
    }
}

extension KeyRecord {
    /// Writes the members of the record; the hash stays here.
    fileprivate func write(to json: inout JSONWriter, at now: WallTime) {
        json.member("id", id)
        json.member("object", "api_key")
        json.member("name", name)
        json.member("prefix", prefix)
        json.member("last4", lastFour)
        json.member("masked", prefix + "…" + lastFour)
        json.member("tenant", tenant)
        json.member("team", team)
        json.member("agent", agent)
        json.member("user", user)
        json.member("rights", rights.names)
        json.member("models", models)
        json.member("created_at", createdAt)
        json.member("expires_at", expiresAt)
        json.member("revoked_at", revokedAt)
        json.member("rotated_at", rotatedAt)
        // What has ended already is of no more interest.
        json.member("previous_expires_at", revokedAt == nil ? previousExpiresAt.flatMap { now < $0 ? $0 : nil } : nil)
        let isExpired = expiresAt.map { now >= $0 } ?? false
        json.member("status", revokedAt != nil ? "revoked" : isExpired ? "expired" : "active")
    }
}
