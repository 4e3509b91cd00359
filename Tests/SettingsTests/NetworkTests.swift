import Settings
import Testing
import Vocabulary

@Suite struct `The way to a provider` {
    private func load(_ network: String, provider: String = "", url: String = "https://api.example.com/v1", _ environment: [String: String] = [:])
        throws -> Settings
    {
        try Settings.load(
            yaml:
                "network: { \(network) }\nproviders: [{ id: p, base_url: \"\(url)\"\(provider) }]\nmodels: [{ name: m, deployments: [{ provider: p }] }]",
            environment: environment)
    }

    private func proxy(_ network: String, provider: String = "", url: String = "https://api.example.com/v1", _ environment: [String: String] = [:])
        throws -> String?
    {
        try load(network, provider: provider, url: url, environment).providers[0].proxy?.text
    }

    @Test func `is direct unless a proxy is named`() throws {
        #expect(try proxy("") == nil)
        #expect(try proxy("", ["https_proxy": "http://proxy:3128", "HTTPS_PROXY": "http://proxy:3128"]) == nil)
        #expect(try load("").network == Settings.Network())
    }

    @Test func `takes the provider's own proxy before the default one`() throws {
        #expect(try proxy("proxy: http://one:1") == "http://one:1")
        #expect(try proxy("proxy: http://one:1", provider: ", proxy: http://two:2") == "http://two:2")
        #expect(try proxy("proxy: http://one:1", provider: ", proxy: off") == nil)
        #expect(try proxy("proxy: http://one:1, no_proxy: [api.example.com]", provider: ", proxy: https://two:2") == "https://two:2")
        #expect(try proxy("proxy: off", provider: ", proxy: env", ["https_proxy": "http://three:3"]) == "http://three:3")
    }

    @Test(arguments: [
        ("example.com", "https://api.example.com", true), ("example.com", "https://example.com", true),
        ("example.com", "https://badexample.com", false),
        (".example.com", "https://api.example.com", true), (".example.com", "https://example.com", false),
        ("*.example.com", "https://a.b.example.com", true),
        ("*.example.com", "https://example.com", false), ("EXAMPLE.com", "https://API.Example.COM", true),
        ("example.com", "https://example.com.", true),
        ("*", "https://api.example.com", true), ("api.example.com:443", "https://api.example.com", true),
        ("api.example.com:443", "http://api.example.com", false),
        ("*:8080", "http://h:8080", true), ("*:8080", "http://h:80", false), ("10.0.0.0/8", "http://10.1.2.3", true),
        ("10.0.0.0/8", "http://11.1.2.3", false),
        ("10.0.0.0/8", "http://ten.example", false), ("10.1.2.3:81", "http://10.1.2.3:81", true), ("10.1.2.3:81", "http://10.1.2.3:82", false),
        ("::1", "http://[::1]", true),
        ("[::1]:8080", "http://[::1]:8080", true), ("[::1]:8080", "http://[::1]:80", false), ("fd00::/8", "http://[fd00::1]", true),
        ("api", "http://api", true),
    ])
    func `leaves the default proxy out for what no_proxy names`(entry: String, url: String, isDirect: Bool) throws {
        #expect(try (proxy("proxy: http://one:1, no_proxy: [\"\(entry)\"]", url: url) == nil) == isDirect)
        #expect(try (proxy("proxy: http://one:1, no_proxy: \"other.test, \(entry)\"", url: url) == nil) == isDirect)
    }

    @Test(arguments: ["", "a b", "http://h", "10.0.0.0/33", "[::1", "h:0", "h:70000", "h:x", "..", ".", "*.", "a/b"])
    func `knows what no exception is`(entry: String) {
        #expect(ProxyException(entry) == nil)
    }

    @Test func `to this machine is direct by default, and that is said`() throws {
        for url in ["http://localhost:11434/v1", "http://127.0.0.1:8000/v1", "http://127.9.9.9/v1", "http://[::1]:1/v1"] {
            let settings = try load("proxy: http://one:1", url: url)
            #expect(settings.providers[0].proxy == nil)
            #expect(settings.warnings.contains { $0.contains("is this machine") })
            #expect(try proxy("proxy: http://one:1, no_proxy: []", url: url) == "http://one:1")
        }
    }

    @Test func `comes from the environment only where the configuration says so`() throws {
        let both = ["http_proxy": "http://plain:1", "HTTPS_PROXY": "secure:2", "no_proxy": "inner.test, .other.test", "all_proxy": "http://all:3"]
        #expect(try proxy("proxy: env", both) == "http://secure:2")
        #expect(try proxy("proxy: env", url: "http://h", both) == "http://plain:1")
        #expect(try proxy("proxy: env", url: "http://inner.test", both) == nil)
        #expect(try proxy("proxy: env", url: "http://a.other.test", both) == nil)
        #expect(try proxy("proxy: env", ["ALL_PROXY": "http://all:3"]) == "http://all:3")
        #expect(try proxy("proxy: env", ["https_proxy": "http://small:1", "HTTPS_PROXY": "http://large:2"]) == "http://small:1")
        #expect(try proxy("proxy: env", ["https_proxy": ""]) == nil)
        #expect(try proxy("proxy: env") == nil)
        #expect(throws: SettingsError.self) { try proxy("proxy: env", ["https_proxy": "socks5://h:1"]) }
    }

    @Test(arguments: [
        ("http://proxy:3128", "http://proxy:3128", nil), ("HTTP://Proxy:1/", "http://Proxy:1", nil),
        ("https://[fd00::1]:8443", "https://[fd00::1]:8443", nil),
        ("http://u:p@proxy:1", "http://***@proxy:1", "Basic dTpw"), ("http://u@proxy:1", "http://***@proxy:1", "Basic dTo="),
        ("http://u:p%40%3a%2F@proxy:1", "http://***@proxy:1", "Basic dTpwQDov"), ("http://:p@proxy:1", "http://***@proxy:1", "Basic OnA="),
    ])
    func `reads a proxy's address and shows none of its credentials`(text: String, shown: String, authorization: String?) throws {
        let url = try ProxyURL(reading: text)
        #expect(url.text == shown && "\(url)" == shown && String(reflecting: url) == shown)
        #expect(url.authorization == authorization)
    }

    @Test(arguments: [
        ("proxy:3128", ProxyURL.Mistake.scheme), ("socks5://h:1", .scheme), ("", .scheme), ("http://proxy", .port), ("http://[::1]", .port),
        ("http://proxy:0", .address(.port)), ("http://proxy:99999", .address(.port)), ("http://:1", .address(.host)), ("http://h:1/x", .path),
        ("http://h:1?x", .address(.query)), ("http://u:p%zz@h:1", .credentials), ("http://u:p%0d%0ax@h:1", .credentials),
        ("http://u:p@x@h:1", .credentials),
        ("http://u:a b@h:1", .credentials),
    ])
    func `knows what no proxy is`(text: String, mistake: ProxyURL.Mistake) {
        #expect(throws: mistake) { try ProxyURL(reading: text) }
    }

    @Test func `can be set by variables, lists with commas`() throws {
        let settings = try load(
            "",
            [
                "MARTLET_NETWORK_PROXY": "http://u:swordfish@one:1", "MARTLET_NETWORK_NO_PROXY": "a.test, 10.0.0.0/8",
                "MARTLET_NETWORK_DENY": "10.0.0.0/8,fd00::/8",
                "MARTLET_NETWORK_ALLOW_LINK_LOCAL": "true", "MARTLET_PROVIDERS_P_SERVER_NAME": "inner.test",
            ])
        #expect(settings.providers[0].proxy?.authorization != nil)
        #expect(settings.network.noProxy.map(\.text) == ["a.test", "10.0.0.0/8"])
        #expect(settings.network.denied.map(\.description) == ["10.0.0.0/8", "fd00::/8"])
        #expect(settings.network.allowsLinkLocal)
        #expect(settings.providers[0].serverName == "inner.test")
        #expect(settings.warnings.isEmpty)
        for text in [settings.effective.yaml, settings.effective.json, "\(settings)", String(reflecting: settings)] {
            #expect(!text.contains("swordfish"))
        }
    }

    @Test func `is shown as it holds, and what is shown reads as the same`() throws {
        let settings = try load("proxy: http://u:p@one:1, no_proxy: [\"*.test\"], deny: [10.0.0.0/8]")
        #expect(settings.effective.yaml.contains("proxy: \"http://***@one:1\""))
        let again = try Settings.load(yaml: settings.effective.yaml)
        #expect(again.network.noProxy == settings.network.noProxy && again.network.denied == settings.network.denied)
        #expect(again.providers[0].proxy?.text == settings.providers[0].proxy?.text)
    }

    @Test func `tells what is of no use`() throws {
        #expect(try load("no_proxy: [a.test]").warnings.contains { $0.contains("no use without network.proxy") })
        #expect(try load("", provider: ", server_name: inner.test", url: "http://h/v1").warnings.contains { $0.contains("server_name has no use") })
    }
}
