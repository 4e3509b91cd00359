import Contracts
import NIOConcurrencyHelpers
import NIOCore
import Testing

@Suite struct `Every route of the control plane` {
    let fixture = Fixture()

    static let guarded = [
        ("GET", "/api/v1/keys"), ("POST", "/api/v1/keys"), ("GET", "/api/v1/keys/key_1"), ("DELETE", "/api/v1/keys/key_1"),
        ("GET", "/api/v1/usage"), ("GET", "/api/v1/usage/totals"), ("GET", "/api/v1/usage/export"), ("GET", "/api/v1/usage/req"),
        ("POST", "/api/v1/usage/flush"), ("GET", "/api/v1/models"), ("GET", "/api/v1/providers"), ("GET", "/metrics"),
        ("GET", "/health/dependencies"),
    ]

    @Test(arguments: guarded)
    func `refuses whoever has no valid key`(method: String, path: String) async throws {
        for (key, code) in [(nil, "missing_api_key"), ("wrong", "invalid_api_key"), ("late", "expired_api_key")] as [(String?, String)] {
            let reply = try await fixture.send(method, path, key: key)
            #expect(reply.status == 401)
            #expect(try reply.errorCode == code)
            #expect(reply.header("www-authenticate") == "Bearer")
        }
    }

    @Test(arguments: [
        ("GET", "/api/v1/keys", "keys"), ("POST", "/api/v1/keys", "keys"), ("DELETE", "/api/v1/keys/key_1", "keys"),
        ("POST", "/api/v1/usage/flush", "usage"), ("GET", "/metrics", "metrics"), ("GET", "/health/dependencies", "metrics"),
    ])
    func `refuses a key without the right`(method: String, path: String, right: String) async throws {
        let reply = try await fixture.send(method, path, key: "plain")
        #expect(reply.status == 403)
        #expect(try reply.errorCode == "insufficient_permissions")
        #expect(try (reply.error["message"] as? String)?.contains("'\(right)'") == true)
        #expect(try reply.error["type"] as? String == "permission_error")
    }

    @Test(
        arguments: [
            [("x-api-key", "admin")], [("api-key", "admin")], [("authorization", "bearer admin")], [("Authorization", "BEARER   admin")],
            [("Authorization", "Basic eA=="), ("x-api-key", "admin")],
        ] as [[(name: String, value: String)]])
    func `takes the key from any of the usual headers`(headers: [(name: String, value: String)]) async throws {
        #expect(try await fixture.send("GET", "/api/v1/keys", key: nil, headers: headers).status == 200)
    }

    @Test(arguments: ["/nothing", "/api/v1", "/api/v2/keys", "/api/v1/keys/a/b", "/api/v1/usage/a/b", "/%00", "/../etc/passwd", "//", "/v1/x?a=b"])
    func `that is none is 404`(path: String) async throws {
        let reply = try await fixture.get(path)
        // Two slashes are the root to Hummingbird.
        guard path != "//" else { return #expect(reply.status == 200) }
        #expect(reply.status == 404)
        #expect(try reply.errorCode == "unknown_url")
        #expect(try reply.error.keys.sorted() == ["code", "message", "param", "type"])
    }

    @Test(arguments: [
        ("PUT", "/api/v1/keys", "GET, HEAD, POST"), ("PATCH", "/api/v1/keys/key_1", "GET, HEAD, DELETE"),
        ("DELETE", "/api/v1/usage", "GET, HEAD"), ("GET", "/api/v1/usage/flush", "POST"), ("HEAD", "/api/v1/usage/flush", "POST"),
        ("POST", "/health", "GET, HEAD"), ("BREW", "/metrics", "GET, HEAD"), ("OPTIONS", "/", "GET, HEAD"), ("*", "/", "GET, HEAD"),
    ])
    func `names the methods that it allows`(method: String, path: String, allow: String) async throws {
        let reply = try await fixture.send(method, path)
        #expect(reply.status == 405)
        #expect(reply.header("allow") == allow)
        if method != "HEAD" { #expect(try reply.errorCode == "method_not_supported") }
    }

    @Test(arguments: ["/", "/health", "/livez", "/metrics", "/api/v1/keys", "/api/v1/usage", "/api/v1/models", "/api/v1/usage/export", "/nothing"])
    func `answers HEAD as GET, without the body`(path: String) async throws {
        let get = try await fixture.get(path)
        let head = try await fixture.send("HEAD", path)
        #expect(head.status == get.status)
        #expect(head.recorded.contentLength == get.recorded.contentLength)
        #expect(head.header("content-type") == get.header("content-type"))
        #expect(head.recorded.body.readableBytes == 0)
        #expect(get.recorded.body.readableBytes > 0)
    }

    @Test func `reads a target in absolute form`() async throws {
        #expect(try await fixture.get("http://example.com/livez").status == 200)
        #expect(try await fixture.get("http://example.com").status == 200)
        #expect(try await fixture.get("livez").status == 400)
        #expect(try await fixture.get("").status == 400)
        #expect(try await fixture.send("OPTIONS", "*").status == 400)
    }

    @Test func `refuses a body that is too large`() async throws {
        let reply = try await fixture.send("POST", "/api/v1/keys", body: String(repeating: " ", count: 65_537))
        #expect(reply.status == 413)
        #expect(try reply.errorCode == "request_too_large")
    }

    @Test func `refuses an encoded body`() async throws {
        let reply = try await fixture.send("POST", "/api/v1/keys", headers: [("content-encoding", "gzip")], body: "{}")
        #expect(reply.status == 415)
        #expect(try await fixture.send("POST", "/api/v1/keys", headers: [("content-encoding", "identity")], body: "{}").status == 201)
    }

    @Test(arguments: ["/api/v1/usage", "/api/v1/usage/totals", "/api/v1/usage/export?format=csv", "/api/v1/usage/req"])
    func `says 503 while the store is away`(path: String) async throws {
        fixture.usage.state.withLockedValue { $0.failure = .unavailable("/secret/path is locked") }
        let reply = try await fixture.get(path)
        #expect(reply.status == 503)
        #expect(try reply.errorCode == "store_unavailable")
        #expect(reply.header("retry-after") == "1")
        #expect(!reply.text.contains("secret"))
    }

    @Test func `says 500, and not why, when the store is broken`() async throws {
        fixture.keys.failure = .corrupt("page 7 of /secret/path")
        let reply = try await fixture.get("/api/v1/keys")
        #expect(reply.status == 500)
        #expect(try reply.errorCode == "internal_error")
        #expect(!reply.text.contains("secret"))
    }
}
