import Contracts
import Foundation
import NIOConcurrencyHelpers
import Testing
import Vocabulary

@Suite struct `The configuration over the management API` {
    let fixture = Fixture()

    @Test(arguments: ["plain", "reader", "maker", "watcher"])
    func `is for administrators`(key: String) async throws {
        #expect(try await fixture.get("/api/v1/config", key: key).status == 403)
        #expect(try await fixture.send("POST", "/api/v1/config/reload", key: key).status == 403)
        #expect(fixture.configuration.configuration.generation == 1)
    }

    @Test func `is shown with where it came from`() async throws {
        let shown = try await fixture.get("/api/v1/config").json
        #expect(shown["generation"] as? Int == 1)
        #expect(shown["source"] as? String == "martlet.yaml")
        #expect(shown["trigger"] as? String == "start")
        #expect(shown["last_failure"] is NSNull)
        #expect((shown["config"] as? [String: Any])?["data"] as? String == "./data")
    }

    @Test func `is reloaded, and what needs a restart is said`() async throws {
        fixture.configuration.needs.withLockedValue { $0 = [RestartNeed(path: "server.loops", inForce: nil, wanted: "3")] }
        let reply = try await fixture.send("POST", "/api/v1/config/reload")
        #expect(reply.status == 200)
        #expect(try reply.json["reloaded"] as? Bool == true)
        #expect(try reply.json["generation"] as? Int == 2)
        #expect(try reply.json["trigger"] as? String == "api")
        let need = try #require((try reply.json["needs_restart"] as? [[String: Any]])?.first)
        #expect(need["path"] as? String == "server.loops" && need["wanted"] as? String == "3" && need["in_force"] is NSNull)
    }

    @Test func `is refused with every mistake and its place`() async throws {
        fixture.configuration.refusal.withLockedValue {
            $0 = [
                ConfigurationProblem(file: "martlet.yaml", line: 3, column: 7, path: "server.port", reason: "must be a number"),
                ConfigurationProblem(variable: "MARTLET_DATA", path: "data", reason: "must not be empty"),
            ]
        }
        let reply = try await fixture.send("POST", "/api/v1/config/reload")
        #expect(reply.status == 422)
        #expect(try reply.errorCode == "invalid_configuration")
        let message = try #require(try reply.error["message"] as? String)
        #expect(message.contains("2 mistakes") && message.contains("martlet.yaml:3:7: server.port: must be a number"))
        let problems = try #require(try reply.error["problems"] as? [[String: Any]])
        #expect(problems.count == 2)
        #expect(problems[0]["line"] as? Int == 3 && problems[0]["column"] as? Int == 7 && problems[0]["path"] as? String == "server.port")
        #expect(problems[1]["variable"] as? String == "MARTLET_DATA" && problems[1]["line"] is NSNull)
        let failure = try #require(try await fixture.get("/api/v1/config").json["last_failure"] as? [String: Any])
        #expect((failure["problems"] as? [Any])?.count == 2 && failure["trigger"] as? String == "api")
    }
}

@Suite struct `Rotation over the management API` {
    let fixture = Fixture()

    @Test(arguments: [
        (#"{"grace":"24h"}"#, 86_400), (#"{"grace":90}"#, 90), (#"{"grace_period":"7d"}"#, 604_800), ("", 0), (#"{"grace":"0s"}"#, 0),
        (#"{"grace":null}"#, 0),
    ])
    func `takes a grace in every usual form`(body: String, seconds: Int64) async throws {
        _ = try await fixture.send("POST", "/api/v1/keys", body: "")
        let reply = try await fixture.send("POST", "/api/v1/keys/key_1/rotate", body: body)
        #expect(reply.status == 200)
        #expect(try reply.json["key"] as? String == "rotated-key_1")
        let end = seconds > 0 ? WallTime(microseconds: Fixture.now.microseconds + seconds * 1_000_000).rfc3339 : nil
        #expect(try reply.json["previous_expires_at"] as? String == end)
        #expect(try reply.json["rotated_at"] as? String == Fixture.now.rfc3339)
    }

    @Test(arguments: [
        (#"{"grace":"soon"}"#, 400), (#"{"grace":-1}"#, 400), (#"{"grace":"366d"}"#, 400), (#"{"grace":[1]}"#, 400), (#"{"other":1}"#, 400),
        (#"{"grace":1,"grace_period":1}"#, 400), ("[]", 400), ("{", 400),
    ])
    func `refuses any other`(body: String, status: Int) async throws {
        _ = try await fixture.send("POST", "/api/v1/keys", body: "")
        #expect(try await fixture.send("POST", "/api/v1/keys/key_1/rotate", body: body).status == status)
        #expect(try await fixture.keys.list().first?.rotatedAt == nil)
    }

    @Test func `is only for keys that exist, live and may no more than the caller`() async throws {
        _ = try await fixture.send("POST", "/api/v1/keys", body: #"{"rights":"admin"}"#)
        _ = try await fixture.send("POST", "/api/v1/keys", body: "")
        #expect(try await fixture.send("POST", "/api/v1/keys/key_1/rotate", key: "maker").status == 403)
        #expect(try await fixture.send("POST", "/api/v1/keys/key_2/rotate", key: "maker").status == 200)
        #expect(try await fixture.send("POST", "/api/v1/keys/key_2/rotate", key: "plain").status == 403)
        #expect(try await fixture.send("POST", "/api/v1/keys/key_9/rotate").status == 404)
        #expect(try await fixture.send("POST", "/api/v1/keys/key_admin/rotate").errorCode == "key_is_configured")
        _ = try await fixture.send("DELETE", "/api/v1/keys/key_2")
        #expect(try await fixture.send("POST", "/api/v1/keys/key_2/rotate").errorCode == "key_revoked")
    }
}
