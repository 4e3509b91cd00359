import Foundation
import Settings
import Testing

@Suite struct `What is shown of the settings` {
    private let key = "sk-abcdefghijklmnopqrstuvwxyz"

    private func shown() throws -> Settings {
        try Settings.load(
            yaml: """
                providers:
                  - { id: sim, base_url: "https://h/v1", api_key: env://KEY, headers: { X-Secret: swordfish } }
                models:
                  - { name: "yes", deployments: [{ provider: sim, model: "a \\"b\\": #c" }], price: { input: 0.10, output: 0.000000001 } }
                """, environment: ["KEY": key], overrides: [("server.keep_alive", "90")])
    }

    @Test func `has no secret in it`() throws {
        let settings = try shown()
        for text in [settings.effective.yaml, settings.effective.json, "\(settings)", String(reflecting: settings), dumped(settings)] {
            #expect(!text.contains(key))
            #expect(!text.contains("swordfish"))
        }
        #expect(settings.effective.yaml.contains("api_key: \"sk-…wxyz\"  # martlet.yaml:2, env://KEY\n"))
        #expect(settings.effective.yaml.contains("X-Secret: \"***\"  # martlet.yaml:2\n"))
    }

    private func dumped(_ settings: Settings) -> String {
        var text = ""
        dump(settings, to: &text)
        return text
    }

    @Test func `is valid JSON with exact prices`() throws {
        let json = try shown().effective.json
        let object = try #require(try JSONSerialization.jsonObject(with: Data(json.utf8)) as? [String: Any])
        #expect(object.keys.sorted() == ["data", "journal", "log", "models", "network", "pricing", "providers", "reload", "server"])
        #expect(json.contains(#""price":{"input":0.1,"output":0.000000001}"#))
        #expect(json.contains(#""name":"yes""#))
        #expect(json.contains(#""keep_alive":"90s""#))
    }

    @Test func `is itself a configuration that says the same`() throws {
        for settings in [try Settings.load(yaml: validYAML, environment: ["SIM_KEY": "k"]), Settings.embedded, try shown()] {
            var again = try Settings.load(
                yaml: settings.effective.yaml.replacing("***", with: "swordfish").replacing("sk-…wxyz", with: key))
            again.file = settings.file
            again.origins = settings.origins
            again.warnings = settings.warnings
            var expected = settings
            for index in expected.providers.indices where ["k", "sim"].contains(expected.providers[index].apiKey?.value) {
                expected.providers[index].apiKey = Secret("swordfish")
            }
            #expect(again == expected)
        }
    }

    @Test func `names where a value came from only where it is no default`() throws {
        let lines = try shown().effective.yaml.split(separator: "\n")
        #expect(lines.contains("  port: 8000"))
        #expect(lines.contains("  keep_alive: \"90s\"  # command line"))
        #expect(lines.contains("    base_url: \"https://h/v1\"  # martlet.yaml:2"))
    }
}

@Suite struct `A secret` {
    @Test func `shows too little to be used`() {
        #expect(Secret("").masked == "***")
        #expect(Secret("fifteen letters").masked == "***")
        #expect(Secret("sixteen letters!").masked == "six…ers!")
        #expect("\(Secret("sixteen letters!"))" == "six…ers!")
    }
}
