import Foundation
package import Settings

/// Everything that `martlet doctor` looks at, but for the store. Changes nothing, and never buys a completion.
package struct Doctor: Sendable {
    private let settings: Settings

    package init(_ settings: Settings) {
        self.settings = settings
    }

    /// More than that, and expiries, logs and prices by the hour are wrong. In seconds.
    private static let skewMax: Int64 = 60
    /// Before that this program was not written: 2026-01-01, in Unix seconds.
    private static let earliest: Int64 = 1_767_225_600

    /// What can be seen on this machine.
    package func local() async -> [Finding] {
        FileChecks(settings).run() + CertificateChecks(settings, now: Doctor.now).run() + (await GatewayChecks(settings).run())
    }

    /// The providers, all at once, and the clock, which they know better.
    package func remote() async -> [Finding] {
        let results = await withTaskGroup(of: (Int, [Finding], Int64?).self) { group in
            for (index, provider) in settings.providers.enumerated() {
                group.addTask {
                    let (findings, clock) = await ProviderChecks(provider, in: settings).run()
                    // How far our clock is ahead of that provider's.
                    return (index, findings, clock.map { Doctor.now - $0 })
                }
            }
            return await group.reduce(into: [(Int, [Finding], Int64?)]()) { $0.append($1) }
        }
        let ordered = results.sorted { $0.0 < $1.0 }
        return ordered.flatMap(\.1) + [clock(ordered.compactMap(\.2))]
    }

    private func clock(_ skews: [Int64]) -> Finding {
        let check = "clock"
        let hint = "keep the time of this machine with NTP (chrony, systemd-timesyncd)"
        if Doctor.now < Doctor.earliest { return Finding(check, .fail, "it is before 2026 here", hint: hint) }
        // The one that we agree with best: a provider's clock may be wrong, too.
        guard let skew = skews.min(by: { abs($0) < abs($1) }) else { return Finding(check, .ok, "no provider told the time to compare with") }
        guard abs(skew) <= Doctor.skewMax else {
            return Finding(check, .warn, "\(abs(skew)) s \(skew > 0 ? "ahead of" : "behind") the providers' clocks", hint: hint)
        }
        return Finding(check, .ok, "within \(max(1, abs(skew))) s of a provider's")
    }

    private static var now: Int64 { Int64(Date().timeIntervalSince1970) }
}
