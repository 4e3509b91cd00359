import Foundation
import NIOCore
import NIOPosix
import NIOSSL
package import Settings

/// Looks for a gateway that runs on this configuration, asks it how it is, and looks whether its places to listen at are free.
package struct GatewayChecks: Sendable {
    private let settings: Settings

    package init(_ settings: Settings) {
        self.settings = settings
    }

    /// Whether a gateway holds the journal, and with it the data directory.
    package var isRunning: Bool { holder != nil }

    private var holder: LockHolder? { LockHolder(ofLock: "\(settings.journal.directory)/LOCK") }

    package func run() async -> [Finding] {
        let holder = holder
        var findings = [
            Finding("gateway", .ok, holder != nil ? "one runs on this data directory" : "none runs on this data directory")
        ]
        if settings.server.listensOnTCP {
            findings += await place("listener", settings.server.host, settings.server.port, isTLS: settings.server.tls != nil, holder)
        }
        if let path = settings.server.unixSocket { findings += await unixSocket(path, holder) }
        if let place = settings.server.privateListener {
            findings += await self.place("private listener", place.host, place.port, isTLS: place.isTLS, holder)
        }
        return findings
    }

    private func place(_ check: String, _ host: String, _ port: Int, isTLS: Bool, _ holder: LockHolder?) async -> [Finding] {
        let name = "\(host):\(port)"
        guard port != 0 else { return [Finding(check, .ok, "takes any free port")] }
        let base = BaseURL(isTLS: isTLS, host: ["0.0.0.0": "127.0.0.1", "::": "::1"][host] ?? host, port: port, path: "")
        let expected = settings.server.tls.flatMap { try? NIOSSLCertificate.fromPEMFile($0.certificateFile) }?.first
        let proof = isTLS ? GatewayConnection.Proof.none(expected: [expected].compactMap { $0 }) : nil
        if let connection = try? await GatewayConnection.open(host: base.host, port: port, proof: proof) {
            let findings = await taken(check, name, base, connection, holder)
            await connection.close()
            return findings
        }
        guard holder == nil else {
            return [
                Finding(
                    check, .warn, "the gateway that runs does not listen at \(name)",
                    hint: "it was started otherwise; see needs_restart in GET /api/v1/config")
            ]
        }
        return [free(check, host, port)]
    }

    /// Somebody listens there: who is it?
    private func taken(
        _ check: String, _ name: String, _ base: BaseURL, _ connection: GatewayConnection, _ holder: LockHolder?
    ) async -> [Finding] {
        guard let answer = await connection.get("/"), APIValue(json: answer.body)?["name"]?.text == "martlet" else {
            return [Finding(check, .fail, "\(name) is taken by another program", hint: "stop it, or choose another port")]
        }
        guard holder != nil else {
            return [
                Finding(check, .fail, "\(name) is taken by a gateway with another data directory", hint: "stop it, or choose another port")
            ]
        }
        return [Finding(check, .ok, "\(name) is this gateway's")] + (check == "listener" ? await health(base, connection, holder) : [])
    }

    private func unixSocket(_ path: String, _ holder: LockHolder?) async -> [Finding] {
        let check = "unix socket"
        if let connection = try? await GatewayConnection.open(unixSocket: path) {
            let findings = await taken(check, path, connection, holder)
            await connection.close()
            return findings
        }
        guard holder == nil else {
            return [
                Finding(
                    check, .warn, "the gateway that runs cannot be reached at \(path)",
                    hint: "look at server.unix_socket_mode; or it was started otherwise: see needs_restart in GET /api/v1/config")
            ]
        }
        let folder = URL(fileURLWithPath: path).deletingLastPathComponent().path
        guard let state = FileState(folder), state.isDirectory, access(folder, W_OK | X_OK) == 0 else {
            return [Finding(check, .fail, "no socket can be made in \(folder)", hint: "create it, and let this user write to it")]
        }
        var found = stat()
        guard lstat(path, &found) == 0, found.st_mode & S_IFMT != S_IFSOCK else { return [Finding(check, .ok, "\(path) is free")] }
        return [Finding(check, .fail, "at \(path) is another file", hint: "move it away, or choose another server.unix_socket")]
    }

    /// Somebody listens on the socket. Without a key: nothing shows whose socket it is.
    private func taken(_ check: String, _ path: String, _ connection: GatewayConnection, _ holder: LockHolder?) async -> [Finding] {
        guard let answer = await connection.get("/"), APIValue(json: answer.body)?["name"]?.text == "martlet" else {
            return [Finding(check, .fail, "\(path) is taken by another program", hint: "stop it, or choose another path")]
        }
        guard holder != nil else {
            return [Finding(check, .fail, "\(path) is taken by a gateway with another data directory", hint: "stop it, or choose another path")]
        }
        let finding = Finding(check, .ok, "\(path) is this gateway's")
        // Where it listens on TCP, too, it has been asked there.
        guard !settings.server.listensOnTCP else { return [finding] }
        guard let ready = await connection.get("/health/ready") else {
            return [finding, Finding("health", .fail, "the gateway does not answer", hint: "look at its log")]
        }
        let reason = APIValue(json: ready.body)?["reason"]?.text
        return [
            finding,
            ready.status == 200
                ? Finding("health", .ok, "ready")
                : Finding("health", .fail, "not ready: \(reason ?? "status \(ready.status)")", hint: "its log says more"),
        ]
    }

    /// Binds for a moment, without listening: nobody can connect.
    private func free(_ check: String, _ host: String, _ port: Int) -> Finding {
        let name = "\(host):\(port)"
        do {
            let address = try SocketAddress.makeAddressResolvingHost(host, port: port)
            let file = socket(address.protocol == .inet6 ? AF_INET6 : AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            guard file >= 0 else { return Finding(check, .fail, "\(name): \(String(cString: strerror(errno)))") }
            defer { close(file) }
            var on: Int32 = 1
            setsockopt(file, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size))
            let code = address.withSockAddr { bind(file, $0, socklen_t($1)) == 0 ? 0 : errno }
            switch code {
            case 0: return Finding(check, .ok, "\(name) is free")
            case EADDRINUSE: return Finding(check, .fail, "\(name) is taken by another program", hint: "stop it, or choose another port")
            case EACCES:
                return Finding(
                    check, .fail, "\(name) is not permitted to this user", hint: "choose a port from 1024 on, or give CAP_NET_BIND_SERVICE")
            case EADDRNOTAVAIL:
                return Finding(check, .fail, "\(host) is no address of this machine", hint: "look at server.host; 0.0.0.0 is all of them")
            default: return Finding(check, .fail, "\(name): \(String(cString: strerror(code)))")
            }
        } catch {
            return Finding(check, .fail, "\(host) has no address", hint: "look at server.host")
        }
    }

    // MARK: The gateway that runs

    /// - Parameter connection: one on which the gateway has answered.
    private func health(_ base: BaseURL, _ connection: GatewayConnection, _ holder: LockHolder?) async -> [Finding] {
        let check = "health"
        var unasked = "with MARTLET_ADMIN_KEY, its dependencies would be told"
        if let key = settings.adminKey {
            switch await dependencies(base, connection, holder, key) {
            case .some(let items) where !items.isEmpty:
                return items.map { item in
                    let state = item["status"]?.text ?? "unknown"
                    let status: Finding.Status = state == "healthy" ? .ok : state == "degraded" ? .warn : .fail
                    let message = item["message"]?.text ?? ""
                    return Finding("\(check): \(item["name"]?.text ?? "?")", status, message.isEmpty ? state : "\(state): \(message)")
                }
            case .some: unasked = "it tells nothing about its dependencies to MARTLET_ADMIN_KEY"
            case nil:
                unasked =
                    "not asked for its dependencies: \(name(of: base)) could not be told for sure to be this gateway, so it was not sent the key"
            }
        }
        guard let answer = await connection.get("/health/ready") else { return [Finding(check, .fail, "the gateway does not answer")] }
        let reason = APIValue(json: answer.body)?["reason"]?.text
        return answer.status == 200
            ? [Finding(check, .ok, "ready; \(unasked)")] : [Finding(check, .fail, "not ready: \(reason ?? "status \(answer.status)")")]
    }

    /// Asks with the administrator's key, which only the gateway itself may see: anybody could have taken its port.
    ///
    /// - Returns: `nil` when it is not sure to be the gateway, and was not asked.
    private func dependencies(_ base: BaseURL, _ connection: GatewayConnection, _ holder: LockHolder?, _ key: Secret) async -> [APIValue]? {
        let path = "/health/dependencies"
        func items(_ answer: GatewayConnection.Answer?) -> [APIValue] {
            answer.flatMap { APIValue(json: $0.body)?["dependencies"]?.items } ?? []
        }
        if connection.showedExpected || holder?.has(otherEndOf: connection.channel) == true {
            return items(await connection.get(path, key: key.value))
        }
        guard base.isTLS else { return nil }
        var trust = TLSConfiguration.makeClientConfiguration()
        if let file = ProcessInfo.processInfo.environment["MARTLET_CA_FILE"], !file.isEmpty { trust.additionalTrustRoots = [.file(file)] }
        let proof = GatewayConnection.Proof.full(trust, host: base.host)
        guard let verified = try? await GatewayConnection.open(host: base.host, port: base.port, proof: proof) else { return nil }
        var found: [APIValue]?
        // Without the key first: only a handshake that has succeeded is followed by an answer.
        if await verified.get("/") != nil { found = items(await verified.get(path, key: key.value)) }
        await verified.close()
        return found
    }

    private func name(of base: BaseURL) -> String { "\(base.host):\(base.port)" }
}
