/// The members of a request's outermost object: names and where their values stand.
///
/// The whole text is checked when this is made; values are read only when somebody asks for them. It must not outlive the bytes.
struct JSONFields {
    private struct Entry {
        /// The name as it stands between its quotes.
        var key: Range<Int>
        /// The name without escapes, where it has some: rare enough to look at only then.
        var unescapedName: String?
        var range: Range<Int>
        var kind: JSONScanner.Kind
    }

    let bytes: UnsafeRawBufferPointer
    private var entries: [Entry] = []

    init(_ bytes: UnsafeRawBufferPointer) throws(APIError) {
        self.bytes = bytes
        var scanner = JSONScanner(bytes)
        do {
            guard try scanner.kind() == .object else { throw scanner.failure }
            try scanner.expect(UInt8(ascii: "{"))
            entries.reserveCapacity(12)
            var first = true
            while let key = try scanner.nextKey(first: &first) {
                let kind = try scanner.kind()
                let range = try scanner.skipValue()
                // A null is an absent field everywhere in this API.
                if kind == .null { continue }
                let isEscaped = bytes[key].contains(UInt8(ascii: "\\"))
                let name = isEscaped ? JSONText.unescaped(bytes, key) : nil
                entries.append(Entry(key: key, unescapedName: name, range: range, kind: kind))
            }
            scanner.skipWhitespace()
            guard scanner.index == bytes.count else { throw scanner.failure }
        } catch {
            throw APIError.malformedBody
        }
        if scanner.hasNonASCII, String(validating: bytes, as: UTF8.self) == nil { throw APIError.malformedBody }
    }

    /// A repeated name counts as its last value, like in most JSON readers.
    private func entry(_ name: StaticString) -> Entry? {
        let scanner = JSONScanner(bytes)
        return entries.last { entry in
            if let unescaped = entry.unescapedName { return unescaped == "\(name)" }
            return scanner.text(entry.key, is: name)
        }
    }

    func has(_ name: StaticString) -> Bool { entry(name) != nil }

    /// Where the value stands, brackets included.
    func range(_ name: StaticString) -> Range<Int>? { entry(name)?.range }

    func kind(_ name: StaticString) -> JSONScanner.Kind? { entry(name)?.kind }

    func string(_ name: StaticString) throws(APIError) -> String? {
        guard let entry = entry(name) else { return nil }
        guard entry.kind == .string else { throw .wrongType("\(name)", expected: "a string", got: entry.kind) }
        return JSONText.unescaped(bytes, (entry.range.lowerBound + 1)..<(entry.range.upperBound - 1))
    }

    func boolean(_ name: StaticString) throws(APIError) -> Bool? {
        guard let entry = entry(name) else { return nil }
        guard entry.kind == .boolean else { throw .wrongType("\(name)", expected: "a boolean", got: entry.kind) }
        return entry.range.count == 4
    }

    func integer(_ name: StaticString, in bounds: ClosedRange<Int>) throws(APIError) -> Int? {
        guard let entry = entry(name) else { return nil }
        guard entry.kind == .number else { throw .wrongType("\(name)", expected: "an integer", got: entry.kind) }
        guard let number = JSONValue.number(String(decoding: bytes[entry.range], as: UTF8.self)).integerValue else {
            throw .wrongType("\(name)", expected: "an integer", got: .number)
        }
        guard bounds.contains(number) else { throw .outOfRange("\(name)", number, bounds) }
        return number
    }

    /// Checks a number that does not change the answer.
    func checkNumber(_ name: StaticString, in bounds: ClosedRange<Double>) throws(APIError) {
        guard let entry = entry(name) else { return }
        guard entry.kind == .number else { throw .wrongType("\(name)", expected: "a decimal", got: entry.kind) }
        guard let number = Double(String(decoding: bytes[entry.range], as: UTF8.self)), bounds.contains(number) else {
            throw .invalid(
                "\(name)", "Invalid '\(name)': expected a value between \(bounds.lowerBound) and \(bounds.upperBound).", code: "decimal_out_of_range")
        }
    }

    /// The value, read whole.
    func value(_ name: StaticString) -> JSONValue? {
        guard let entry = entry(name) else { return nil }
        var scanner = JSONScanner(bytes, at: entry.range.lowerBound)
        // The text was checked above, so this can only fail by nesting, which is then as good as absent.
        return try? JSONValue(from: &scanner)
    }
}
