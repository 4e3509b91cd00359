import Foundation
import Operations

/// Where the output of commands goes: data to standard output, messages to standard error.
enum Console {
    static func data(_ text: String) {
        FileHandle.standardOutput.write(Data(text.utf8))
    }

    static func message(_ text: String) {
        FileHandle.standardError.write(Data((text + "\n").utf8))
    }

    /// Prints an answer of the API as it came, on lines of its own.
    static func json(_ bytes: [UInt8]) {
        data(String(decoding: bytes, as: UTF8.self))
        if bytes.last != UInt8(ascii: "\n") { data("\n") }
    }

    /// Prints an answer as JSON or in the form for people.
    static func show(_ bytes: [UInt8], asJSON: Bool, _ form: (APIValue) -> String) throws {
        guard !asJSON else {
            json(bytes)
            return
        }
        guard let value = APIValue(json: bytes) else { throw CommandFailure(.failure, "martlet: the gateway's answer is no JSON") }
        data(form(value))
    }
}
