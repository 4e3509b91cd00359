import Settings
import Testing

/// A configuration without a mistake, to be spoilt by tests; the issue's own example.
let validYAML = """
    server: { host: 127.0.0.1, port: 8000 }
    data: ./data
    providers:
      - { id: sim, kind: openai, base_url: "http://127.0.0.1:9900/v1", api_key: "env://SIM_KEY" }
    models:
      - name: gpt-4o-mini
        deployments: [{ provider: sim, model: gpt-4o-mini }]
        price: { input: 0.15, output: 0.60, cached_input: 0.075 }   # USD per million tokens

    """

/// The least that a file must have, for tests to put more in front of.
let leastYAML = """
    providers: [{ id: sim, base_url: "http://127.0.0.1:9900/v1" }]
    models: [{ name: m, deployments: [{ provider: sim }] }]

    """

/// What is wrong with a configuration; empty when it is right.
func problems(
    _ yaml: String, environment: [String: String] = [:], overrides: [(path: String, value: String)] = []
) -> [SettingsError.Problem] {
    do throws(SettingsError) {
        _ = try Settings.load(yaml: yaml, file: "t.yaml", environment: environment, overrides: overrides)
        return []
    } catch {
        return error.problems
    }
}
