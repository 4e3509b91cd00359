import Logging
import Vocabulary

/// One log event on its way to JSON.
struct LogLine {
    /// The longest text of one value, in bytes; the rest is cut off and marked.
    static let valueMaxBytes = 8 << 10
    /// The longest line, in bytes; later keys are left out and counted in `dropped`.
    static let lineMaxBytes = 64 << 10
    /// How deep metadata is taken apart.
    static let depthMax = 8

    private var bytes: [UInt8] = []
    private var keys: Set<String> = ["time", "level", "message", "logger", "dropped"]
    private var dropped = 0

    init(time: WallTime, level: Logger.Level, message: String, label: String) {
        bytes.reserveCapacity(512)
        bytes.append(UInt8(ascii: "{"))
        field("time", text: time.rfc3339)
        field("level", text: level.rawValue)
        field("message", text: SecretMask.masked(message))
        field("logger", text: label)
    }

    /// Adds a metadata value; a dictionary becomes one key for each of its leaves.
    mutating func add(_ key: String, _ value: Logger.Metadata.Value, depth: Int = 0) {
        if case .dictionary(let entries) = value, depth < LogLine.depthMax, !SecretMask.isSecretName(key) {
            for (name, value) in entries.sorted(by: { $0.key < $1.key }) {
                add("\(key).\(name)", value, depth: depth + 1)
            }
            return
        }
        guard bytes.count < LogLine.lineMaxBytes else {
            dropped += 1
            return
        }
        append(key: unique(key))
        append(value, isSecret: SecretMask.isSecretName(key), depth: depth)
    }

    /// The whole line, its line break included.
    consuming func finished() -> [UInt8] {
        if dropped > 0 {
            append(key: "dropped")
            bytes.append(contentsOf: String(dropped).utf8)
        }
        bytes.append(UInt8(ascii: "}"))
        bytes.append(UInt8(ascii: "\n"))
        return bytes
    }

    /// A key that the object does not have yet: JSON readers keep only one of two that are the same.
    private mutating func unique(_ key: String) -> String {
        var name = key
        while !keys.insert(name).inserted { name += "_" }
        return name
    }

    private mutating func field(_ key: String, text: String) {
        append(key: key)
        append(text: text)
    }

    private mutating func append(key: String) {
        if bytes.count > 1 { bytes.append(UInt8(ascii: ",")) }
        appendJSONString(cut(SecretMask.masked(key)), to: &bytes)
        bytes.append(UInt8(ascii: ":"))
    }

    private mutating func append(text: String) {
        appendJSONString(cut(text), to: &bytes)
    }

    private mutating func append(_ value: Logger.Metadata.Value, isSecret: Bool, depth: Int) {
        guard !isSecret else {
            append(text: SecretMask.replacement)
            return
        }
        switch value {
        case .string(let text):
            append(text: SecretMask.masked(text))
        case .stringConvertible(let value):
            if let literal = LogLine.literal(value) {
                bytes.append(contentsOf: literal.utf8)
            } else {
                append(text: SecretMask.masked(value.description))
            }
        case .array(let values) where depth < LogLine.depthMax:
            bytes.append(UInt8(ascii: "["))
            for (index, value) in values.enumerated() {
                // The line must end somewhere, however long a list is.
                guard bytes.count < LogLine.lineMaxBytes else {
                    dropped += values.count - index
                    break
                }
                if index > 0 { bytes.append(UInt8(ascii: ",")) }
                append(value, isSecret: false, depth: depth + 1)
            }
            bytes.append(UInt8(ascii: "]"))
        case .dictionary(let entries) where depth < LogLine.depthMax:
            bytes.append(UInt8(ascii: "{"))
            for (index, entry) in entries.sorted(by: { $0.key < $1.key }).enumerated() {
                guard bytes.count < LogLine.lineMaxBytes else {
                    dropped += entries.count - index
                    break
                }
                if index > 0 { bytes.append(UInt8(ascii: ",")) }
                appendJSONString(cut(SecretMask.masked(entry.key)), to: &bytes)
                bytes.append(UInt8(ascii: ":"))
                append(entry.value, isSecret: SecretMask.isSecretName(entry.key), depth: depth + 1)
            }
            bytes.append(UInt8(ascii: "}"))
        case .array, .dictionary:
            append(text: "too deep")
        }
    }

    /// Numbers and truth values stay what they are.
    private static func literal(_ value: any CustomStringConvertible) -> String? {
        switch value {
        case let value as any BinaryInteger: value.description
        case let value as Bool: value ? "true" : "false"
        case let value as Double: value.isFinite ? value.description : nil
        default: nil
        }
    }

    private func cut(_ text: String) -> String {
        guard text.utf8.count > LogLine.valueMaxBytes else { return text }
        return String(decoding: text.utf8.prefix(LogLine.valueMaxBytes), as: UTF8.self) + "…"
    }
}
