import Foundation
import Settings
import Testing

@Suite struct `The schema of the file` {
    private let schema = SettingsSchema()

    @Test func `knows what may stand behind every key that a reader knows`() {
        #expect(schema.unexplored == [])
        #expect(schema.patterns.contains("providers[].timeouts.connect"))
        #expect(schema.patterns.contains("models[].deployments[].provider"))
    }

    @Test func `has words for every key and for no other`() {
        let known = Set(schema.patterns)
        #expect(known.subtracting(SettingsSchema.words.keys).sorted() == [], "keys without words")
        #expect(Set(SettingsSchema.words.keys).subtracting(known).sorted() == [], "words without a key")
    }

    @Test func `has every key of the settings in force`() throws {
        let settings = try Settings.load(
            yaml: """
                server: { loops: 2, private: { port: 1 }, unix_socket: /tmp/s, max_connections: 9, trusted_proxies: [10.0.0.0/8] }
                providers:
                  - { id: sim, base_url: "https://h/v1", api_key: k, headers: { X-A: b }, proxy: "http://p:1", server_name: n }
                models:
                  - { name: m, deployments: [{ provider: sim, model: n }], price: { input: 1, output: 2, cached_input: 3, reasoning: 4 } }
                """)
        let known = Set(schema.patterns)
        for (path, _) in settings.effective.leaves() where !path.contains(".headers.") {
            // `providers[0].id` → `providers[].id`; an item of a list of texts stands for its list.
            let pattern = path.replacing(/\[[0-9]+\]/, with: "[]")
            #expect(known.contains(pattern) || (pattern.hasSuffix("[]") && known.contains(String(pattern.dropLast(2)))), "\(path)")
        }
    }

    @Test func `is JSON of the dialect that editors know`() throws {
        let object = try #require(try JSONSerialization.jsonObject(with: Data(schema.json.utf8)) as? [String: Any])
        #expect(object["$schema"] as? String == "https://json-schema.org/draft/2020-12/schema")
        #expect(object["additionalProperties"] as? Bool == false)
        #expect(object["required"] as? [String] == ["providers", "models"])
    }
}

@Suite struct `Settings after a reload` {
    private func settings(_ yaml: String) throws -> Settings { try Settings.load(yaml: yaml + leastYAML, file: "t.yaml") }

    @Test func `are the new ones where they can be changed`() throws {
        let started = try settings("log: { level: info }\n")
        let next = try settings("server: { max_body: 1KiB, drain: { deadline: 5s } }\nlog: { level: debug, calls: all }\nreload: { watch: false }\n")
        let (settings, fixed) = started.reloaded(with: next)
        #expect(fixed == [])
        #expect(settings == next)
    }

    @Test func `stay where they cannot, and say so`() throws {
        let started = try settings("server: { port: 1, max_body: 2KiB }\n")
        let next = try settings("server: { port: 2, max_body: 4KiB, loops: 3 }\ndata: /d\njournal: { min_free: 0 }\n")
        let (settings, fixed) = started.reloaded(with: next)
        #expect(settings.server.port == 1 && settings.server.loops == nil && settings.data == "./data" && settings.server.bodyMaxBytes == 4096)
        #expect(
            Set(fixed) == [
                .init(path: "server.port", inForce: "1", wanted: "2"), .init(path: "server.loops", inForce: nil, wanted: "3"),
                .init(path: "data", inForce: "./data", wanted: "/d"),
                .init(path: "journal.dir", inForce: "./data/journal", wanted: "/d/journal"),
                .init(path: "journal.min_free", inForce: "1MiB", wanted: "0"),
            ])
        #expect(settings.reloaded(with: started).fixed == [], "going back needs no restart")
    }
}
