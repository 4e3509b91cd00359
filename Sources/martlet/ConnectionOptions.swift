import ArgumentParser
import Foundation
import Operations
import Settings

/// The flags of commands that talk to a running gateway.
struct ConnectionOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Where the gateway is; MARTLET_URL names it, too. Without either, the address in the configuration, else http://127.0.0.1:8000.",
            valueName: "url"))
    var url: String?

    @Option(
        help: ArgumentHelp(
            "The administrator's key. Better in MARTLET_ADMIN_KEY: others on this machine can read command lines.", valueName: "key"))
    var adminKey: String?

    @Option(
        name: [.customShort("c"), .long], help: "The configuration file to take the gateway's address from.",
        completion: .file(extensions: ["yaml", "yml"]))
    var config: String?

    @Flag(help: "Print the JSON of the management API.")
    var json = false

    /// The gateway that is meant, and the key for it.
    func client() throws -> ManagementClient {
        let environment = ProcessInfo.processInfo.environment
        guard let key = [adminKey, environment["MARTLET_ADMIN_KEY"]].compactMap({ $0 }).first(where: { !$0.isEmpty }) else {
            throw CommandFailure(
                .usage,
                """
                martlet: no key; put the administrator's key into MARTLET_ADMIN_KEY or give it with --admin-key. \
                A gateway without one prints it at its first start.
                """)
        }
        return ManagementClient(base: try base(environment), key: Secret(key))
    }

    private func base(_ environment: [String: String]) throws -> BaseURL {
        if let url = url ?? environment["MARTLET_URL"].flatMap({ $0.isEmpty ? nil : $0 }) {
            return try named(url)
        }
        guard let address = try Settings.address(file: config, environment: environment) else {
            throw CommandFailure(.usage, "martlet: the configuration names no port of the gateway; name the gateway with --url or MARTLET_URL")
        }
        return address
    }

    private func named(_ url: String) throws -> BaseURL {
        do throws(BaseURL.Mistake) {
            return try BaseURL(reading: url)
        } catch {
            throw CommandFailure(.usage, "martlet: the URL of the gateway \(error.reason)")
        }
    }
}
