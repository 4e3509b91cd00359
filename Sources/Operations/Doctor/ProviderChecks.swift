import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
package import Settings
import Vocabulary

/// Looks at one provider from this machine: name, connection, TLS, and its list of models with our key. Never asks for a completion.
package struct ProviderChecks: Sendable {
    private let provider: Settings.Provider
    private let network: Settings.Network
    /// The names that the configuration asks of this provider.
    private let models: [String]

    package init(_ provider: Settings.Provider, in settings: Settings) {
        self.provider = provider
        network = settings.network
        let wanted = settings.models.flatMap(\.deployments).filter { $0.provider == provider.id }.map(\.model)
        models = Set(wanted).sorted()
    }

    /// The longest that one step waits.
    private static let patience = TimeAmount.seconds(10)
    private static let answerMaxBytes = 8 << 20

    /// - Returns: the findings, and what the provider's clock says, in Unix seconds, where it said so.
    package func run() async -> (findings: [Finding], clock: Int64?) {
        let place = provider.proxy.map { (host: $0.host, port: $0.port) } ?? (host: provider.baseURL.host, port: provider.baseURL.port)
        var findings: [Finding] = []
        let addresses = await resolve(place.host)
        findings.append(found(addresses, of: place.host))
        guard findings.last?.status != .fail else { return (findings, nil) }
        findings.append(await connection(to: place))
        guard findings.last?.status != .fail else { return (findings, nil) }
        if provider.baseURL.isTLS, provider.proxy == nil {
            findings.append(await handshake(place))
            guard findings.last?.status != .fail else { return (findings, nil) }
        }
        guard provider.proxy?.isTLS != true else {
            let words = "not asked for its models: only the gateway itself can go through an encrypted proxy"
            return (findings + [Finding(name("models"), .warn, words)], nil)
        }
        let (finding, clock) = await modelList()
        return (findings + [finding], clock)
    }

    private func name(_ step: String) -> String { "provider \(provider.id): \(step)" }

    // MARK: Name and connection

    private func found(_ addresses: [String], of host: String) -> Finding {
        let check = name(provider.proxy == nil ? "name" : "name of the proxy")
        guard !addresses.isEmpty else {
            return Finding(check, .fail, "\(host) has no address", hint: "look at base_url, and at the name servers of this machine")
        }
        let rules = AddressRules(allowsLinkLocal: network.allowsLinkLocal, denied: network.denied)
        // With a proxy, the rules are about what the proxy is asked for, not about the proxy.
        if provider.proxy == nil, let bad = addresses.first(where: { IPAddress($0).map { !rules.allows($0) } ?? false }) {
            return Finding(check, .fail, "\(host) is at \(bad), which is out of bounds", hint: "see network.deny and network.allow_link_local")
        }
        return Finding(check, .ok, host == addresses[0] ? host : "\(host) is at \(addresses.joined(separator: ", "))")
    }

    private func connection(to place: (host: String, port: Int)) async -> Finding {
        let check = name(provider.proxy == nil ? "connection" : "connection to the proxy")
        let target = "\(place.host):\(place.port)"
        do {
            let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
                .connectTimeout(min(ProviderChecks.patience, .nanoseconds(provider.connectTimeout.nanoseconds)))
                .connect(host: place.host, port: place.port).get()
            try? await channel.close()
            return Finding(check, .ok, target)
        } catch {
            return Finding(
                check, .fail, "\(target): \(reason(of: error))",
                hint: "look at base_url, at the firewall, and whether a proxy is needed (network.proxy)")
        }
    }

    // MARK: TLS

    private func configuration() throws -> TLSConfiguration {
        var configuration = TLSConfiguration.makeClientConfiguration()
        if let file = provider.caFile ?? network.caFile { configuration.trustRoots = .file(file) }
        if let certificate = provider.clientCertificateFile, let key = provider.clientKeyFile {
            configuration.certificateChain = try NIOSSLCertificate.fromPEMFile(certificate).map { .certificate($0) }
            configuration.privateKey = .privateKey(try NIOSSLPrivateKey(file: key, format: .pem))
        }
        return configuration
    }

    private func handshake(_ place: (host: String, port: Int)) async -> Finding {
        let check = name("TLS")
        do {
            let context = try NIOSSLContext(configuration: try configuration())
            let serverName = provider.serverName ?? provider.baseURL.host
            let certificate = try await TLSProbe.certificate(
                of: place, context: context, serverName: serverName, timeout: ProviderChecks.patience)
            let now = Int64(Date().timeIntervalSince1970)
            return CertificateChecks.life(
                check, "its certificate", from: Int64(certificate.notValidBefore), to: Int64(certificate.notValidAfter), now: now)
        } catch {
            return Finding(
                check, .fail, reason(of: error), hint: "see ca_file for a private authority, server_name for another name, and the clock")
        }
    }

    // MARK: Models

    private func modelList() async -> (Finding, clock: Int64?) {
        let check = name("models")
        do {
            let client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: try clientConfiguration())
            let answer: Result<(HTTPClientResponse, [UInt8]), any Error>
            do {
                let response = try await client.execute(request(), timeout: ProviderChecks.patience)
                let body = try await response.body.collect(upTo: ProviderChecks.answerMaxBytes)
                answer = .success((response, Array(body.readableBytesView)))
            } catch {
                answer = .failure(error)
            }
            try? await client.shutdown()
            let (response, body) = try answer.get()
            return (judge(Int(response.status.code), body), response.headers.first(name: "date").flatMap(unixSeconds(ofHTTPDate:)))
        } catch {
            return (Finding(check, .fail, reason(of: error), hint: "the provider, or the proxy before it, does not answer"), nil)
        }
    }

    private func clientConfiguration() throws -> HTTPClient.Configuration {
        var configuration = HTTPClient.Configuration()
        configuration.redirectConfiguration = .disallow
        configuration.connectionPool.retryConnectionEstablishment = false
        configuration.tlsConfiguration = try self.configuration()
        configuration.timeout.connect = ProviderChecks.patience
        if let name = provider.serverName { configuration.dnsOverride = [name: provider.baseURL.host] }
        if let proxy = provider.proxy {
            configuration.proxy = .server(
                host: proxy.host, port: proxy.port,
                authorization: proxy.credentials.map { .basic(credentials: Data($0.value.utf8).base64EncodedString()) })
        }
        return configuration
    }

    private func request() -> HTTPClientRequest {
        var url = provider.baseURL
        if let name = provider.serverName { url.host = name }
        var request = HTTPClientRequest(url: url.text + "/models")
        request.headers.replaceOrAdd(name: "host", value: provider.baseURL.authority)
        request.headers.add(name: "accept", value: "application/json")
        if let key = provider.apiKey { request.headers.add(name: "authorization", value: "Bearer \(key.value)") }
        for header in provider.headers { request.headers.replaceOrAdd(name: header.name, value: header.value.value) }
        return request
    }

    private func judge(_ status: Int, _ body: [UInt8]) -> Finding {
        let check = name("models")
        switch status {
        case 200..<300: return compare(APIValue(json: body))
        case 401, 403:
            return Finding(check, .fail, "the key is refused (\(status))", hint: "look at providers.\(provider.id).api_key")
        case 404, 405, 501:
            return Finding(
                check, .warn, "has no list of models (\(status)), so neither the key nor the names could be checked",
                hint: "if it should have one, look at the path of base_url")
        case 407: return Finding(check, .fail, "the proxy wants another user or password (407)", hint: "look at the proxy's URL")
        case 429: return Finding(check, .warn, "answers 429: too many calls for this key right now")
        default:
            return Finding(
                check, status >= 500 ? .fail : .warn, "answers \(status) when asked for its models", hint: "look at base_url and the provider")
        }
    }

    private func compare(_ answer: APIValue?) -> Finding {
        let check = name("models")
        let listed = (answer?["data"]?.items ?? []).compactMap { $0["id"]?.text }
        guard !listed.isEmpty else {
            return Finding(check, .warn, "takes the key, but its list of models is empty or of another form")
        }
        let missing = models.filter { !listed.contains($0) }
        guard missing.isEmpty else {
            return Finding(
                check, .warn, "takes the key, but does not list \(missing.joined(separator: ", "))",
                hint: "look at models[].deployments[].model; some providers do not list all that they have")
        }
        let known = models.count == 1 ? "the one model" : "all \(models.count) models"
        return Finding(check, .ok, models.isEmpty ? "takes the key; no deployment uses it" : "takes the key and lists \(known) of the configuration")
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`
private func unixSeconds(ofHTTPDate text: String) -> Int64? {
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
    let parts = text.split(separator: " ")
    guard parts.count == 6, let month = months.firstIndex(of: String(parts[2])) else { return nil }
    let time = WallTime("\(parts[3])-\(month < 9 ? "0" : "")\(month + 1)-\(parts[1])T\(parts[4])Z")
    return time.map { $0.microseconds / 1_000_000 }
}

/// The addresses of a name; empty where there is none. On a thread of its own, since the system's resolver blocks.
private func resolve(_ host: String) async -> [String] {
    await withCheckedContinuation { continuation in
        DispatchQueue.global().async {
            let addresses = (try? SocketAddress.makeAddressResolvingHost(host, port: 0)).flatMap(\.ipAddress)
            continuation.resume(returning: addresses.map { [$0] } ?? [])
        }
    }
}

/// Why something on the network failed, in words for a person.
func reason(of error: any Error) -> String {
    let text =
        switch error {
        case let error as IOError: String(cString: strerror(error.errnoCode))
        case let error as HTTPClientError: error.shortDescription
        case let error as NIOConnectionError: error.connectionErrors.first.map { reason(of: $0.error) } ?? "no connection"
        case ChannelError.connectTimeout: "no answer within the time for a connection"
        default: tlsWords(in: String(describing: error))
        }
    return String(text.prefix(200).filter { !$0.isNewline })
}

extension Duration {
    fileprivate var nanoseconds: Int64 { components.seconds * 1_000_000_000 + components.attoseconds / 1_000_000_000 }
}
