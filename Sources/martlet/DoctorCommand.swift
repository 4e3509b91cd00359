import ArgumentParser
import Assembly
import Foundation
import Operations
import Settings

struct DoctorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Look for what is wrong, or soon will be, with configuration, machine, gateway and providers.",
        discussion: """
            Looks at the configuration, permissions, disk, database, certificates, ports, a gateway that runs, and each provider from here: its \
            name, TLS, key and models. Changes nothing and buys nothing. Ends with 0 when all is well, 1 with warnings, 2 with failures.

            Examples:
              martlet doctor
              martlet doctor --config martlet.yaml --offline --json
            """
    )

    @OptionGroup var configuration: ConfigurationOptions

    @Flag(help: "Leave out what needs the network: the providers.")
    var offline = false

    @Flag(help: "Print JSON.")
    var json = false

    func run() async throws {
        let findings = await examine()
        Console.data(json ? findings.json : findings.text)
        switch findings.worst {
        case .ok: return
        case .warn: throw ExitCode(1)
        case .fail: throw ExitCode(2)
        }
    }

    private func examine() async -> [Finding] {
        do throws(SettingsError) {
            let (settings, problems) = try configuration.loadAll()
            var findings = configurationFindings(settings, problems)
            let doctor = Doctor(settings)
            findings += await doctor.local()
            findings.append(store(settings))
            findings.append(files(settings))
            if !offline { findings += await doctor.remote() }
            return findings
        } catch {
            return configurationFindings(nil, error.problems)
        }
    }

    private func configurationFindings(_ settings: Settings?, _ problems: [SettingsError.Problem]) -> [Finding] {
        let check = "configuration"
        var findings = problems.map { Finding(check, .fail, $0.description, hint: "martlet config check") }
        findings += (settings?.warnings ?? []).map { Finding(check, .warn, $0) }
        if findings.isEmpty, let settings {
            let file = settings.file ?? "embedded defaults"
            findings.append(
                Finding(check, .ok, "\(file): \(settings.providers.count) providers, \(settings.models.count) models"))
        }
        return findings
    }

    private func store(_ settings: Settings) -> Finding {
        let check = "database"
        let inspection = Inspection(settings)
        let path = inspection.storePath
        switch inspection.store(isInUse: GatewayChecks(settings).isRunning) {
        case .missing: return Finding(check, .ok, "\(path) is not there yet; the first start makes it")
        case .unreadable(let reason):
            return Finding(check, .fail, "\(path): \(reason)", hint: "restore it from a backup, or move it away: keys and usage are then gone")
        case .damaged(let damages):
            return Finding(
                check, .fail, "\(path) is damaged: \(damages.joined(separator: "; "))", hint: "restore it from a backup, and look at the disk")
        case .sound(let version, _) where version > Inspection.storeVersion:
            return Finding(
                check, .fail, "\(path) is of version \(version), later than this build's \(Inspection.storeVersion)",
                hint: "use the build that wrote it, or a later one")
        case .sound(let version, let isWhole):
            let words = version < Inspection.storeVersion ? ", which the next start brings to \(Inspection.storeVersion)" : ""
            guard isWhole else { return Finding(check, .warn, "\(path) of version \(version)\(words); too large to be checked whole") }
            return Finding(check, .ok, "\(path) is sound, version \(version)\(words)")
        }
    }

    private func files(_ settings: Settings) -> Finding {
        let check = "open files"
        let files = Inspection(settings).files
        guard files.needed <= files.allowed else {
            return Finding(
                check, .warn, "\(files.allowed) may be open; \(files.connections) connections may need \(files.needed)",
                hint: "raise the limit (ulimit -Hn, LimitNOFILE=), or lower server.max_connections")
        }
        return Finding(check, .ok, "\(files.allowed) may be open, enough for \(files.connections) connections")
    }
}
