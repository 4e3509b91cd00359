internal import CScan
internal import Glibc
package import NIOCore
package import Vocabulary

/// Where the fields of a request stand that Martlet governs, and what they say.
package struct OpenAIRequest: Sendable {
    /// The public model name that the client asked for.
    package let model: String
    /// Whether the client wants a stream.
    package let isStream: Bool
    /// Whether the client itself asked for a usage chunk.
    package let wantsUsageChunk: Bool
    /// The most tokens that the answer may have, where the client set it.
    package let outputTokensMax: Int64?
    /// The client's own name for its end user.
    package let endUser: String
    /// The place of the model's name, quotes included, in bytes from the start of the body.
    private let modelPlace: Range<Int>
    /// What makes the request ask for usage on its stream.
    private let usageEdit: Edit

    /// A text to be put in the place of some bytes of the body.
    private struct Edit: Sendable {
        var place: Range<Int>
        var text: StaticString
    }

    fileprivate init(raw: cscan_request) {
        model = text(raw.model, raw.model_length)
        isStream = field(raw, CSCAN_STREAM).type == UInt8(CSCAN_TRUE)
        wantsUsageChunk = field(raw, CSCAN_INCLUDE_USAGE).type == UInt8(CSCAN_TRUE)
        outputTokensMax = raw.max_tokens > 0 ? raw.max_tokens : nil
        endUser = raw.user_length <= 128 ? text(raw.user, raw.user_length) : ""
        modelPlace = place(field(raw, CSCAN_MODEL))
        usageEdit = OpenAIRequest.usageEdit(raw)
    }

    private static func usageEdit(_ raw: cscan_request) -> Edit {
        let options = field(raw, CSCAN_STREAM_OPTIONS)
        let include = field(raw, CSCAN_INCLUDE_USAGE)
        if include.type != UInt8(CSCAN_ABSENT) { return Edit(place: place(include), text: "true") }
        if options.type == UInt8(CSCAN_OBJECT) {
            let open = Int(raw.options_open)
            return Edit(place: open..<open, text: raw.options_are_empty == 1 ? "\"include_usage\":true" : "\"include_usage\":true,")
        }
        if options.type == UInt8(CSCAN_NULL) { return Edit(place: place(options), text: "{\"include_usage\":true}") }
        // The object has `model` at least, so a comma always follows.
        let open = Int(raw.object_open)
        return Edit(place: open..<open, text: "\"stream_options\":{\"include_usage\":true},")
    }
}

/// Reads requests of OpenAI's dialect. Keeps its memory between calls, so each event loop has one of its own.
package final class OpenAIRequestScanner {
    private let scanner: UnsafeMutableRawPointer?
    private var scratch: UnsafeMutableRawBufferPointer

    package init() {
        scanner = cscan_scanner_create()
        scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: 16_384 + cscan_padding(), alignment: 16)
    }

    deinit {
        cscan_scanner_destroy(scanner)
        scratch.deallocate()
    }

    /// The readable bytes that should follow a large body, to spare a copy of it.
    package static var padding: Int { cscan_padding() }

    /// Finds the governed fields of a body and checks them.
    package func scan(_ body: ByteBuffer, endpoint: Endpoint) throws(GatewayError) -> OpenAIRequest {
        var raw = cscan_request()
        let code = body.withVeryUnsafeBytes { storage in
            let length = body.readableBytes
            // `withVeryUnsafeBytes` shows the whole storage from the buffer's own start; what lies behind the readable bytes is readable
            // memory, and all that the scanner needs is that it is.
            let start = storage.baseAddress.map { $0 + body.readerIndex }
            if let start, storage.count - body.readerIndex - length >= cscan_padding() {
                return cscan_request_scan(scanner, start.assumingMemoryBound(to: CChar.self), length, &raw)
            }
            if scratch.count < length + cscan_padding() {
                scratch.deallocate()
                scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: length + cscan_padding(), alignment: 16)
            }
            if let start { scratch.copyMemory(from: UnsafeRawBufferPointer(start: start, count: length)) }
            return cscan_request_scan(scanner, scratch.baseAddress?.assumingMemoryBound(to: CChar.self), length, &raw)
        }
        if code != Int32(CSCAN_OK) { throw .malformedJSON(reason(code)) }
        if raw.duplicate >= 0 { throw .duplicateField(name(of: Int32(raw.duplicate))) }
        try check(raw, endpoint: endpoint)
        return OpenAIRequest(raw: raw)
    }
}

extension OpenAIRequest {
    /// The body as it goes to a provider: the model renamed where its name there is another, and usage asked for on streams so that they can
    /// be metered (CONVENTIONS §1). Everything else is the client's own bytes.
    ///
    /// - Parameters:
    ///   - body: the very buffer that was scanned.
    ///   - modelJSON: the provider's name for the model as a JSON string.
    package func body(_ body: ByteBuffer, modelJSON: [UInt8], forcesUsage: Bool) -> [ByteBuffer] {
        let isNamed = equal(body, modelPlace, modelJSON)
        let asksForUsage = forcesUsage && isStream && !wantsUsageChunk
        if isNamed, !asksForUsage { return [body] }
        var edits: [(place: Range<Int>, text: ByteBuffer)] = []
        if !isNamed { edits.append((modelPlace, ByteBuffer(bytes: modelJSON))) }
        if asksForUsage { edits.append((usageEdit.place, ByteBuffer(staticString: usageEdit.text))) }
        edits.sort { $0.place.lowerBound < $1.place.lowerBound }
        var pieces: [ByteBuffer] = []
        pieces.reserveCapacity(edits.count * 2 + 1)
        var at = 0
        for edit in edits {
            append(body, from: at, to: edit.place.lowerBound, to: &pieces)
            pieces.append(edit.text)
            at = edit.place.upperBound
        }
        append(body, from: at, to: body.readableBytes, to: &pieces)
        return pieces
    }
}

private func place(_ field: cscan_field) -> Range<Int> {
    Int(field.start)..<Int(max(field.start, field.end))
}

private func append(_ body: ByteBuffer, from: Int, to: Int, to pieces: inout [ByteBuffer]) {
    guard to > from, let slice = body.getSlice(at: body.readerIndex + from, length: to - from) else { return }
    pieces.append(slice)
}

private func equal(_ body: ByteBuffer, _ place: Range<Int>, _ text: [UInt8]) -> Bool {
    guard place.count == text.count, place.upperBound <= body.readableBytes else { return false }
    return body.withUnsafeReadableBytes { bytes in
        text.withUnsafeBytes { text in
            // An empty text has no address, and every place here holds at least two quotes.
            guard let base = bytes.baseAddress, let other = text.baseAddress else { return text.isEmpty }
            return memcmp(base + place.lowerBound, other, text.count) == 0
        }
    }
}

private func check(_ raw: cscan_request, endpoint: Endpoint) throws(GatewayError) {
    try require(raw, CSCAN_MODEL, [CSCAN_STRING], "a string", isOptional: false)
    if raw.model_length == 0 { throw .missingField("model") }
    // It is echoed, logged and counted.
    if raw.model_length > 256 { throw .wrongType(field: "model", expected: "a string of at most 256 bytes") }
    try require(raw, CSCAN_STREAM, [CSCAN_TRUE, CSCAN_FALSE, CSCAN_NULL], "a boolean")
    try require(raw, CSCAN_STREAM_OPTIONS, [CSCAN_OBJECT, CSCAN_NULL], "an object")
    try require(raw, CSCAN_INCLUDE_USAGE, [CSCAN_TRUE, CSCAN_FALSE, CSCAN_NULL], "a boolean")
    try require(raw, CSCAN_USER, [CSCAN_STRING, CSCAN_NULL], "a string")
    try requireCount(raw, CSCAN_MAX_TOKENS)
    try requireCount(raw, CSCAN_MAX_COMPLETION_TOKENS)
    try requireCount(raw, CSCAN_N)
    switch endpoint {
    case .chatCompletions: try require(raw, CSCAN_MESSAGES, [CSCAN_ARRAY], "an array of messages", isOptional: false)
    case .completions: try require(raw, CSCAN_PROMPT, [CSCAN_STRING, CSCAN_ARRAY, CSCAN_NULL], "a string or an array")
    case .embeddings: try require(raw, CSCAN_INPUT, [CSCAN_STRING, CSCAN_ARRAY], "a string or an array", isOptional: false)
    }
}

private func require(
    _ raw: cscan_request, _ index: Int, _ types: [Int], _ expected: String, isOptional: Bool = true
) throws(GatewayError) {
    let type = Int(field(raw, index).type)
    if type == CSCAN_ABSENT {
        if !isOptional { throw .missingField(name(of: Int32(index))) }
        return
    }
    if !types.contains(type) { throw .wrongType(field: name(of: Int32(index)), expected: expected) }
}

private func requireCount(_ raw: borrowing cscan_request, _ index: Int) throws(GatewayError) {
    let type = Int(field(raw, index).type)
    if type == CSCAN_ABSENT || type == CSCAN_NULL { return }
    let value = index == CSCAN_N ? raw.n : raw.max_tokens
    guard type == CSCAN_NUMBER, value >= 0 else { throw .wrongType(field: name(of: Int32(index)), expected: "a whole number that is not negative") }
}

private func field(_ raw: cscan_request, _ index: Int) -> cscan_field {
    withUnsafeBytes(of: raw.fields) { $0.loadUnaligned(fromByteOffset: index * MemoryLayout<cscan_field>.stride, as: cscan_field.self) }
}

private func name(of field: Int32) -> String {
    switch Int(field) {
    case CSCAN_MODEL: "model"
    case CSCAN_STREAM: "stream"
    case CSCAN_STREAM_OPTIONS: "stream_options"
    case CSCAN_MESSAGES: "messages"
    case CSCAN_PROMPT: "prompt"
    case CSCAN_INPUT: "input"
    case CSCAN_MAX_TOKENS: "max_tokens"
    case CSCAN_MAX_COMPLETION_TOKENS: "max_completion_tokens"
    case CSCAN_N: "n"
    case CSCAN_USER: "user"
    default: "stream_options.include_usage"
    }
}

private func reason(_ code: Int32) -> String {
    switch Int(code) {
    case CSCAN_EMPTY: "it is empty"
    case CSCAN_NOT_UTF8: "it is not valid UTF-8"
    case CSCAN_NOT_OBJECT: "it must be a JSON object"
    case CSCAN_TRAILING: "something follows the object"
    case CSCAN_TOO_DEEP: "it is nested too deeply"
    case CSCAN_NO_MEMORY: "it is too large to be read"
    default: "it is not valid JSON"
    }
}

private func text(_ pointer: UnsafePointer<CChar>?, _ length: Int) -> String {
    guard let pointer, length > 0 else { return "" }
    return UnsafeBufferPointer(start: pointer, count: length).withMemoryRebound(to: UInt8.self) { String(decoding: $0, as: UTF8.self) }
}
