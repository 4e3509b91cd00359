import Foundation
import Settings
import Testing

@Suite final class `A configuration file` {
    private let directory: String

    init() throws {
        directory = FileManager.default.temporaryDirectory.appendingPathComponent("martlet-settings-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    }

    deinit {
        try? FileManager.default.removeItem(atPath: directory)
    }

    private func write(_ bytes: some Sequence<UInt8>, as name: String) throws -> String {
        let path = "\(directory)/\(name)"
        try Data(bytes).write(to: URL(fileURLWithPath: path))
        return path
    }

    private func firstProblem(in file: String?, environment: [String: String] = [:]) -> SettingsError.Problem? {
        do throws(SettingsError) {
            _ = try Settings.load(file: file, environment: environment, directory: directory)
            return nil
        } catch {
            return error.problems.first
        }
    }

    @Test func `is taken from the flag, then the variable, then the directory`() throws {
        let flag = try write("server: { port: 1 }\n\(leastYAML)".utf8, as: "flag.yaml")
        let variable = try write("server: { port: 2 }\n\(leastYAML)".utf8, as: "variable.yaml")
        _ = try write("server: { port: 3 }\n\(leastYAML)".utf8, as: "martlet.yaml")
        let environment = ["MARTLET_CONFIG": variable]
        #expect(try Settings.load(file: flag, environment: environment, directory: directory).server.port == 1)
        #expect(try Settings.load(environment: environment, directory: directory).server.port == 2)
        let settings = try Settings.load(environment: [:], directory: directory)
        #expect(settings.server.port == 3)
        #expect(settings.file == "\(directory)/martlet.yaml")
    }

    @Test func `that is missing, a directory, or not readable as text is named with its reason`() throws {
        #expect(firstProblem(in: "\(directory)/none.yaml")?.description == "\(directory)/none.yaml: there is no such file")
        #expect(firstProblem(in: directory)?.reason.contains("is a directory") == true)
        let binary = try write([0x61, 0x3a, 0x0a, 0x62, 0xff], as: "binary.yaml")
        #expect(firstProblem(in: binary)?.description == "\(binary):2: is no valid UTF-8")
        let large = try write(repeatElement(UInt8(ascii: "#"), count: 5 << 20), as: "large.yaml")
        #expect(firstProblem(in: large)?.reason.contains("is larger than 4MiB") == true)
    }

    @Test(arguments: ["", "# nothing yet\n", "---\n", "server: { port: 1 }\n"])
    func `that names no providers and models is a mistake, not the embedded defaults`(_ text: String) throws {
        let file = try write(text.utf8, as: "empty.yaml")
        let problem = try #require(firstProblem(in: file))
        #expect(problem.path == "providers")
        #expect(problem.reason.contains("is missing or empty"))
    }

    @Test func `can refer to secrets in files, whose last line breaks do not count`() throws {
        let secret = try write("sk-from-file\r\n".utf8, as: "secret")
        let yaml = "providers: [{ id: s, base_url: http://h/v1, api_key: 'file://\(secret)' }]\nmodels: [{ name: m, deployments: [{ provider: s }] }]"
        let settings = try Settings.load(yaml: yaml)
        #expect(settings.providers.first?.apiKey?.value == "sk-from-file")
        #expect(settings.origins["providers.s.api_key"]?.reference == "file://\(secret)")
        _ = try write("\n\n".utf8, as: "secret")
        #expect(problems(yaml).first?.reason == "the file \(secret) is empty")
        _ = try write(repeatElement(UInt8(ascii: "k"), count: 70_000), as: "secret")
        #expect(problems(yaml).first?.reason.contains("larger than 64KiB") == true)
        _ = try write([0xff, 0xfe], as: "secret")
        #expect(problems(yaml).first?.reason.contains("no valid UTF-8") == true)
    }

    @Test func `gives its address even while its secrets are missing`() throws {
        let file = try write("server: { host: 0.0.0.0, port: 77 }\n\(validYAML.drop { $0 != "\n" })".utf8, as: "martlet.yaml")
        #expect(firstProblem(in: file)?.path == "providers.sim.api_key")
        #expect(try Settings.address(file: nil, environment: [:], directory: directory)?.text == "http://127.0.0.1:77")
        #expect(try Settings.address(file: nil, environment: ["MARTLET_SERVER_HOST": "::"], directory: directory)?.text == "http://[::1]:77")
        #expect(try Settings.address(file: nil, environment: ["MARTLET_SERVER_PORT": "0"], directory: directory) == nil)
        #expect(throws: SettingsError.self) {
            try Settings.address(file: nil, environment: ["MARTLET_SERVER_PORT": "x"], directory: directory)
        }
    }

    @Test func `of a few lines that stand for billions of values is refused in time`() {
        var yaml = "x-0: &x0 [a, a, a, a, a, a, a, a, a, a]\n"
        for level in 1...9 {
            yaml += "x-\(level): &x\(level) [" + Array(repeating: "*x\(level - 1)", count: 10).joined(separator: ", ") + "]\n"
        }
        #expect(problems(yaml + leastYAML).contains { $0.reason.contains("more than 100000 values") })
        var merged = "x-0: &x0 {}\n"
        for level in 1...9 {
            merged += "x-\(level): &x\(level) { <<: [" + Array(repeating: "*x\(level - 1)", count: 10).joined(separator: ", ") + "] }\n"
        }
        #expect(problems(merged + leastYAML).contains { $0.reason.contains("more than 100000 values") })
    }
}
