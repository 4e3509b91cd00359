import NIOCore

/// Embeddings: the request checked and the answer written.
enum EmbeddingAnswer {
    /// - Returns: the body, and the tokens of all inputs.
    static func body(_ bytes: UnsafeRawBufferPointer, _ controls: RequestControls) throws(APIError) -> (body: ByteBuffer, tokens: Int) {
        let fields = try JSONFields(bytes)
        let model = try ChatRequest.model(fields)
        let inputs = try TextInput.read("input", fields)
        let format = try fields.string("encoding_format") ?? "float"
        guard format == "float" || format == "base64" else {
            throw .invalid("encoding_format", "Invalid value: '\(format)'. Supported values are: 'float' and 'base64'.", code: "invalid_value")
        }
        let dimensions = try dimensions(fields, model)
        let tokens = inputs.reduce(0) { $0 + $1.tokens }

        var buffer = ByteBufferAllocator().buffer(capacity: 256 + inputs.count * dimensions * (format == "float" ? 13 : 6))
        buffer.writeStaticString("{\"object\":\"list\",\"data\":[")
        for (index, input) in inputs.enumerated() {
            buffer.writeString(index > 0 ? ",{\"object\":\"embedding\",\"index\":" : "{\"object\":\"embedding\",\"index\":")
            buffer.writeDecimal(index)
            buffer.writeStaticString(",\"embedding\":")
            let vector = EmbeddingVector.make(text: input.text, model: model, dimensions: dimensions)
            if format == "base64" {
                buffer.writeStaticString("\"")
                buffer.writeBase64(vector)
                buffer.writeStaticString("\"}")
            } else {
                buffer.writeStaticString("[")
                for (place, number) in vector.enumerated() {
                    if place > 0 { buffer.writeStaticString(",") }
                    buffer.writeString(number.description)
                }
                buffer.writeStaticString("]}")
            }
        }
        buffer.writeStaticString("],\"model\":")
        buffer.writeJSON(model)
        if !controls.omitsUsage {
            buffer.writeStaticString(",\"usage\":{\"prompt_tokens\":")
            buffer.writeDecimal(controls.promptTokens ?? tokens)
            buffer.writeStaticString(",\"total_tokens\":")
            buffer.writeDecimal(controls.promptTokens ?? tokens)
            buffer.writeStaticString("}")
        }
        buffer.writeStaticString("}")
        return (buffer, controls.promptTokens ?? tokens)
    }

    private static func dimensions(_ fields: JSONFields, _ model: String) throws(APIError) -> Int {
        let usual = model.hasSuffix("embedding-3-large") ? 3072 : 1536
        guard let wanted = try fields.integer("dimensions", in: 1...usual) else { return usual }
        guard !model.hasSuffix("ada-002") else {
            throw .invalid("dimensions", "This model does not support specifying dimensions.")
        }
        return wanted
    }
}
