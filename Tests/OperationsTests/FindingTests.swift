import Foundation
import Operations
import Settings
import Testing

@Suite struct `Findings of the doctor` {
    private let findings = [
        Finding("disk", .ok, "room"), Finding("longer name", .warn, "a \"quoted\"\nline", hint: "do this"), Finding("port", .fail, "taken"),
    ]

    @Test func `are as bad as the worst of them`() {
        #expect(findings.worst == .fail)
        #expect([Finding]().worst == .ok)
        #expect(findings.dropLast().map(\.status).max() == .warn)
    }

    @Test func `are a line each, with what to do below`() {
        #expect(
            findings.text == """
                ok    disk         room
                warn  longer name  a "quoted"\u{FFFD}line
                      → do this
                fail  port         taken
                1 ok, 1 warn, 1 fail

                """)
    }

    @Test func `are JSON for programs`() throws {
        let object = try #require(try JSONSerialization.jsonObject(with: Data(findings.json.utf8)) as? [String: Any])
        #expect(object["status"] as? String == "fail")
        let checks = try #require(object["checks"] as? [[String: Any]])
        #expect(checks.map { $0["status"] as? String } == ["ok", "warn", "fail"])
        #expect(checks[1]["message"] as? String == "a \"quoted\"\nline" && checks[1]["hint"] as? String == "do this")
        #expect(checks[0]["hint"] is NSNull)
    }

    @Test func `about files name every secret that others can read`() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("doctor-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let file = folder + "/martlet.yaml"
        let yaml = """
            data: \(folder)
            providers: [{ id: sim, base_url: "http://127.0.0.1:1/v1", api_key: sk-0123456789abcdef, headers: { X-Key: abc } }]
            models: [{ name: m, deployments: [{ provider: sim }] }]
            """
        #expect(FileManager.default.createFile(atPath: file, contents: Data(yaml.utf8), attributes: [.posixPermissions: 0o644]))
        let settings = try Settings.load(file: file, environment: [:])
        let found = try #require(FileChecks(settings).run().first { $0.check == "configuration file" })
        #expect(found.status == .warn)
        #expect(found.message.contains("providers.sim.api_key, providers.sim.headers.X-Key") && !found.message.contains("sk-"))
    }
}
