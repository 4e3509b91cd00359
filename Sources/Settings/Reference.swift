internal import Files
import Vocabulary

/// A value that stands somewhere else: `env://NAME` in the environment, `file:///PATH` in a file of its own.
struct Reference {
    /// Why a reference could not be followed.
    enum Mistake: Error, Hashable {
        case variable(String)
        case emptyVariable(String)
        case variableName
        case path
        case file(String, FileReadError)
        case large(String)
        case encoding(String)
        case empty(String)

        var reason: String {
            switch self {
            case .variable(let name): "the environment variable \(name) is not set"
            case .emptyVariable(let name): "the environment variable \(name) is empty"
            case .variableName: "env:// must be followed by the name of a variable, as in env://OPENAI_API_KEY"
            case .path: "file:// must be followed by an absolute path, as in file:///run/secrets/openai"
            case .file(let path, let error): "the file \(path) \(error)"
            case .large(let path): "the file \(path) is larger than \(Quantity.text(ofBytes: Reference.fileMaxBytes)), which no value is"
            case .encoding(let path): "the file \(path) is no valid UTF-8"
            case .empty(let path): "the file \(path) is empty"
            }
        }
    }

    /// The largest file that a value is read from, in bytes.
    static let fileMaxBytes = 64 << 10

    /// As it was written.
    let text: String

    /// - Returns: `nil` when the text is a value, not a reference to one.
    init?(_ text: String) {
        guard text.hasPrefix("env://") || text.hasPrefix("file://") else { return nil }
        self.text = text
    }

    /// The value, without the line breaks at its end that editors and `echo` leave.
    func resolve(environment: [String: String]) -> Result<String, Mistake> {
        if text.hasPrefix("env://") {
            let name = String(text.dropFirst(6))
            guard !name.isEmpty, !name.contains("="), !name.contains("/") else { return .failure(.variableName) }
            guard let value = environment[name] else { return .failure(.variable(name)) }
            let trimmed = withoutLineEnds(value)
            return trimmed.isEmpty ? .failure(.emptyVariable(name)) : .success(trimmed)
        }
        let path = String(text.dropFirst(7))
        guard path.hasPrefix("/") else { return .failure(.path) }
        let data: [UInt8]
        do throws(FileReadError) {
            data = try PlainFile.read(path, upTo: Reference.fileMaxBytes + 1)
        } catch {
            return .failure(.file(path, error))
        }
        guard data.count <= Reference.fileMaxBytes else { return .failure(.large(path)) }
        guard let value = String(validating: data, as: UTF8.self) else { return .failure(.encoding(path)) }
        let trimmed = withoutLineEnds(value)
        return trimmed.isEmpty ? .failure(.empty(path)) : .success(trimmed)
    }

    private func withoutLineEnds(_ value: String) -> String {
        var value = Substring(value)
        while value.last?.isNewline == true { value.removeLast() }
        return String(value)
    }
}
