import ArgumentParser

struct CompletionsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "completions",
        abstract: "Print a script that lets a shell complete martlet's commands, flags and files.",
        discussion: """
            Examples:
              martlet completions bash > /etc/bash_completion.d/martlet
              martlet completions zsh > "${fpath[1]}/_martlet"
              martlet completions fish > ~/.config/fish/completions/martlet.fish
            """
    )

    enum Shell: String, ExpressibleByArgument, CaseIterable {
        case bash, zsh, fish

        var known: CompletionShell {
            switch self {
            case .bash: .bash
            case .zsh: .zsh
            case .fish: .fish
            }
        }
    }

    @Argument(help: "bash, zsh or fish.")
    var shell: Shell

    func run() {
        let script = Martlet.completionScript(for: shell.known)
        Console.data(script.hasSuffix("\n") ? script : script + "\n")
    }
}
