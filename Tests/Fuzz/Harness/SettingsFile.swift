import Foundation

@testable import Settings

private let environment = ["SIM_KEY": "k-123456789", "MARTLET_SERVER_PORT": "8001"]

/// The configuration file: read or refused, every mistake with a reason and a place inside the file.
func fuzzSettings(_ input: FuzzInput) {
    let text = input.text
    // References to files would read whatever is there.
    if text.contains("file:") { return }
    let lines = text.unicodeScalars.count { ["\n", "\r", "\u{85}", "\u{2028}", "\u{2029}"].contains($0) } + 1
    do throws(SettingsError) {
        let settings = try Settings.load(yaml: text, file: "f.yaml", environment: environment)
        check(!settings.providers.isEmpty || settings.models.isEmpty, "models without a provider")
        check(!"\(settings.effective)".isEmpty, "nothing is in force")
    } catch {
        check(!error.problems.isEmpty, "refused without a reason")
        for problem in error.problems {
            check(!problem.reason.isEmpty, "a mistake without words")
            if problem.file != nil {
                check((1...lines).contains(problem.line ?? 0), "\(problem) is at no line of \(lines)")
                check((problem.column ?? 1) >= 1, "\(problem) is at no column")
            }
        }
    }
}
