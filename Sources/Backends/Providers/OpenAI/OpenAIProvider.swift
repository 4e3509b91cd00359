package import Vocabulary

/// What a configuration says of a provider that speaks OpenAI's dialect.
package struct OpenAIProviderOptions: Sendable {
    package var id: String
    package var host: String
    package var port: Int
    package var isTLS: Bool
    package var basePath: String
    package var apiKey: String
    package var headers: [(name: String, value: String)]
    package var caFile: String?
    package var egress: Egress
    package var timeouts: ProviderTimeouts
    package var concurrencyMax: Int
    package var queueMax: Int
    package var acceptsStreamOptions: Bool
    package var retriesStaleConnections: Bool

    package init(
        id: String, host: String, port: Int, isTLS: Bool, basePath: String, apiKey: String, headers: [(name: String, value: String)],
        caFile: String?, timeouts: ProviderTimeouts, concurrencyMax: Int, queueMax: Int, acceptsStreamOptions: Bool,
        retriesStaleConnections: Bool, egress: Egress = Egress()
    ) {
        self.id = id
        self.host = host
        self.port = port
        self.isTLS = isTLS
        self.basePath = basePath
        self.apiKey = apiKey
        self.headers = headers
        self.caFile = caFile
        self.egress = egress
        self.timeouts = timeouts
        self.concurrencyMax = concurrencyMax
        self.queueMax = queueMax
        self.acceptsStreamOptions = acceptsStreamOptions
        self.retriesStaleConnections = retriesStaleConnections
    }
}

extension Provider {
    /// A provider of OpenAI's dialect: OpenAI itself, or any server that is compatible with it.
    ///
    /// The head of every request is made here, once; a call adds its own few lines. Answers are asked for uncompressed, since a compressed
    /// one could not be metered in passing.
    package convenience init(openAI options: OpenAIProviderOptions) {
        let isDefaultPort = options.port == (options.isTLS ? 443 : 80)
        let host = options.host.contains(":") ? "[\(options.host)]" : options.host
        let authority = "\(host)\(isDefaultPort ? "" : ":\(options.port)")"
        var shared = "host: \(authority)\r\n"
        var target = options.basePath
        if let proxy = options.egress.proxy, !options.isTLS {
            // A proxy takes a plain request whole, its target in absolute form (RFC 9112 §3.2.2): Squid lets nobody CONNECT to port 80.
            target = "http://\(authority)\(options.basePath)"
            if let authorization = proxy.authorization { shared += "proxy-authorization: \(headerValue(authorization))\r\n" }
        }
        if !options.apiKey.isEmpty { shared += "authorization: Bearer \(headerValue(options.apiKey))\r\n" }
        shared += "content-type: application/json\r\naccept-encoding: identity\r\nuser-agent: martlet/\(MartletVersion.current)\r\n"
        for header in options.headers { shared += "\(header.name.lowercased()): \(headerValue(header.value))\r\n" }
        self.init(
            id: options.id, kind: "openai", host: options.host, port: options.port, isTLS: options.isTLS, caFile: options.caFile,
            basePath: options.basePath, timeouts: options.timeouts, concurrencyMax: options.concurrencyMax, queueMax: options.queueMax,
            acceptsStreamOptions: options.acceptsStreamOptions, retriesStaleConnections: options.retriesStaleConnections,
            requestHeads: Endpoint.allCases.map { Array("POST \(target)\($0.path) HTTP/1.1\r\n\(shared)".utf8) }, egress: options.egress,
            secrets: credentials(of: options).map { Array(headerValue($0).utf8) }.filter { $0.count >= secretMinBytes })
    }
}

/// What a provider, or a proxy that reads plain requests, is shown and must not repeat to a client.
///
/// A header counts when its name says so: the name of an organisation, for one, belongs into the errors that speak of it.
private func credentials(of options: OpenAIProviderOptions) -> [String] {
    let secretive = options.headers.filter { isCredential($0.name) }.map(\.value)
    let authorizations = [options.egress.proxy?.authorization].compactMap { $0 } + secretive
    // `Bearer …`, `Basic …`: what follows the scheme is repeated without it, too.
    let bare = authorizations.compactMap { $0.split(separator: " ", maxSplits: 1).dropFirst().first.map(String.init) }
    return [options.apiKey] + authorizations + bare
}

/// Whether the value of a header is a credential, by its name.
private func isCredential(_ name: String) -> Bool {
    let name = name.lowercased()
    return ["authorization", "key", "token", "secret", "cookie", "credential", "password"].contains { name.contains($0) }
}

/// A shorter one may well stand in an error by chance, and is no secret that could be kept.
private let secretMinBytes = 12

/// A value without anything that could end its line.
private func headerValue(_ text: String) -> String {
    String(decoding: text.utf8.filter { $0 >= 0x20 && $0 != 0x7f }, as: UTF8.self)
}
