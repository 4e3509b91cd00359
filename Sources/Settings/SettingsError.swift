/// Every mistake that was found in a configuration, in the order of the file.
package struct SettingsError: Error, Sendable, Equatable {
    package var problems: [Problem]

    package init(problems: [Problem]) {
        self.problems = problems
    }

    /// One mistake and where it is.
    package struct Problem: Sendable, Hashable {
        /// The file; `nil` when a variable or a flag is wrong.
        package var file: String?
        /// From 1.
        package var line: Int?
        /// From 1, in Unicode scalars.
        package var column: Int?
        /// The environment variable that is wrong, or `command line`; `nil` when it is the file.
        package var variable: String?
        /// The path of the value (`server.port`); empty when it is about the file as a whole.
        package var path: String
        /// What is wrong and what would be right.
        package var reason: String

        package init(file: String?, line: Int? = nil, column: Int? = nil, variable: String? = nil, path: String, reason: String) {
            self.file = file
            self.line = line
            self.column = column
            self.variable = variable
            self.path = path
            self.reason = reason
        }

        init(origin: Origin, path: String, reason: String) {
            switch origin.source {
            case .embedded: self.init(file: nil, path: path, reason: reason)
            case .file(let file, let line, let column): self.init(file: file, line: line, column: column, path: path, reason: reason)
            case .environment(let name): self.init(file: nil, variable: name, path: path, reason: reason)
            case .commandLine: self.init(file: nil, variable: "command line", path: path, reason: reason)
            }
        }
    }
}

extension SettingsError.Problem: CustomStringConvertible {
    /// `martlet.yaml:4:7: server.port: must be …`, the form that editors jump to.
    package var description: String {
        var text = ""
        if let file {
            text += file
            if let line { text += ":\(line)" }
            if let column { text += ":\(column)" }
            text += ": "
        } else if let variable {
            text += "\(variable): "
        }
        return path.isEmpty ? text + reason : text + "\(path): \(reason)"
    }
}

extension SettingsError: CustomStringConvertible {
    package var description: String { problems.map(\.description).joined(separator: "\n") }
}
