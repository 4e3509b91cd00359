import Settings
import Testing

@Suite struct `Variables and flags` {
    @Test func `win over the file, and flags over variables`() throws {
        let environment = ["SIM_KEY": "k", "MARTLET_SERVER_PORT": "9001", "MARTLET_SERVER_HOST": "0.0.0.0", "MARTLET_LOG_LEVEL": "debug"]
        let settings = try Settings.load(yaml: validYAML, environment: environment, overrides: [("server.port", "9002"), ("server.port", "9003")])
        #expect(settings.server.port == 9003)
        #expect(settings.server.host == "0.0.0.0")
        #expect(settings.log.level == .debug)
        #expect(settings.origins["server.port"] == Origin(.commandLine))
        #expect(settings.origins["server.host"] == Origin(.environment("MARTLET_SERVER_HOST")))
        #expect(settings.origins["data"] == Origin(.file("martlet.yaml", line: 2, column: 7)))
        #expect(settings.origins["providers.sim.api_key"]?.description == "martlet.yaml:4, env://SIM_KEY")
        #expect(settings.origins["server.loops"] == nil)
    }

    @Test(arguments: [
        ("MARTLET_DATA", "/d"), ("MARTLET_SERVER_MAX_BODY", "1MiB"), ("MARTLET_JOURNAL_ON_FAILURE", "continue"),
        ("MARTLET_SERVER_DRAIN_DEADLINE", "5s"), ("MARTLET_SERVER_PRIVATE_PORT", "9"), ("MARTLET_PRICING_UNKNOWN_INPUT", "7"),
        ("MARTLET_PROVIDERS_SIM_API_KEY", "other"), ("MARTLET_PROVIDERS_SIM_BASE_URL", "http://o/v1"),
        ("MARTLET_PROVIDERS_SIM_TIMEOUTS_FIRST_BYTE", "1s"), ("MARTLET_MODELS_GPT_4O_MINI_PRICE_OUTPUT", "1"),
    ])
    func `reach every single value by its path`(_ name: String, _ value: String) throws {
        let plain = try Settings.load(yaml: validYAML, environment: ["SIM_KEY": "k"])
        let changed = try Settings.load(yaml: validYAML, environment: ["SIM_KEY": "k", name: value])
        #expect(changed.warnings == [])
        #expect(changed.effective != plain.effective)
        #expect(changed.origins.values.contains(Origin(.environment(name))))
    }

    @Test func `change what they say and nothing else`() throws {
        let settings = try Settings.load(
            yaml: validYAML, environment: ["MARTLET_PROVIDERS_SIM_API_KEY": "env://OTHER", "OTHER": "o", "MARTLET_JOURNAL_ON_FAILURE": "continue"])
        // The file's own reference is not needed any more.
        #expect(settings.providers.first?.apiKey == Secret("o"))
        #expect(settings.journal.onFailure == .continue)
        #expect(settings.server == Settings().server)
    }

    @Test func `are named in mistakes`() {
        let found = problems(
            leastYAML, environment: ["MARTLET_SERVER_PORT": "many"], overrides: [("log.level", "loud"), ("server.prot", "1"), ("models", "x")])
        #expect(
            found.map(\.description).sorted() == [
                "MARTLET_SERVER_PORT: server.port: must be a whole number from 0 to 65535, not 'many'",
                "command line: log.level: must be one of trace, debug, info, notice, warning, error, critical, not 'loud'",
                "command line: models: is no single value of the configuration; one is server.port, another providers.ID.base_url",
                "command line: server.prot: is no single value of the configuration; did you mean server.port?",
            ])
        #expect(found.allSatisfy { $0.file == nil && $0.line == nil })
    }

    @Test func `that set nothing are a warning, and other tools' variables none`() throws {
        let settings = try Settings.load(
            yaml: leastYAML,
            environment: [
                "MARTLET_SREVER_PORT": "1", "MARTLET_WHATEVER": "1", "MARTLET_URL": "http://x", "MARTLET_BINARY": "/m", "MARTLET_API_KEY": "k",
                "PORT": "1", "MARTLET_DATA": "",
            ])
        #expect(
            settings.warnings == [
                "the environment variable MARTLET_SREVER_PORT sets nothing; did you mean MARTLET_SERVER_PORT?",
                "the environment variable MARTLET_WHATEVER sets nothing",
            ])
        #expect(settings.data == "./data")
    }

    @Test func `that could mean two providers are a mistake`() {
        let yaml = """
            providers: [{ id: a-b, base_url: http://h/v1 }, { id: a.b, base_url: http://h/v1 }]
            models: [{ name: m, deployments: [{ provider: a-b }] }]
            """
        let reason = "'a.b' has the same environment variables as 'a-b', MARTLET_PROVIDERS_A_B_…; rename one"
        #expect(problems(yaml).map(\.reason) == [reason])
        #expect(problems(yaml.replacing("a.b", with: "A_B")).map(\.path) == ["providers.A_B.id"])
    }

    @Test func `that could mean two models are a mistake`() {
        let yaml = """
            providers: [{ id: p, base_url: http://h/v1 }]
            models: [{ name: a-b, deployments: [{ provider: p }] }, { name: a.b, deployments: [{ provider: p }] }]
            """
        #expect(problems(yaml) == [])
        let found = problems(yaml, environment: ["MARTLET_MODELS_A_B_PRICE_INPUT": "1"])
        #expect(found.map(\.variable) == ["MARTLET_MODELS_A_B_PRICE_INPUT"])
        #expect(found.first?.reason.contains("could mean models.a-b.price.input or models.a.b.price.input") == true)
        #expect(problems(yaml, overrides: [("models.a.b.price.input", "1"), ("models.a.b.price.output", "1")]) == [])
    }

    @Test func `give the administrator's key`() throws {
        let long = "a-long-administrators-key"
        #expect(try Settings.load(yaml: leastYAML, environment: ["MARTLET_ADMIN_KEY": long]).adminKey == Secret(long))
        #expect(try Settings.load(yaml: leastYAML, environment: ["MARTLET_ADMIN_KEY": ""]).adminKey == nil)
        let short = try Settings.load(yaml: leastYAML, environment: ["MARTLET_ADMIN_KEY": "short"])
        #expect(short.adminKey == Secret("short"))
        #expect(short.warnings.contains { $0.contains("MARTLET_ADMIN_KEY") })
        let found = problems(leastYAML, environment: ["MARTLET_ADMIN_KEY": "with a space"])
        #expect(found.map(\.variable) == ["MARTLET_ADMIN_KEY"])
        #expect(problems(leastYAML, environment: ["MARTLET_ADMIN_KEY": "env://NONE"]).first?.reason == "the environment variable NONE is not set")
    }
}
