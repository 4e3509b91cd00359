import Foundation

/// Reads `providers[]`.
struct ProviderReader {
    let report: ReadingReport
    private let network: Settings.Network
    private let limit: ClosedRange<Duration> = .milliseconds(1) ... .seconds(86_400)
    private let keys = [
        "id", "kind", "base_url", "api_key", "headers", "proxy", "ca_file", "client_cert", "client_key", "server_name", "timeouts",
        "max_concurrency", "max_queue", "stream_options", "retry_stale",
    ]
    /// Headers that the gateway sets itself, or that would break the framing of a request.
    private let reserved: Set<String> = [
        "host", "connection", "content-length", "content-type", "content-encoding", "transfer-encoding", "te", "trailer", "upgrade",
        "keep-alive", "proxy-connection", "proxy-authorization", "expect",
    ]

    init(report: ReadingReport, network: Settings.Network) {
        self.report = report
        self.network = network
    }

    /// - Returns: the providers without a mistake, and the ids of all of them: a deployment of a mistaken one is no mistake of its own.
    func read(_ root: SectionReader) -> (providers: [Settings.Provider], ids: [String]) {
        let nodes = root.list("providers")
        if nodes.isEmpty, root.node("providers") == nil || root.node("providers")?.isEmptyList == true {
            root.fail("providers", "is missing or empty; name at least one provider with its id and base_url")
        }
        var providers: [Settings.Provider] = []
        var seen: [String: Origin] = [:]
        var variables: [String: String] = [:]
        for (index, node) in nodes.enumerated() {
            let section = section(root, node, index)
            let provider = provider(section)
            if let id = provider?.id ?? validID(in: node), let first = seen.updateValue(section.origin(of: "id"), forKey: id) {
                section.fail("id", "'\(id)' is taken by the provider at \(first); ids are unique")
            } else if let id = provider?.id, let other = variables.updateValue(id, forKey: Overlay.variable(for: "providers.\(id)")) {
                // Nobody could tell which of the two a variable means.
                section.fail(
                    "id", "'\(id)' has the same environment variables as '\(other)', \(Overlay.variable(for: "providers.\(id)"))_…; rename one")
            } else if let provider {
                providers.append(provider)
            }
        }
        return (providers, Array(seen.keys))
    }

    /// The path of a provider has its id where there is one, since that is what flags and variables name it by.
    private func section(_ root: SectionReader, _ node: ConfigNode, _ index: Int) -> SectionReader {
        SectionReader(
            node, path: validID(in: node).map { "providers.\($0)" } ?? "providers[\(index)]",
            address: root.address(of: "providers", index: index), keys: keys, parentOrigin: root.origin, report: report)
    }

    private func validID(in node: ConfigNode) -> String? {
        guard case .mapping(let entries) = node.content, case .scalar(let id)? = entries.first(where: { $0.key == "id" })?.value.content else {
            return nil
        }
        return isID(id) ? id : nil
    }

    private func isID(_ text: String) -> Bool {
        (1...64).contains(text.utf8.count)
            && text.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x7a).contains($0 | 0x20) || ".-_".utf8.contains($0) }
    }

    private func provider(_ section: SectionReader) -> Settings.Provider? {
        let id = id(section)
        let baseURL = baseURL(section)
        // The rest is read even where these are wrong, so that all mistakes come to light at once.
        var provider = Settings.Provider(id: id ?? "", baseURL: baseURL ?? BaseURL(isTLS: false, host: "", port: 80, path: ""))
        provider.kind = section.choice("kind", provider.kind)
        provider.apiKey = section.secret("api_key")
        provider.headers = headers(section, hasKey: provider.apiKey != nil)
        provider.proxy = NetworkReader(report: report).proxy(of: section, at: baseURL, default: network)
        readTLS(section, isTLS: baseURL?.isTLS, &provider)
        let timeouts = section.section("timeouts", keys: ["connect", "first_byte", "idle"])
        provider.connectTimeout = timeouts.duration("connect", provider.connectTimeout, in: limit)
        provider.firstByteTimeout = timeouts.duration("first_byte", provider.firstByteTimeout, in: limit)
        provider.idleTimeout = timeouts.duration("idle", provider.idleTimeout, in: limit)
        provider.concurrencyMax = section.integer("max_concurrency", provider.concurrencyMax, in: 1...1_000_000)
        provider.queueMax = section.integer("max_queue", provider.queueMax, in: 0...1_000_000)
        provider.acceptsStreamOptions = section.boolean("stream_options", provider.acceptsStreamOptions)
        provider.retriesStaleConnections = section.boolean("retry_stale", provider.retriesStaleConnections)
        warnAboutURL(provider)
        return id == nil || baseURL == nil ? nil : provider
    }

    private func id(_ section: SectionReader) -> String? {
        if section.node("id") == nil { section.fail("id", "is missing; deployments refer to a provider by it") }
        guard let id = section.text("id") else { return nil }
        guard isID(id) else {
            section.fail("id", "must be 1 to 64 letters, digits, '.', '_' or '-'")
            return nil
        }
        return id
    }

    private func baseURL(_ section: SectionReader) -> BaseURL? {
        if section.node("base_url") == nil {
            section.fail("base_url", "is missing; it is what /chat/completions is below, such as https://api.openai.com/v1")
        }
        guard let text = section.text("base_url") else { return nil }
        do throws(BaseURL.Mistake) {
            return try BaseURL(reading: text)
        } catch {
            section.fail("base_url", error.reason)
            return nil
        }
    }

    private func headers(_ section: SectionReader, hasKey: Bool) -> [Settings.Header] {
        section.learnOpenMapping("headers")
        // Any name may stand here, so the section is told to know all of them.
        guard let node = section.node("headers") else { return [] }
        let names: [String] = if case .mapping(let entries) = node.content { entries.map(\.key) } else { [] }
        guard !names.isEmpty || node.isEmptyMapping else {
            section.fail("headers", "must be a mapping of header names to values, not \(node.kindName)")
            return []
        }
        let reader = section.section("headers", keys: names)
        var headers: [Settings.Header] = []
        var seen: Set<String> = []
        for name in names {
            let lowered = name.lowercased()
            if lowered.isEmpty || !lowered.utf8.allSatisfy(isTokenByte) {
                reader.fail(name, "is no valid header name")
            } else if reserved.contains(lowered) {
                reader.fail(name, "is set by the gateway itself and cannot be configured")
            } else if lowered == "authorization", hasKey {
                reader.fail(name, "is set from api_key; use one of the two")
            } else if !seen.insert(lowered).inserted {
                reader.fail(name, "is given more than once; header names do not distinguish case")
            } else if let value = reader.secret(name) {
                headers.append(Settings.Header(name: name, value: value))
            }
        }
        return headers
    }

    private func readTLS(_ section: SectionReader, isTLS: Bool?, _ provider: inout Settings.Provider) {
        provider.caFile = readableFile(section, "ca_file")
        provider.clientCertificateFile = readableFile(section, "client_cert")
        provider.clientKeyFile = readableFile(section, "client_key") ?? provider.clientCertificateFile
        if section.node("client_key") != nil, section.node("client_cert") == nil {
            section.fail("client_key", "is of no use without client_cert")
        }
        if let name = section.name("server_name") {
            if isHostName(name.utf8) { provider.serverName = name } else { section.fail("server_name", "must be a host name") }
        }
        if isTLS == false {
            for key in ["ca_file", "client_cert", "server_name"] where section.node(key) != nil {
                report.warn("\(section.path).\(key) has no use, since base_url is http://")
            }
        } else if provider.caFile == nil {
            provider.caFile = network.caFile
        }
    }

    private func warnAboutURL(_ provider: Settings.Provider) {
        let url = provider.baseURL
        if !url.host.isEmpty, url.path.isEmpty {
            report.warn("providers.\(provider.id).base_url has no path; most servers of this kind want /v1 at its end")
        }
        let isLocal = ["localhost", "::1"].contains(url.host) || url.host.hasPrefix("127.")
        if provider.apiKey != nil, !url.isTLS, !url.host.isEmpty, url.host.contains("."), !isLocal {
            report.warn("providers.\(provider.id) sends its api_key to \(url.host) unencrypted; use https:// where that network is not trusted")
        }
    }
}

/// Whether a byte can stand in the name of a header (RFC 9110, token).
private func isTokenByte(_ byte: UInt8) -> Bool {
    (0x30...0x39).contains(byte) || (0x61...0x7a).contains(byte | 0x20) || "!#$%&'*+-.^_`|~".utf8.contains(byte)
}
