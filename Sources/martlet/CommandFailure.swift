import ArgumentParser
import Foundation
import Operations
import Settings

/// Why a command ends without having done its work: a message for a person and a code for programs.
struct CommandFailure: Error {
    /// The exit codes of every command, after `sysexits.h`.
    enum Code: Int32 {
        case failure = 1
        case usage = 64
        case unavailable = 69
        case refused = 77
        case configuration = 78
    }

    var code: Code
    /// One or more lines, without a line break at the end.
    var message: String

    init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    init(_ error: ManagementError) {
        message = "martlet: \(error.message)"
        code =
            switch error {
            case .unreachable: .unavailable
            case .refused: .refused
            case .failed, .unexpectedAnswer, .output: .failure
            }
    }

    /// One line for each mistake, in the form that editors jump to.
    init(_ error: SettingsError) {
        let count = error.problems.count
        self.init(.configuration, "martlet: the configuration has \(count == 1 ? "a mistake" : "\(count) mistakes"):\n\(error)")
    }

    /// Runs a command's work; a failure's message goes to standard error and its code to the shell.
    static func reported(_ work: () async throws -> Void) async throws {
        do {
            try await work()
        } catch let failure as CommandFailure {
            try failure.report()
        } catch let error as ManagementError {
            try CommandFailure(error).report()
        } catch let error as SettingsError {
            try CommandFailure(error).report()
        }
    }

    private func report() throws -> Never {
        Console.message(message)
        throw ExitCode(code.rawValue)
    }
}
