import Dialects
import NIOCore
import Vocabulary

/// What a client sends: scanned for its governed fields, then spliced.
let requestCases: [Case] = [
    Case("request-scan-small", "find and check the governed fields of a 650-byte chat request") { try scan(promptBytes: 230) },
    Case("request-scan-20k", "the same with a prompt of 20 KB") { try scan(promptBytes: 20_000) },
    Case("request-scan-1m", "the same with a prompt of 1 MB") { try scan(promptBytes: 1_000_000) },
    Case("request-splice", "rename the model and ask for usage") {
        let body = chatBody(promptBytes: 230, isStream: true)
        let request = try OpenAIRequestScanner().scan(body, endpoint: .chatCompletions)
        let name = Array("\"gpt-4o-mini-2024-07-18\"".utf8)
        return { use(request.body(body, modelJSON: name, forcesUsage: true).count) }
    },
]

private func scan(promptBytes: Int) throws -> () -> Void {
    let scanner = OpenAIRequestScanner()
    let body = chatBody(promptBytes: promptBytes, isStream: false)
    guard try scanner.scan(body, endpoint: .chatCompletions).model == "gpt-4o-mini" else { throw SetUpError(description: "wrong model") }
    return {
        // A body that was good is good again.
        if let request = try? scanner.scan(body, endpoint: .chatCompletions) { use(request.model.utf8.count) }
    }
}

/// A chat request with a prompt of about that size, and room behind it as the edge reserves it.
func chatBody(promptBytes: Int, isStream: Bool) -> ByteBuffer {
    let sentence = "We are two adults and a child of six, like small towns and walks by the sea, and do not want to drive.\\n"
    var prompt = ""
    while prompt.utf8.count < promptBytes { prompt += sentence }
    let text =
        "{\"model\":\"gpt-4o-mini\",\(isStream ? "\"stream\":true," : "")\"messages\":[{\"role\":\"system\",\"content\":\"You are the assistant of a "
        + "travel agency. Answer briefly, in the language of the question, and only with facts that stand in the conversation. If something is "
        + "missing, ask one question.\"},{\"role\":\"user\",\"content\":\"\(prompt)\"}],\"temperature\":0.7,\"max_tokens\":400,\"user\":\"customer-20817\"}"
    var body = ByteBufferAllocator().buffer(capacity: text.utf8.count + OpenAIRequestScanner.padding)
    body.writeString(text)
    return body
}
