import NIOCore
import Vocabulary

/// Writes one JSON text, member by member, in the order of the calls.
///
/// Not Codable: amounts of money must leave as exact decimals, and the order of members is part of how an answer reads.
struct JSONWriter {
    private(set) var bytes: [UInt8] = []
    private var needsComma = false

    mutating func object(_ members: (inout JSONWriter) throws -> Void) rethrows {
        try nested("{", "}", members)
    }

    mutating func array(_ elements: (inout JSONWriter) throws -> Void) rethrows {
        try nested("[", "]", elements)
    }

    /// Starts a member of an object; its value comes with the next call.
    mutating func name(_ name: String) {
        string(name)
        bytes.append(UInt8(ascii: ":"))
        needsComma = false
    }

    mutating func string(_ value: String) {
        separate()
        appendJSONString(value, to: &bytes)
    }

    /// Writes a text that already is a JSON value: a number, `true`, `false` or `null`.
    mutating func literal(_ text: String) {
        separate()
        bytes.append(contentsOf: text.utf8)
    }

    mutating func member(_ name: String, _ value: String) {
        self.name(name)
        string(value)
    }

    /// `nil` becomes `null`.
    mutating func member(_ name: String, _ value: String?) {
        self.name(name)
        if let value { string(value) } else { literal("null") }
    }

    mutating func member(_ name: String, _ value: Int64) {
        self.name(name)
        literal(String(value))
    }

    mutating func member(_ name: String, _ value: Bool) {
        self.name(name)
        literal(value ? "true" : "false")
    }

    mutating func member(_ name: String, _ value: WallTime?) {
        member(name, value?.rfc3339)
    }

    mutating func member(_ name: String, _ values: [String]) {
        self.name(name)
        array { json in
            for value in values { json.string(value) }
        }
    }

    mutating func member(_ name: String, literal: String) {
        self.name(name)
        self.literal(literal)
    }

    private mutating func nested(_ open: Unicode.Scalar, _ close: Unicode.Scalar, _ body: (inout JSONWriter) throws -> Void) rethrows {
        separate()
        bytes.append(UInt8(ascii: open))
        needsComma = false
        try body(&self)
        bytes.append(UInt8(ascii: close))
        needsComma = true
    }

    private mutating func separate() {
        if needsComma { bytes.append(UInt8(ascii: ",")) }
        needsComma = true
    }
}

/// Microseconds as a decimal number of milliseconds, exact: `1234567` is `1234.567`.
func milliseconds(ofMicroseconds microseconds: Int64) -> String {
    let whole = String(microseconds.magnitude / 1000)
    var fraction = String(microseconds.magnitude % 1000)
    fraction = String(repeating: "0", count: 3 - fraction.utf8.count) + fraction
    while fraction.last == "0" { fraction.removeLast() }
    return (microseconds < 0 ? "-" : "") + whole + (fraction.isEmpty ? "" : "." + fraction)
}
