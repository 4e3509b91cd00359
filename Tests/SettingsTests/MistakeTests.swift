import Settings
import Testing

/// One mistake: a file, where the mistake is, and what the reason must say.
struct Mistake: Sendable, CustomTestStringConvertible {
    var yaml: String
    var line: Int
    var path: String
    var reason: String

    init(_ yaml: String, _ line: Int, _ path: String, _ reason: String) {
        self.yaml = yaml
        self.line = line
        self.path = path
        self.reason = reason
    }

    var testDescription: String { "\(path): \(reason)" }

    /// A mistake in a line in front of a file that is right otherwise.
    static func before(_ text: String, _ path: String, _ reason: String) -> Mistake {
        Mistake("# a comment\n\(text)\n\(leastYAML)", 2, path, reason)
    }

    /// A mistake among the keys of the only provider.
    static func provider(_ text: String, _ key: String, _ reason: String) -> Mistake {
        Mistake(
            "providers:\n  - id: sim\n    \(text.hasPrefix("base_url") ? "" : "base_url: http://h/v1")\n    \(text)\nmodels: [{ name: m, deployments: [{ provider: sim }] }]",
            4, key.isEmpty ? "providers.sim" : "providers.sim.\(key)", reason)
    }

    /// A mistake among the keys of the only model.
    static func model(_ text: String, _ key: String, _ reason: String) -> Mistake {
        Mistake(
            "providers: [{ id: sim, base_url: http://h/v1 }]\nmodels:\n  - name: m\n    \(text.hasPrefix("deployments") ? "" : "deployments: [{ provider: sim }]")\n    \(text)\n",
            5, "models.m.\(key)", reason)
    }
}

@Suite struct `A mistake in a file` {
    static let mistakes: [Mistake] = [
        // Keys
        .before("sevrer: {}", "sevrer", "did you mean 'server'?"),
        .before("server: { prot: 1 }", "server.prot", "did you mean 'port'?"),
        .before("log: { colour: red }", "log.colour", "known here: level, calls"),
        .before("server: { drain: { dealy: 1s } }", "server.drain.dealy", "did you mean 'delay'?"),
        .before("pricing: { unknwon: {} }", "pricing.unknwon", "did you mean 'unknown'?"),
        .before("server: 7", "server", "must be a mapping"),
        .before("server: [1]", "server", "not a list"),
        .before("? [a, b] : c", "", "keys are plain words"),
        .before("server: !include other.yaml", "server", "tag !include has no meaning here"),
        .before("server: { <<: 3 }", "server", "'<<' takes a mapping"),
        // Values
        .before("server: { port: 70000 }", "server.port", "whole number from 0 to 65535, not '70000'"),
        .before("server: { port: -1 }", "server.port", "whole number from 0 to 65535"),
        .before("server: { port: 80.5 }", "server.port", "whole number"),
        .before("server: { port: [80] }", "server.port", "must be a single value, not a list"),
        .before("server: { port: }", "server.port", "has no value"),
        .before("server: { port: ~ }", "server.port", "has no value"),
        .before("server: { host: \"\" }", "server.host", "must not be empty"),
        .before("server: { host: \"a b\" }", "server.host", "host name or an address"),
        .before("server: { host: \"127.0.0.1:80\" }", "server.host", "without a port"),
        .before("server: { host: \"a\\tb\" }", "server.host", "control characters"),
        .before("server: { loops: 0 }", "server.loops", "from 1 to 1024"),
        .before("server: { private: { host: 127.0.0.1 } }", "server.private.port", "is missing"),
        .before("server: { private: { port: 8000 } }", "server.private.port", "port of the public listener"),
        .before("server: { max_body: 10MiBs }", "server.max_body", "must be a size"),
        .before("server: { max_body: 0.3KiB }", "server.max_body", "must be a size"),
        .before("server: { max_body: 99999999999999999999 }", "server.max_body", "must be a size"),
        .before("server: { max_body: 2GiB }", "server.max_body", "must be from 1KiB to 1GiB"),
        .before("server: { max_body: 2MiB, max_buffered: 1MiB }", "server.max_body", "must not be larger than server.max_buffered"),
        .before("server: { head_timeout: 5 parsecs }", "server.head_timeout", "must be a duration such as 500ms"),
        .before("server: { head_timeout: -5s }", "server.head_timeout", "must be a duration"),
        .before("server: { head_timeout: 1e3 }", "server.head_timeout", "must be a duration"),
        .before("server: { head_timeout: 0s }", "server.head_timeout", "must be from 1ms to"),
        .before("server: { drain: { delay: 999999h } }", "server.drain.delay", "must be from 0s to 24h"),
        .before("server: { total_timeout: 123456789012345678901s }", "server.total_timeout", "must be a duration"),
        .before("data: \"\"", "data", "must not be empty"),
        .before("log: { level: inf }", "log.level", "did you mean 'info'?"),
        .before("log: { calls: some }", "log.calls", "one of none, failures, all"),
        .before("journal: { on_failure: panic }", "journal.on_failure", "one of refuse, continue"),
        .before("journal: { segment_size: 2GiB }", "journal.segment_size", "must be from 4KiB to 1GiB"),
        .before("journal: { segment_size: 2MiB, max_size: 1MiB }", "journal.segment_size", "must not be larger than journal.max_size"),
        // Providers
        .provider("idd: x", "idd", "did you mean 'id'?"),
        .provider("kind: openia", "kind", "must be openai, not 'openia'; did you mean 'openai'?"),
        .provider("base_url: ftp://h/v1", "base_url", "must begin with http:// or https://"),
        .provider("base_url: h/v1", "base_url", "must begin with http:// or https://"),
        .provider("base_url: http://u:p@h/v1", "base_url", "must not hold a user or a password"),
        .provider("base_url: http://h/v1?k=v", "base_url", "must not have a query"),
        .provider("base_url: \"http://h/v1#f\"", "base_url", "must not have a query or a fragment"),
        .provider("base_url: http:///v1", "base_url", "no valid host"),
        .provider("base_url: http://h:0/v1", "base_url", "number from 1 to 65535"),
        .provider("base_url: http://h:99999/v1", "base_url", "number from 1 to 65535"),
        .provider("base_url: http://h:/v1", "base_url", "number from 1 to 65535"),
        .provider("base_url: \"http://[::1/v1\"", "base_url", "no valid host"),
        .provider("base_url: \"http://h/v 1\"", "base_url", "percent-encoded"),
        .provider("api_key: \"\"", "api_key", "must not be empty"),
        .provider("api_key: \"a\\nb\"", "api_key", "cannot be sent in a header"),
        .provider("api_key: schlüssel", "api_key", "cannot be sent in a header"),
        .provider("api_key: env://NOT_SET", "api_key", "the environment variable NOT_SET is not set"),
        .provider("api_key: env://EMPTY", "api_key", "the environment variable EMPTY is empty"),
        .provider("api_key: env://", "api_key", "must be followed by the name"),
        .provider("api_key: file:///nonexistent/key", "api_key", "/nonexistent/key cannot be read"),
        .provider("api_key: file://relative", "api_key", "absolute path"),
        .provider("base_url: env://NOT_SET", "base_url", "NOT_SET is not set"),
        .provider("headers: [a]", "headers", "mapping of header names"),
        .provider("headers: { Host: h }", "headers.Host", "set by the gateway itself"),
        .provider("headers: { \"a b\": h }", "headers.a b", "no valid header name"),
        .provider("headers: { a: x, A: y }", "headers.A", "more than once"),
        .provider("headers: { a: \"x\\r\\ny: z\" }", "headers.a", "cannot be sent in a header"),
        .provider("headers: { Authorization: x }\n    api_key: k", "headers.Authorization", "is set from api_key"),
        .provider("ca_file: /nonexistent.pem", "ca_file", "cannot be read"),
        .provider("timeouts: 5s", "timeouts", "must be a mapping with the keys connect, first_byte, idle"),
        .provider("timeouts: { connect: 0s }", "timeouts.connect", "must be from 1ms"),
        .provider("max_concurrency: 0", "max_concurrency", "from 1 to 1000000"),
        .provider("max_queue: many", "max_queue", "whole number"),
        .provider("stream_options: maybe", "stream_options", "true or false"),
        Mistake("providers:\n  - base_url: http://h/v1\nmodels: []", 2, "providers[0].id", "is missing"),
        Mistake("providers:\n  - id: \"a b\"\n    base_url: http://h/v1\nmodels: []", 2, "providers[0].id", "letters, digits"),
        Mistake("providers:\n  - id: a\nmodels: []", 2, "providers.a.base_url", "is missing"),
        Mistake(
            "providers:\n  - id: a\n    base_url: http://h\n  - id: a\n    base_url: http://h\nmodels: []", 4, "providers.a.id",
            "is taken by the provider at t.yaml:2"),
        Mistake("providers:\n  - seven\nmodels: []", 2, "providers[0]", "must be a mapping"),
        Mistake("\nproviders: sim\nmodels: []", 2, "providers", "must be a list"),
        Mistake("models: []\nproviders: []\n", 2, "providers", "is missing or empty"),
        Mistake("models:\nproviders: []\n", 1, "models", "is missing or empty"),
        // Models
        .model("nmae: x", "nmae", "did you mean 'name'?"),
        .model("deployments: []", "deployments", "is missing or empty"),
        .model("deployments: sim", "deployments", "must be a list"),
        .model("deployments: [sim]", "deployments[0]", "must be a mapping"),
        .model("deployments: [{ provider: smi }]", "deployments[0].provider", "there is no provider 'smi'; did you mean 'sim'?"),
        .model("deployments: [{ model: x }]", "deployments[0].provider", "is missing"),
        .model("deployments: [{ provider: sim }, { provider: sim }]", "deployments[1].provider", "same deployment"),
        .model("price: 3", "price", "must be a mapping"),
        .model("price: { output: 3 }", "price.input", "is missing"),
        .model("price: { input: -1, output: 1 }", "price.input", "must not be negative"),
        .model("price: { input: cheap, output: 1 }", "price.input", "must be a decimal number"),
        .model("price: { input: 0.1234567891, output: 1 }", "price.input", "at most nine decimals"),
        .model("price: { input: .nan, output: 1 }", "price.input", "must be a decimal number"),
        .model("price: { input: .inf, output: 1 }", "price.input", "must be a decimal number"),
        .model("price: { input: 0x10, output: 1 }", "price.input", "must be a decimal number"),
        .model("price: { input: 1000001, output: 1 }", "price.input", "not be more than 1000000"),
        .model("price: { input: 1, output: 1, cache: 1 }", "price.cache", "unknown key"),
        Mistake("\(leastYAML)\n  - name: x", 4, "", "is no valid YAML"),
        Mistake("providers: [{ id: s, base_url: http://h/v1 }]\nmodels:\n  - deployments: [{ provider: s }]", 3, "models[0].name", "is missing"),
        Mistake(
            "providers: [{ id: s, base_url: http://h/v1 }]\nmodels:\n  - name: a\n    deployments: [{ provider: s }]\n  - deployments: [{ provider: s }]\n    name: a",
            6, "models.a.name", "is taken by the model at t.yaml:3"),
        // YAML
        .before("server: ]", "", "is no valid YAML"),
        .before("\tserver: {}", "", "is indented by a tab"),
        .before("server: { port: 1, port: 2 }", "", "'port' is given more than once"),
        .before("server: *nothing", "", "undefined alias"),
        Mistake("a: [1,", 1, "", "is no valid YAML"),
        Mistake("a\n---\nb", 2, "", "another document"),
        Mistake("\n- a", 2, "", "must be a mapping"),
        Mistake("\n\njust words", 3, "", "must be a mapping"),
    ]

    @Test(arguments: mistakes)
    func `is found with its line and a reason`(_ mistake: Mistake) throws {
        let found = problems(mistake.yaml, environment: ["EMPTY": ""])
        let hits = found.filter { $0.path == mistake.path && $0.reason.contains(mistake.reason) }
        let hit = try #require(hits.first, "found only \(found)")
        #expect(hits.count == 1)
        #expect(hit.file == "t.yaml")
        #expect(hit.line == mistake.line)
        #expect((hit.column ?? 1) >= 1)
        #expect(hit.description.hasPrefix("t.yaml:\(mistake.line):"))
    }

    @Test func `does not hide the others, which come in the order of the file`() {
        let found = problems(
            """
            models: [{ name: m, deployments: [{ provider: nobody }] }]
            server: { port: x, host: "" }
            providers: [{ id: sim, base_url: nowhere, api_key: env://A }]
            log: { level: loud }
            """)
        #expect(
            found.map(\.path) == [
                "models.m.deployments[0].provider", "server.port", "server.host", "providers.sim.base_url", "providers.sim.api_key", "log.level",
            ])
        #expect(found.map(\.line) == [1, 2, 2, 3, 3, 4])
    }

    @Test func `never shows a secret`() {
        let found = problems(
            """
            providers: [{ id: sim, base_url: "http://user:hunter2@h/v1?key=hunter2", api_key: "hunter2 " }]
            models: [{ name: m, deployments: [{ provider: sim }] }]
            """)
        #expect(found.count == 2)
        #expect(!"\(found)".contains("hunter2"))
    }

    @Test func `is told of a provider once, not at every model that uses it`() {
        let found = problems("providers: [{ id: sim, base_url: x }]\nmodels: [{ name: m, deployments: [{ provider: sim }] }]")
        #expect(found.map(\.path) == ["providers.sim.base_url"])
    }
}

@Suite struct `A mistake behind a reference` {
    static let secret = "sk-live-info-0123456789"

    @Test(arguments: [
        "server: { port: \"env://SECRET\" }", "server: { tcp: \"env://SECRET\" }", "server: { head_timeout: \"env://SECRET\" }",
        "server: { max_body: \"env://SECRET\" }", "server: { host: \"env://SECRET\" }", "server: { unix_socket_mode: \"env://SECRET\" }",
        "server: { trusted_proxies: \"env://SECRET\" }", "server: { tls: { cert: \"env://SECRET\", key: \"env://SECRET\" } }",
        "log: { level: \"env://SECRET\" }", "network: { deny: \"env://SECRET\" }", "network: { no_proxy: \"env://SECRET\" }",
        "network: { proxy: \"env://SECRET\" }", "network: { ca_file: \"env://SECRET\" }", "pricing: { unknown: { input: \"env://SECRET\" } }",
    ])
    func `is told with the name of the reference, and without what it holds`(text: String) throws {
        for secret in [Self.secret, "sk/\(Self.secret)", "\(Self.secret) \(Self.secret)"] {
            let found = problems("\(text)\n\(leastYAML)", environment: ["SECRET": secret])
            #expect(!found.isEmpty || text.contains("host") || text.contains("no_proxy"), "\(secret)")
            for problem in found {
                #expect(!problem.description.contains("sk-live") && !problem.description.contains("did you mean"), "\(problem)")
            }
        }
    }

    @Test func `names the reference`() {
        let found = problems("server: { port: \"env://SECRET\" }\n\(leastYAML)", environment: ["SECRET": Self.secret])
        #expect(found.map(\.reason) == ["must be a whole number from 0 to 65535, not what env://SECRET holds"])
    }

    @Test func `does not tell a word that is near`() {
        let found = problems("log: { level: \"env://SECRET\" }\n\(leastYAML)", environment: ["SECRET": "infoo"])
        #expect(found.count == 1 && !found[0].reason.contains("infoo") && !found[0].reason.contains("did you mean"))
    }

    @Test func `is told without the value for a deployment's provider, too`() {
        let yaml = "providers: [{ id: sim, base_url: http://h/v1 }]\nmodels: [{ name: m, deployments: [{ provider: \"env://SECRET\" }] }]\n"
        let found = problems(yaml, environment: ["SECRET": Self.secret])
        #expect(found.map(\.reason) == ["no provider has the id that env://SECRET holds"])
    }

    @Test func `is shown as it stands where it is no reference`() {
        #expect(problems("server: { port: \(Self.secret) }\n\(leastYAML)").first?.reason.contains("'\(Self.secret)'") == true)
    }

    @Test func `an empty document has its mistake on a line that is there`() {
        do throws(SettingsError) {
            _ = try Settings.load(yaml: "---", file: "f.yaml", environment: [:])
            Issue.record("taken")
        } catch {
            #expect(error.problems.allSatisfy { ($0.line ?? 1) == 1 })
        }
    }
}
