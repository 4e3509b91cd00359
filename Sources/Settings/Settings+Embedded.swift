extension Settings {
    /// What holds without any file: the simulator on this machine, with list prices.
    package static let embedded: Settings = SettingsReader(report: ReadingReport(environment: [:])).read(embeddedTree)

    /// The embedded defaults as a file would say them, so that variables and flags lay over them the same way.
    static var embeddedTree: ConfigNode {
        func model(_ name: String, _ price: ConfigNode) -> ConfigNode {
            ["name": ConfigNode(.scalar(name)), "deployments": [["provider": "sim"]], "price": price]
        }
        // The simulator takes any key but, like the provider that it plays, not none.
        return [
            "providers": [["id": "sim", "kind": "openai", "base_url": "http://127.0.0.1:9900/v1", "api_key": "sim"]],
            "models": [
                model("gpt-4o-mini", ["input": "0.15", "output": "0.60", "cached_input": "0.075"]),
                model("gpt-4o", ["input": "2.50", "output": "10.00", "cached_input": "1.25"]),
                model("gpt-3.5-turbo-instruct", ["input": "1.50", "output": "2.00"]),
                model("text-embedding-3-small", ["input": "0.02", "output": "0"]),
                model("text-embedding-3-large", ["input": "0.13", "output": "0"]),
            ],
        ]
    }
}
