/// One text of a request that takes one or many, as text or as token numbers.
struct TextInput {
    /// The text; of token numbers, the numbers written out.
    var text: String
    var tokens: Int

    private static let maximumInputs = 2048

    /// Reads a field that is a string, an array of strings, an array of token numbers or an array of such arrays.
    static func read(_ field: StaticString, _ fields: JSONFields) throws(APIError) -> [TextInput] {
        let name = "\(field)"
        guard let kind = fields.kind(field), let value = fields.value(field) else { throw .missing(name) }
        switch value {
        case .string(let text):
            return [try input(text, name)]
        case .array(let elements):
            guard let first = elements.first else {
                throw .invalid(name, "Invalid '\(name)': empty array. Expected an array with minimum length 1.", code: "empty_array")
            }
            if case .number = first { return [try input(numbers: value, name)] }
            guard elements.count <= maximumInputs else {
                throw .invalid(
                    name,
                    "Invalid '\(name)': array too long. Expected an array with maximum length \(maximumInputs), but got an array with length "
                        + "\(elements.count) instead.", code: "array_above_max_length")
            }
            var inputs: [TextInput] = []
            for element in elements {
                if case .string(let text) = element { inputs.append(try input(text, name)) } else { inputs.append(try input(numbers: element, name)) }
            }
            return inputs
        default:
            throw .wrongType(name, expected: "a string, an array of strings or an array of token numbers", got: kind)
        }
    }

    private static func input(_ text: String, _ name: String) throws(APIError) -> TextInput {
        if text.isEmpty, name == "input" { throw .invalid(name, "Invalid '\(name)': input cannot be an empty string.", code: "empty_string") }
        return TextInput(text: text, tokens: max(1, (text.utf8.count + 3) / 4))
    }

    private static func input(numbers value: JSONValue, _ name: String) throws(APIError) -> TextInput {
        guard case .array(let elements) = value, !elements.isEmpty else {
            throw .invalid(name, "Invalid '\(name)': expected strings or arrays of token numbers.", code: "invalid_type")
        }
        let numbers = elements.compactMap(\.integerValue)
        guard numbers.count == elements.count, numbers.allSatisfy({ $0 >= 0 }) else {
            throw .invalid(name, "Invalid '\(name)': token numbers are integers from 0.", code: "invalid_type")
        }
        return TextInput(text: numbers.map { "\($0)" }.joined(separator: " "), tokens: numbers.count)
    }
}
