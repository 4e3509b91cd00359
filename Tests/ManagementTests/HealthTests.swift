import Contracts
import Foundation
import NIOConcurrencyHelpers
import Testing

@Suite struct `Health, metrics and the catalogue` {
    let fixture = Fixture()

    @Test(arguments: ["/health", "/healthz", "/api/v1/health", "/health?verbose"])
    func `health is open and tells the state`(path: String) async throws {
        var reply = try await fixture.get(path, key: nil)
        #expect(reply.status == 200)
        #expect(try reply.json["status"] as? String == "healthy")
        #expect(try reply.json["version"] as? String == "1.2.3")
        for state in [HealthState.degraded, .unhealthy] {
            fixture.health.set(dependencies: [DependencyHealth(name: "store", state: state, message: "/secret/path")])
            reply = try await fixture.get(path, key: nil)
            #expect(reply.status == 200)
            #expect(try reply.json["status"] as? String == "degraded")
            #expect(!reply.text.contains("secret"))
        }
        fixture.health.set(reason: "draining")
        reply = try await fixture.get(path, key: nil)
        #expect(reply.status == 503)
        #expect(try reply.json["status"] as? String == "unhealthy")
        fixture.health.set(isStarted: false)
        #expect(try await fixture.get(path, key: nil).status == 503)
    }

    @Test(arguments: ["/health/live", "/livez"])
    func `liveness asks nothing and nobody`(path: String) async throws {
        fixture.health.set(isStarted: false, reason: "draining", dependencies: [DependencyHealth(name: "x", state: .unhealthy)])
        #expect(try await fixture.get(path, key: nil).status == 200)
        #expect(fixture.health.asked.withLockedValue { $0 } == 0)
    }

    @Test(arguments: ["/health/ready", "/readyz"])
    func `readiness gives its reason and does not mind dependencies`(path: String) async throws {
        fixture.health.set(dependencies: [DependencyHealth(name: "x", state: .unhealthy)])
        #expect(try await fixture.get(path, key: nil).status == 200)
        #expect(fixture.health.asked.withLockedValue { $0 } == 0)
        fixture.health.set(reason: "the journal cannot be written")
        let reply = try await fixture.get(path, key: nil)
        #expect(reply.status == 503)
        #expect(try reply.json["reason"] as? String == "the journal cannot be written")
        fixture.health.set(isStarted: false)
        #expect(try await fixture.get(path, key: nil).status == 503)
    }

    @Test(arguments: ["/health/startup", "/startupz"])
    func `start-up is over when it is`(path: String) async throws {
        #expect(try await fixture.get(path, key: nil).status == 200)
        fixture.health.set(isStarted: false)
        #expect(try await fixture.get(path, key: nil).status == 503)
    }

    @Test func `operators see the dependencies`() async throws {
        fixture.health.set(dependencies: [
            DependencyHealth(name: "store", state: .healthy, latencyMilliseconds: 0.1234),
            DependencyHealth(name: "sim", state: .degraded, message: "m"),
        ])
        let reply = try await fixture.get("/health/dependencies", key: "watcher")
        #expect(reply.status == 200)
        #expect(reply.text.contains(#""dependencies":[{"name":"store","status":"healthy","latency_ms":0.123,"message":""},"#))
        #expect(reply.text.contains(#"{"name":"sim","status":"degraded","latency_ms":null,"message":"m"}]"#))
    }

    @Test func `metrics are in Prometheus' own format`() async throws {
        let reply = try await fixture.get("/metrics", key: "watcher")
        #expect(reply.status == 200)
        #expect(reply.header("content-type") == "text/plain; version=0.0.4; charset=utf-8")
        #expect(reply.text == "# TYPE llm_active_requests gauge\nllm_active_requests 3\n")
    }

    @Test func `the private listener asks operators for no key, and everybody else still`() async throws {
        let fixture = Fixture(isPrivate: true)
        #expect(try await fixture.get("/metrics", key: nil).status == 200)
        #expect(try await fixture.get("/health/dependencies", key: nil).status == 200)
        #expect(try await fixture.get("/api/v1/keys", key: nil).status == 401)
        #expect(try await fixture.get("/api/v1/usage", key: nil).status == 401)
    }

    @Test func `models have exact prices, and a key sees the ones that it may use`() async throws {
        let reply = try await fixture.get("/api/v1/models")
        #expect(try reply.data.map { $0["id"] as? String } == ["gpt-4o-mini", "other"])
        #expect(reply.text.contains(#""price":{"input":0.15,"output":0.6,"cached_input":0.075,"reasoning":null,"currency":"USD","#))
        let model = try #require(try reply.data.first)
        #expect(model["object"] as? String == "model")
        #expect(model["created"] as? Int == 1_760_000_000)
        #expect((model["deployments"] as? [[String: String]])?.first == ["name": "sim/gpt-4o-mini", "provider": "sim", "model": "gpt-4o-mini"])
        #expect(try await fixture.get("/api/v1/models", key: "plain").data.map { $0["id"] as? String } == ["gpt-4o-mini"])
    }

    @Test func `providers are shown without their keys`() async throws {
        let reply = try await fixture.get("/api/v1/providers", key: "plain")
        let provider = try #require(try reply.data.first)
        #expect(provider["base_url"] as? String == "http://[::1]:9900/v1")
        #expect(provider["models"] as? [String] == ["gpt-4o-mini", "other"])
        #expect((provider["limits"] as? [String: Int]) == ["max_concurrency": 4, "max_queue": 5])
        #expect(!reply.text.contains("secret"))
    }

    @Test func `the root says where things are`() async throws {
        let reply = try await fixture.get("/", key: nil)
        #expect(reply.status == 200)
        #expect(try reply.json["name"] as? String == "martlet")
        #expect(try (reply.json["endpoints"] as? [String: String])?["usage"] == "/api/v1/usage")
    }
}
