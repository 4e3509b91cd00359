import Settings
import Testing
import Vocabulary

@Suite struct `Without a file` {
    @Test func `the embedded defaults name the simulator and priced models`() throws {
        let settings = try Settings.load(environment: [:], directory: "/nonexistent")
        #expect(settings == Settings.embedded)
        #expect(settings.file == nil)
        #expect(settings.warnings == [])
        #expect(settings.providers.map(\.id) == ["sim"])
        #expect(settings.providers.first?.baseURL == BaseURL(isTLS: false, host: "127.0.0.1", port: 9900, path: "/v1"))
        // The simulator refuses calls without any key.
        #expect(settings.providers.first?.apiKey != nil)
        #expect(settings.origins == [:])
        #expect(
            settings.models.map(\.name) == [
                "gpt-4o-mini", "gpt-4o", "gpt-3.5-turbo-instruct", "text-embedding-3-small", "text-embedding-3-large",
            ])
        #expect(settings.models.allSatisfy { $0.deployments == [Settings.Deployment(provider: "sim", model: $0.name)] })
        #expect(settings.models.first?.price == Price(input: 150_000_000, output: 600_000_000, cachedInput: 75_000_000))
    }

    @Test func `variables and flags lay over the embedded defaults`() throws {
        let settings = try Settings.load(
            environment: ["MARTLET_PROVIDERS_SIM_BASE_URL": "https://sim.example:8443/x/v1/"], overrides: [("server.port", "0")],
            directory: "/nonexistent")
        #expect(settings.providers.first?.baseURL == BaseURL(isTLS: true, host: "sim.example", port: 8443, path: "/x/v1"))
        #expect(settings.server.port == 0)
    }
}

@Suite struct `A file with only what it must have` {
    @Test func `leaves every default in place`() throws {
        let settings = try Settings.load(yaml: leastYAML)
        let fresh = Settings()
        #expect(settings.server == fresh.server)
        #expect(settings.log == fresh.log)
        #expect(settings.journal == fresh.journal)
        #expect(settings.pricing == fresh.pricing)
        #expect(settings.server.bodyMaxBytes == 10_485_760)
        #expect(settings.server.bufferedMaxBytes == 268_435_456)
        #expect(settings.server.totalTimeout == .seconds(180))
        #expect(settings.journal.directory == "./data/journal")
        #expect(settings.journal.syncInterval == .milliseconds(100))
        #expect(settings.pricing.unknown == Price(input: 10_000_000_000, output: 30_000_000_000, isKnown: false))
        #expect(settings.models.first?.price == nil)
        #expect(settings.adminKey == nil)
    }

    @Test func `puts the journal below another data directory`() throws {
        #expect(try Settings.load(yaml: "data: /var/lib/martlet/\n" + leastYAML).journal.directory == "/var/lib/martlet/journal")
        #expect(try Settings.load(yaml: "data: d\njournal: { dir: /fast/j }\n" + leastYAML).journal.directory == "/fast/j")
    }
}
