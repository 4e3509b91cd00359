import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1
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
    ///
    /// By the kernel's list of locks: to try the lock would mean to hold it for a moment.
    package var isRunning: Bool {
        guard let lock = FileState("\(settings.journal.directory)/LOCK"), let list = try? String(contentsOfFile: "/proc/locks", encoding: .utf8)
        else { return false }
        let wanted = ":\(lock.inode)"
        return list.split(separator: "\n").contains { line in
            line.contains("FLOCK") && line.split(separator: " ").contains { $0.hasSuffix(wanted) && $0.count(where: { $0 == ":" }) == 2 }
        }
    }

    package func run() async -> [Finding] {
        let isRunning = isRunning
        var findings = [
            Finding("gateway", .ok, isRunning ? "one runs on this data directory" : "none runs on this data directory")
        ]
        if settings.server.listensOnTCP {
            findings += await place("listener", settings.server.host, settings.server.port, isTLS: settings.server.tls != nil, isRunning)
        }
        if let place = settings.server.privateListener {
            findings += await self.place("private listener", place.host, place.port, isTLS: place.isTLS, isRunning)
        }
        return findings
    }

    private func place(_ check: String, _ host: String, _ port: Int, isTLS: Bool, _ isRunning: Bool) async -> [Finding] {
        let name = "\(host):\(port)"
        guard port != 0 else { return [Finding(check, .ok, "takes any free port")] }
        let base = BaseURL(isTLS: isTLS, host: ["0.0.0.0": "127.0.0.1", "::": "::1"][host] ?? host, port: port, path: "")
        switch await answer(base, "/") {
        case .some(let answer) where APIValue(json: answer.body)?["name"]?.text == "martlet":
            guard isRunning else {
                return [
                    Finding(
                        check, .fail, "\(name) is taken by a gateway with another data directory", hint: "stop it, or choose another port")
                ]
            }
            return [Finding(check, .ok, "\(name) is this gateway's")] + (check == "listener" ? await health(base) : [])
        case .some:
            return [Finding(check, .fail, "\(name) is taken by another program", hint: "stop it, or choose another port")]
        case nil: break
        }
        if isRunning {
            return [
                Finding(
                    check, .warn, "the gateway that runs does not listen at \(name)",
                    hint: "it was started otherwise; see needs_restart in GET /api/v1/config")
            ]
        }
        return [free(check, host, port)]
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

    private func health(_ base: BaseURL) async -> [Finding] {
        let check = "health"
        if let key = settings.adminKey, let answer = await answer(base, "/health/dependencies", key: key),
            let value = APIValue(json: answer.body), !(value["dependencies"]?.items ?? []).isEmpty
        {
            let findings = (value["dependencies"]?.items ?? []).map { item in
                let state = item["status"]?.text ?? "unknown"
                let status: Finding.Status = state == "healthy" ? .ok : state == "degraded" ? .warn : .fail
                let message = item["message"]?.text ?? ""
                return Finding("\(check): \(item["name"]?.text ?? "?")", status, message.isEmpty ? state : "\(state): \(message)")
            }
            return findings
        }
        guard let answer = await answer(base, "/health/ready") else { return [Finding(check, .fail, "the gateway does not answer")] }
        let reason = APIValue(json: answer.body)?["reason"]?.text
        return answer.status == 200
            ? [Finding(check, .ok, "ready; with MARTLET_ADMIN_KEY, its dependencies would be told")]
            : [Finding(check, .fail, "not ready: \(reason ?? "status \(answer.status)")")]
    }

    private func answer(_ base: BaseURL, _ path: String, key: Secret? = nil) async -> (status: Int, body: [UInt8])? {
        var configuration = HTTPClient.Configuration()
        // It is on this machine, and may show a certificate for the name that others call it by.
        configuration.tlsConfiguration = .makeClientConfiguration()
        configuration.tlsConfiguration?.certificateVerification = .none
        configuration.connectionPool.retryConnectionEstablishment = false
        let client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
        var request = HTTPClientRequest(url: base.text + path)
        if let key { request.headers.add(name: "authorization", value: "Bearer \(key.value)") }
        var found: (Int, [UInt8])?
        do {
            let response = try await client.execute(request, timeout: .seconds(3))
            found = (Int(response.status.code), Array(try await response.body.collect(upTo: 1 << 20).readableBytesView))
        } catch let error as IOError {
            // Nobody listens there.
            found = error.errnoCode == ECONNREFUSED ? nil : (0, [])
        } catch {
            // Somebody does, but does not speak as we do; or nobody can be reached at all.
            found = isUnreachable(error) ? nil : (0, [])
        }
        try? await client.shutdown()
        return found
    }

    private func isUnreachable(_ error: any Error) -> Bool {
        error is NIOConnectionError || (error as? HTTPClientError) == .connectTimeout
    }
}
