import Foundation
import Operations

/// Where the output of commands goes: data to standard output, messages to standard error.
enum Console {
    static func data(_ text: String) {
        data(text.utf8)
    }

    /// Ends the process when nobody reads any more, as the signal would that the HTTP client has switched off.
    static func data(_ bytes: some Sequence<UInt8>) {
        Array(bytes).withUnsafeBytes { bytes in
            var rest = bytes[...]
            while !rest.isEmpty {
                let part = UnsafeRawBufferPointer(rebasing: rest)
                let count = write(STDOUT_FILENO, part.baseAddress, part.count)
                let reason = errno
                if count >= 0 {
                    rest = rest.dropFirst(count)
                } else if reason == EPIPE {
                    exit(128 + SIGPIPE)
                } else if reason != EINTR {
                    message("martlet: standard output cannot be written: \(String(cString: strerror(reason)))")
                    exit(CommandFailure.Code.failure.rawValue)
                }
            }
        }
    }

    static func message(_ text: String) {
        // A message that nobody can read is lost; there is nowhere else to say it.
        try? FileHandle.standardError.write(contentsOf: Data((text + "\n").utf8))
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
