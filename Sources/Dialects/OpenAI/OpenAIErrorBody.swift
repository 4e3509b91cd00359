package import NIOCore
package import Vocabulary

extension ByteBuffer {
    /// Writes an error as OpenAI's clients expect it: `{"error":{"message":…,"type":…,"param":…,"code":…}}`.
    package mutating func writeOpenAIError(_ error: GatewayError) {
        writeStaticString("{\"error\":{\"message\":")
        writeJSONString(error.message)
        writeStaticString(",\"type\":")
        writeJSONString(error.type)
        writeStaticString(",\"param\":")
        if let parameter = error.parameter { writeJSONString(parameter) } else { writeStaticString("null") }
        writeStaticString(",\"code\":")
        writeJSONString(error.code)
        writeStaticString("}}")
    }

    /// Writes the event that ends a broken stream; OpenAI's clients raise an `APIError` on it.
    package mutating func writeOpenAIErrorEvent(_ error: GatewayError) {
        writeStaticString("data: ")
        writeOpenAIError(error)
        writeStaticString("\n\n")
    }

    /// Writes a model as it stands in `/v1/models`.
    package mutating func writeOpenAIModel(_ model: Model) {
        writeStaticString("{\"id\":")
        writeBytes(model.nameJSON)
        writeStaticString(",\"object\":\"model\",\"created\":")
        writeDecimal(model.createdAt.microseconds / 1_000_000)
        writeStaticString(",\"owned_by\":")
        writeJSONString(model.deployments.first?.provider.id ?? "martlet")
        writeStaticString("}")
    }
}
