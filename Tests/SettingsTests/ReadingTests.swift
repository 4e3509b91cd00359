import Settings
import Testing
import Vocabulary

@Suite struct `A valid file` {
    @Test func `is read with exact prices and resolved references`() throws {
        let settings = try Settings.load(yaml: validYAML, environment: ["SIM_KEY": "sk-1\n"])
        #expect(settings.providers.first?.apiKey == Secret("sk-1"))
        #expect(settings.models.first?.price == Price(input: 150_000_000, output: 600_000_000, cachedInput: 75_000_000))
        #expect(settings.warnings == [])
    }

    @Test func `may set every key`() throws {
        let settings = try Settings.load(
            yaml: """
                server:
                  host: "::"
                  port: 80
                  private: { host: 10.0.0.1, port: 81 }
                  loops: 3
                  max_body: 1MB
                  max_buffered: 1.5GiB
                  total_timeout: 1h
                  head_timeout: 2
                  body_timeout: 1.5s
                  keep_alive: 2m
                  write_stall: 250ms
                  drain: { delay: 0s, deadline: 1d }
                data: /d
                log: { level: debug, calls: all }
                journal: { dir: /j, on_failure: continue, sync_interval: 5ms, segment_size: 512KiB, max_size: 1TB, min_free: 4096 }
                providers:
                  - id: a.b-c_1
                    kind: openai
                    base_url: https://[2001:db8::1]:444
                    api_key: k
                    headers: { X-One: "1", X-Two: env://TWO }
                    timeouts: { connect: 1s, first_byte: 2s, idle: 3s }
                    max_concurrency: 5
                    max_queue: 0
                    stream_options: no
                    retry_stale: false
                models:
                  - name: org/m:1
                    deployments: [{ provider: a.b-c_1, model: other }, { provider: a.b-c_1 }]
                    price: { input: 1, output: 2e0, cached_input: .5, reasoning: 0.000000001 }
                pricing: { unknown: { input: 100, output: 200 } }
                """, environment: ["TWO": "two"])
        #expect(settings.server.host == "::")
        #expect(settings.server.privateListener == Settings.Listener(host: "10.0.0.1", port: 81))
        #expect(settings.server.loops == 3)
        #expect(settings.server.bodyMaxBytes == 1_000_000)
        #expect(settings.server.bufferedMaxBytes == 1_610_612_736)
        #expect(settings.server.totalTimeout == .seconds(3600))
        #expect(settings.server.headTimeout == .seconds(2))
        #expect(settings.server.bodyTimeout == .milliseconds(1500))
        #expect(settings.server.keepAliveTimeout == .seconds(120))
        #expect(settings.server.writeStallTimeout == .milliseconds(250))
        #expect(settings.server.drainDelay == .zero)
        #expect(settings.server.drainDeadline == .seconds(86_400))
        #expect(settings.log.level == .debug)
        #expect(settings.log.calls == .all)
        #expect(settings.journal.onFailure == .continue)
        #expect(settings.journal.syncInterval == .milliseconds(5))
        #expect(settings.journal.segmentSizeBytes == 524_288)
        #expect(settings.journal.sizeMaxBytes == 1_000_000_000_000)
        #expect(settings.journal.freeMinBytes == 4096)
        let provider = try #require(settings.providers.first)
        #expect(provider.baseURL == BaseURL(isTLS: true, host: "2001:db8::1", port: 444, path: ""))
        #expect(provider.baseURL.text == "https://[2001:db8::1]:444")
        #expect(
            provider.headers == [
                Settings.Header(name: "X-One", value: Secret("1")), Settings.Header(name: "X-Two", value: Secret("two")),
            ])
        #expect([provider.connectTimeout, provider.firstByteTimeout, provider.idleTimeout] == [.seconds(1), .seconds(2), .seconds(3)])
        #expect(provider.concurrencyMax == 5)
        #expect(provider.queueMax == 0)
        #expect(!provider.acceptsStreamOptions)
        #expect(!provider.retriesStaleConnections)
        let model = try #require(settings.models.first)
        #expect(model.deployments.map(\.model) == ["other", "org/m:1"])
        #expect(model.price == Price(input: 1_000_000_000, output: 2_000_000_000, cachedInput: 500_000_000, reasoning: 1))
        #expect(settings.pricing.unknown == Price(input: 100_000_000_000, output: 200_000_000_000, isKnown: false))
    }

    @Test func `may use anchors, merge keys and keys of its own for them`() throws {
        let settings = try Settings.load(
            yaml: """
                x-common: &common { kind: openai, timeouts: { connect: 3s }, max_queue: 7 }
                providers:
                  - &first
                    <<: *common
                    id: a
                    base_url: http://a/v1
                  - <<: [{ max_queue: 9 }, *first]
                    id: b
                models:
                  - name: m
                    deployments: &both [{ provider: a }, { provider: b }]
                  - { name: n, deployments: *both }
                """)
        #expect(settings.providers.map(\.id) == ["a", "b"])
        #expect(settings.providers.map(\.queueMax) == [7, 9])
        #expect(settings.providers.map(\.baseURL.text) == ["http://a/v1", "http://a/v1"])
        #expect(settings.providers.allSatisfy { $0.connectTimeout == .seconds(3) })
        #expect(settings.models.map(\.deployments.count) == [2, 2])
    }

    @Test func `may leave sections empty`() throws {
        let settings = try Settings.load(yaml: "server:\nlog: ~\njournal: {}\n" + leastYAML)
        #expect(settings.server == Settings().server)
    }

    @Test func `never takes a price through floating point`() throws {
        // None of these has an exact binary form.
        for (text, nanodollars) in [("0.1", 100_000_000), ("0.000000003", 3), ("999999.999999999", 999_999_999_999_999), ("1e-9", 1)]
            as [(String, Int64)]
        {
            let yaml = leastYAML + "pricing: { unknown: { input: \(text), output: 0 } }"
            #expect(try Settings.load(yaml: yaml).pricing.unknown.input == nanodollars, "\(text)")
        }
    }

    @Test func `may change one part of the price of models without one`() throws {
        let price = try Settings.load(yaml: leastYAML + "pricing: { unknown: { output: 50 } }").pricing.unknown
        #expect(price == Price(input: 10_000_000_000, output: 50_000_000_000, isKnown: false))
    }

    @Test func `warns about a price without output and a key sent in the clear`() throws {
        let settings = try Settings.load(
            yaml: """
                providers: [{ id: p, base_url: "http://models.example.com/v1", api_key: k }, { id: q, base_url: "http://q" }]
                models: [{ name: m, deployments: [{ provider: p }], price: { input: 1 } }]
                """)
        #expect(settings.models.first?.price == Price(input: 1_000_000_000, output: 0))
        #expect(settings.warnings.count == 3)
        #expect(settings.warnings.contains { $0.contains("models.m.price") && $0.contains("output") })
        #expect(settings.warnings.contains { $0.contains("providers.p") && $0.contains("unencrypted") })
        #expect(settings.warnings.contains { $0.contains("providers.q") && $0.contains("/v1") })
    }
}
