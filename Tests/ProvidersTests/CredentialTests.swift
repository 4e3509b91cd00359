import Providers
import Testing
import Vocabulary

@Suite struct `What a provider must not repeat` {
    private func secrets(
        apiKey: String = "", headers: [(name: String, value: String)] = [], proxyAuthorization: String? = nil
    ) -> Set<String> {
        let proxy = proxyAuthorization.map { OutboundProxy(isTLS: false, host: "proxy", port: 3128, authorization: $0) }
        let provider = Provider(
            openAI: OpenAIProviderOptions(
                id: "p", host: "h", port: 80, isTLS: false, basePath: "/v1", apiKey: apiKey, headers: headers, caFile: nil,
                timeouts: ProviderTimeouts(
                    connectMilliseconds: 1000, firstByteMilliseconds: 1000, idleMilliseconds: 1000),
                concurrencyMax: 1, queueMax: 1, acceptsStreamOptions: true, retriesStaleConnections: true, egress: Egress(proxy: proxy)))
        return Set(provider.secrets.map { String(decoding: $0, as: UTF8.self) })
    }

    @Test func `the key, and the credentials for a proxy with and without their scheme`() {
        #expect(
            secrets(apiKey: "sk-0123456789abcdef", proxyAuthorization: "Basic dXNlcjpwYXNzd29yZA==")
                == ["sk-0123456789abcdef", "Basic dXNlcjpwYXNzd29yZA==", "dXNlcjpwYXNzd29yZA=="])
    }

    @Test(arguments: ["Authorization", "X-Api-Key", "cf-access-token", "X-Client-Secret", "Cookie", "x-credential", "X-Password"])
    func `a header that is a credential by its name`(name: String) {
        #expect(secrets(headers: [(name, "0123456789abcdef")]) == ["0123456789abcdef"])
    }

    @Test func `a token without the scheme that stands in front of it`() {
        #expect(secrets(headers: [("authorization", "Token 0123456789abcdef")]) == ["Token 0123456789abcdef", "0123456789abcdef"])
    }

    @Test(arguments: ["OpenAI-Organization", "OpenAI-Project", "anthropic-version", "HTTP-Referer", "X-Title"])
    func `but not a header that only says who asks`(name: String) {
        #expect(secrets(headers: [(name, "org-0123456789abcdef")]).isEmpty)
    }

    @Test func `nor anything that may stand in an error by chance`() {
        #expect(secrets(apiKey: "sk-short", headers: [("x-api-key", "model")]).isEmpty)
    }
}
