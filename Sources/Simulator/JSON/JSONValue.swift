/// A JSON value that keeps the order of an object's members, which a schema's author chose on purpose.
package indirect enum JSONValue: Sendable, Equatable {
    case null
    case bool(Bool)
    /// The number as it was written.
    case number(String)
    case string(String)
    case array([JSONValue])
    case object([JSONMember])

    /// The last member of that name, when this is an object that has one.
    package subscript(name: String) -> JSONValue? {
        guard case .object(let members) = self else { return nil }
        return members.last { $0.name == name }?.value
    }

    /// The text; `nil` when this is no string.
    package var stringValue: String? {
        if case .string(let text) = self { text } else { nil }
    }

    /// The number; `nil` when this is none.
    package var doubleValue: Double? {
        if case .number(let text) = self { Double(text) } else { nil }
    }

    /// The number as an integer; `3.0` is one too, as in JSON Schema.
    package var integerValue: Int? {
        guard case .number(let text) = self else { return nil }
        return Int(text) ?? Double(text).flatMap { Int(exactly: $0) }
    }

    /// The truth value; `nil` when this is none.
    package var boolValue: Bool? {
        if case .bool(let value) = self { value } else { nil }
    }

    /// The elements; `nil` when this is no array.
    package var arrayValue: [JSONValue]? {
        if case .array(let elements) = self { elements } else { nil }
    }

    /// The members in their order; `nil` when this is no object.
    package var members: [JSONMember]? {
        if case .object(let members) = self { members } else { nil }
    }
}

/// One member of a JSON object.
package struct JSONMember: Sendable, Equatable {
    /// The name without escapes.
    package var name: String
    /// Its value.
    package var value: JSONValue

    /// A member of that name.
    package init(_ name: String, _ value: JSONValue) {
        self.name = name
        self.value = value
    }
}

extension JSONValue {
    /// Reads a whole text; `nil` when it is not JSON.
    package init?(parsing text: String) {
        var text = text
        let parsed: JSONValue? = text.withUTF8 { utf8 in
            var scanner = JSONScanner(UnsafeRawBufferPointer(utf8))
            guard let value = try? JSONValue(from: &scanner) else { return nil }
            scanner.skipWhitespace()
            return scanner.index == utf8.count ? value : nil
        }
        guard let parsed else { return nil }
        self = parsed
    }

    /// Reads the value at the scanner.
    init(from scanner: inout JSONScanner, depth: Int = 0) throws(JSONSyntaxError) {
        guard depth < 256 else { throw scanner.failure }
        switch try scanner.kind() {
        case .string:
            self = .string(JSONText.unescaped(scanner.bytes, try scanner.string()))
        case .object:
            try scanner.expect(UInt8(ascii: "{"))
            var members: [JSONMember] = []
            var first = true
            while let key = try scanner.nextKey(first: &first) {
                members.append(JSONMember(JSONText.unescaped(scanner.bytes, key), try JSONValue(from: &scanner, depth: depth + 1)))
            }
            self = .object(members)
        case .array:
            try scanner.expect(UInt8(ascii: "["))
            var elements: [JSONValue] = []
            var first = true
            while try scanner.nextElement(first: &first) { elements.append(try JSONValue(from: &scanner, depth: depth + 1)) }
            self = .array(elements)
        case .boolean:
            let range = try scanner.skipValue()
            self = .bool(range.count == 4)
        case .null:
            try scanner.skipValue()
            self = .null
        case .number:
            let range = try scanner.skipValue()
            self = .number(String(decoding: scanner.bytes[range], as: UTF8.self))
        }
    }
}

/// Text between the quotes of a JSON string.
enum JSONText {
    /// The text with its escapes resolved; an unpaired surrogate becomes U+FFFD.
    static func unescaped(_ bytes: UnsafeRawBufferPointer, _ range: Range<Int>) -> String {
        let raw = UnsafeRawBufferPointer(rebasing: bytes[range])
        guard raw.contains(UInt8(ascii: "\\")) else { return String(decoding: raw, as: UTF8.self) }
        var units: [UInt8] = []
        units.reserveCapacity(raw.count)
        var index = 0
        while index < raw.count {
            guard raw[index] == UInt8(ascii: "\\"), index + 1 < raw.count else {
                units.append(raw[index])
                index += 1
                continue
            }
            switch raw[index + 1] {
            case UInt8(ascii: "b"): units.append(0x08)
            case UInt8(ascii: "f"): units.append(0x0C)
            case UInt8(ascii: "n"): units.append(0x0A)
            case UInt8(ascii: "r"): units.append(0x0D)
            case UInt8(ascii: "t"): units.append(0x09)
            case UInt8(ascii: "u"):
                units.append(contentsOf: String(scalar(raw, &index)).utf8)
                continue
            case let other: units.append(other)
            }
            index += 2
        }
        return String(decoding: units, as: UTF8.self)
    }

    /// The scalar of the `\u` escape at `index`, joined with the low surrogate after it where there is one.
    private static func scalar(_ raw: UnsafeRawBufferPointer, _ index: inout Int) -> Unicode.Scalar {
        guard let high = unit(raw, index) else {
            index += 2
            return "\u{FFFD}"
        }
        index += 6
        if high & 0xFC00 == 0xD800, let low = unit(raw, index), low & 0xFC00 == 0xDC00 {
            index += 6
            return Unicode.Scalar(0x10000 + (high & 0x3FF) << 10 + low & 0x3FF) ?? "\u{FFFD}"
        }
        return Unicode.Scalar(high) ?? "\u{FFFD}"
    }

    private static func unit(_ raw: UnsafeRawBufferPointer, _ index: Int) -> UInt32? {
        guard index + 6 <= raw.count, raw[index] == UInt8(ascii: "\\"), raw[index + 1] == UInt8(ascii: "u") else { return nil }
        return UInt32(String(decoding: raw[(index + 2)..<(index + 6)], as: UTF8.self), radix: 16)
    }
}
