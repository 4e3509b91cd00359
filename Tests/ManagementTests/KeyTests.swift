import Contracts
import Foundation
import Management
import NIOCore
import Testing
import Vocabulary

@Suite struct `API keys over the management API` {
    let fixture = Fixture()

    private func create(_ body: String, key: String = "admin") async throws -> Fixture.Reply {
        try await fixture.send("POST", "/api/v1/keys", key: key, body: body)
    }

    @Test(arguments: ["", "  \n", "{}", #"{"name":null,"rights":null}"#])
    func `an empty request makes a key for inference`(body: String) async throws {
        let reply = try await create(body)
        #expect(reply.status == 201)
        let record = try reply.json
        #expect(record["key"] as? String == "secret-1")
        #expect(record["object"] as? String == "api_key")
        #expect(record["rights"] as? [String] == ["inference"])
        #expect(record["tenant"] as? String == "default")
        #expect(record["models"] as? [String] == [])
        #expect(record["masked"] as? String == "mk_abcd…wxyz")
        #expect(record["created_at"] as? String == "2025-10-09T08:53:20.000000Z")
        #expect(record["expires_at"] is NSNull)
        #expect(record["revoked_at"] is NSNull)
        #expect(record["status"] as? String == "active")
    }

    @Test func `every field arrives`() async throws {
        let reply = try await create(
            #"{"name":"ci \"1\"","tenant":"acme","team":"red","agent":"coder","user":"ann","rights":["inference","usage"],"#
                + #""models":["gpt-4o*","org/m:1"],"expires_at":"2030-01-02T03:04:05Z"}"#)
        #expect(reply.status == 201)
        let record = try #require(try await fixture.keys.list().first)
        #expect(record.name == #"ci "1""#)
        #expect([record.tenant, record.team, record.agent, record.user] == ["acme", "red", "coder", "ann"])
        #expect(record.rights == [.inference, .usage])
        #expect(record.models == ["gpt-4o*", "org/m:1"])
        #expect(record.expiresAt?.rfc3339 == "2030-01-02T03:04:05.000000Z")
    }

    @Test(
        arguments: [
            (#"{"scopes":"admin"}"#, Rights.administrator, []), (#"{"rights":"usage","allowed_models":"gpt-4o"}"#, .usage, ["gpt-4o"]),
            (#"{"rights":[]}"#, [], []),
        ] as [(String, Rights, [String])])
    func `aliases and single strings are taken`(body: String, rights: Rights, models: [String]) async throws {
        #expect(try await create(body).status == 201)
        let record = try #require(try await fixture.keys.list().first)
        #expect(record.rights == rights)
        #expect(record.models == models)
    }

    @Test(arguments: [
        (#"{"expires_at":"2030-01-01"}"#, 1_893_456_000), (#"{"expires_at":1893456000}"#, 1_893_456_000),
        (#"{"expires_at":"1893456000"}"#, 1_893_456_000), (#"{"expires_in":3600}"#, 1_760_003_600), (#"{"expires_in":"24h"}"#, 1_760_086_400),
        (#"{"ttl":"30m"}"#, 1_760_001_800), (#"{"expires_in_seconds":1}"#, 1_760_000_001), (#"{"ttl":"7d"}"#, 1_760_604_800),
        (#"{"ttl":"90"}"#, 1_760_000_090),
    ])
    func `expiry is read in every form`(body: String, second: Int64) async throws {
        #expect(try await create(body).status == 201)
        #expect(try await fixture.keys.list().first?.expiresAt == WallTime(microseconds: second * 1_000_000))
    }

    @Test(
        arguments: [
            ("{", "invalid_json", nil), ("[]", "invalid_json", nil), ("\"x\"", "invalid_json", nil), ("nul", "invalid_json", nil),
            ("{}}", "invalid_json", nil), (String(repeating: "[", count: 60_000), "invalid_json", nil),
            (#"{"nmae":"x"}"#, "unknown_parameter", "nmae"), (#"{"key":"mk_mine"}"#, "unknown_parameter", "key"),
            (#"{"name":1}"#, "invalid_type", "name"), (#"{"tenant":["a"]}"#, "invalid_type", "tenant"), (#"{"team":{}}"#, "invalid_type", "team"),
            (#"{"tenant":""}"#, "invalid_value", "tenant"), (#"{"user":"a\nb"}"#, "invalid_value", "user"),
            (#"{"name":"a\u0000"}"#, "invalid_value", "name"),
            ("{\"name\":\"" + String(repeating: "a", count: 257) + "\"}", "invalid_value", "name"),
            (#"{"rights":true}"#, "invalid_type", "rights"), (#"{"rights":["root"]}"#, "invalid_value", "rights"),
            (#"{"rights":[1]}"#, "invalid_type", "rights"), (#"{"rights":"usage","scopes":"usage"}"#, "duplicate_parameter", "scopes"),
            (#"{"models":7}"#, "invalid_type", "models"), (#"{"models":[null]}"#, "invalid_type", "models"),
            (#"{"models":[""]}"#, "invalid_value", "models"), (#"{"expires_at":true}"#, "invalid_type", "expires_at"),
            (#"{"expires_at":"tomorrow"}"#, "invalid_value", "expires_at"), (#"{"expires_at":"2020-01-01"}"#, "invalid_value", "expires_at"),
            (#"{"expires_at":1e300}"#, "invalid_value", "expires_at"), (#"{"expires_at":1760000000}"#, "invalid_value", "expires_at"),
            (#"{"expires_in":0}"#, "invalid_value", "expires_in"), (#"{"expires_in":-5}"#, "invalid_value", "expires_in"),
            (#"{"expires_in":"soon"}"#, "invalid_value", "expires_in"), (#"{"ttl":"1e99h"}"#, "invalid_value", "ttl"),
            (#"{"ttl":[]}"#, "invalid_type", "ttl"), (#"{"ttl":"1h","expires_at":"2030-01-01"}"#, "duplicate_parameter", "ttl"),
        ] as [(String, String, String?)])
    func `a bad request says what is wrong and makes nothing`(body: String, code: String, parameter: String?) async throws {
        let reply = try await create(body)
        #expect(reply.status == 400)
        #expect(try reply.errorCode == code)
        #expect(try reply.error["param"] as? String == parameter)
        #expect(try await fixture.keys.list().isEmpty)
    }

    @Test func `an unknown field is answered with the known ones`() async throws {
        let message = try #require(try await create(#"{"nmae":"x"}"#).error["message"] as? String)
        #expect(message.contains("'nmae'") && message.contains("name") && message.contains("expires_in"))
    }

    @Test func `invalid UTF-8 is no JSON`() async throws {
        let recorder = AnswerRecorder()
        var body = Array(#"{"name":""#.utf8)
        body += [0xff, 0xc0]
        body += Array(#""}"#.utf8)
        try await fixture.plane.answer(
            ControlRequest(
                method: "POST", uri: "/api/v1/keys", headers: [("authorization", "Bearer admin")], body: .init(bytes: body),
                clientAddress: "", requestID: "r"), to: recorder)
        #expect(recorder.answer.status == 400)
    }

    @Test func `nobody can make a key with more rights than the own one, inference excepted`() async throws {
        let reply = try await create(#"{"rights":["usage"]}"#, key: "maker")
        #expect(reply.status == 403)
        #expect(try (reply.error["message"] as? String)?.contains("usage") == true)
        #expect(try await create(#"{"rights":["keys","inference"]}"#, key: "maker").status == 201)
    }

    @Test(arguments: [
        ("", 403), (#"{"models":[]}"#, 403), (#"{"models":"*"}"#, 403), (#"{"models":["gpt-4o","o3"]}"#, 403), (#"{"models":"gpt-4*"}"#, 403),
        (#"{"models":"gpt-4o"}"#, 201), (#"{"models":["gpt-4o*","gpt-4o-mini"]}"#, 201),
    ])
    func `nobody can make a key for more models than the own one`(body: String, status: Int) async throws {
        let reply = try await create(body, key: "lead")
        #expect(reply.status == status)
        if status == 403 { #expect(try reply.error["code"] as? String == "models_not_yours") }
        #expect(try await fixture.keys.list().count == (status == 201 ? 1 : 0))
    }

    @Test(arguments: [
        ("acme", "", 201), ("acme", #"{"tenant":"default"}"#, 403), ("acme", #"{"tenant":"acme"}"#, 201), ("admin", #"{"tenant":"other"}"#, 201),
        ("any", "", 201), ("any", #"{"models":"o3"}"#, 201), ("short", "", 403), ("short", #"{"expires_in":"61s"}"#, 403),
        ("short", #"{"expires_in":"60s"}"#, 201),
    ])
    func `a key that is made belongs to the maker's tenant and lives no longer`(key: String, body: String, status: Int) async throws {
        let reply = try await create(body, key: key)
        #expect(reply.status == status)
        guard status == 201, key == "acme" else { return }
        #expect(try reply.json["tenant"] as? String == "acme")
    }

    @Test func `keys of other tenants are not there`() async throws {
        #expect(try await create("").status == 201)
        #expect(try await fixture.get("/api/v1/keys", key: "acme").data.isEmpty)
        for (method, path) in [("GET", "/api/v1/keys/key_1"), ("DELETE", "/api/v1/keys/key_1"), ("POST", "/api/v1/keys/key_1/rotate")] {
            #expect(try await fixture.send(method, path, key: "acme", body: "").status == 404)
        }
        #expect(try await fixture.keys.list().first?.revokedAt == nil)
    }

    @Test func `nobody can revoke a key with more rights than the own one`() async throws {
        #expect(try await create(#"{"rights":["admin"]}"#).status == 201)
        #expect(try await fixture.send("DELETE", "/api/v1/keys/key_1", key: "maker").status == 403)
        #expect(try await fixture.keys.list().first?.revokedAt == nil)
        #expect(try await fixture.send("DELETE", "/api/v1/keys/key_1").status == 200)
    }

    @Test func `nobody can take over a key for more models than the own one`() async throws {
        #expect(try await create("").status == 201)
        #expect(try await fixture.send("POST", "/api/v1/keys/key_1/rotate", key: "lead", body: "").status == 403)
        #expect(try await fixture.keys.list().first?.rotatedAt == nil)
    }

    @Test func `a store without room is 503, a collision 409`() async throws {
        fixture.keys.failure = .unavailable("full")
        #expect(try await create("").status == 503)
        fixture.keys.failure = .duplicate("id")
        #expect(try await create("").status == 409)
    }

    @Test func `keys are listed without their secrets`() async throws {
        for name in ["a", "b"] { _ = try await create("{\"name\":\"\(name)\"}") }
        let reply = try await fixture.get("/api/v1/keys")
        #expect(reply.status == 200)
        #expect(try reply.data.map { $0["name"] as? String } == ["a", "b"])
        #expect(try reply.json["object"] as? String == "list")
        #expect(try reply.json["has_more"] as? Bool == false)
        #expect(!reply.text.contains("secret"))
        #expect(!reply.text.contains("hash"))
    }

    @Test func `one key is shown by its id`() async throws {
        _ = try await create("")
        #expect(try await fixture.get("/api/v1/keys/key_1").json["id"] as? String == "key_1")
        #expect(try await fixture.get("/api/v1/keys/key%5F1").json["id"] as? String == "key_1")
        let unknown = try await fixture.get("/api/v1/keys/key_9")
        #expect(unknown.status == 404)
        #expect(try unknown.errorCode == "key_not_found")
        #expect(try await fixture.get("/api/v1/keys/%ff").status == 400)
    }

    @Test func `revoking answers with the revoked key, and 404 for an unknown one`() async throws {
        _ = try await create("")
        let reply = try await fixture.send("DELETE", "/api/v1/keys/key_1")
        #expect(reply.status == 200)
        let record = try reply.json
        #expect(record["id"] as? String == "key_1")
        #expect(record["deleted"] as? Bool == true)
        #expect(record["revoked"] as? Bool == true)
        #expect(record["status"] as? String == "revoked")
        #expect(try await fixture.send("DELETE", "/api/v1/keys/key_9").status == 404)
    }

    @Test func `an expired key is shown as expired`() async throws {
        _ = try await create(#"{"ttl":1}"#)
        // The clock of the fixture stands still, so the record is moved instead.
        _ = try await fixture.keys.create(KeyRequest(expiresAt: Fixture.now))
        #expect(try await fixture.get("/api/v1/keys").data.map { $0["status"] as? String } == ["active", "expired"])
    }
}
