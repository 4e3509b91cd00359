import Dialects
import NIOCore
import Vocabulary

@testable import Simulator

/// The meter of plain answers: the same however they are cut, and of one mind with a parser of whole texts.
func fuzzMeter(_ input: FuzzInput) {
    let whole = metered([input.buffer])
    let cut = metered(input.pieces())
    check(
        whole.usage == cut.usage && whole.contentBytes == cut.contentBytes && whole.isWholeObject == cut.isWholeObject
            && whole.hasError == cut.hasError && whole.hasResult == cut.hasResult, "a cut changes what is read")
    checkCounts(whole.usage)
    check(whole.contentBytes >= 0 && whole.contentBytes <= input.bytes.count, "\(whole.contentBytes) bytes of text")
    guard case .object(let members) = parsedJSON(input.bytes) else { return }
    check(whole.isWholeObject, "a whole object is not seen as one")
    // Names with escapes are none that a provider writes; of members that are there twice a parser may take either.
    guard !input.bytes.contains(UInt8(ascii: "\\")), isUnique(members) else { return }
    func value(_ name: String) -> JSONValue? { members.first { $0.name == name }?.value }
    let isError = value("error").map { $0 != .null && $0 != .bool(false) } ?? false
    check(whole.hasError == isError, "error is \(isError)")
    check(whole.hasResult == (value("choices")?.arrayValue != nil || value("data")?.arrayValue != nil), "the result is not seen")
    guard let usage = value("usage")?.members, isUnique(usage) else { return }
    compare(whole.usage, usage)
}

private func metered(_ pieces: [ByteBuffer]) -> OpenAIAnswerMeter {
    var meter = OpenAIAnswerMeter()
    for piece in pieces { meter.feed(piece) }
    return meter
}

private func isUnique(_ members: [JSONMember]) -> Bool { Set(members.map(\.name)).count == members.count }

/// Counts that stand there plainly must be read as they are.
private func compare(_ found: TokenUsage?, _ usage: [JSONMember]) {
    var stated: [String: Int64] = [:]
    for name in ["prompt_tokens", "completion_tokens"] {
        guard let value = usage.first(where: { $0.name == name })?.value else { continue }
        // More than that is believed only beside as much text.
        guard case .number(let text) = value, let count = Int64(text), (0...1_000_000).contains(count), !text.hasPrefix("-") else { return }
        stated[name] = count
    }
    // Details stand in objects of any name; those with anything but whole numbers are another matter.
    for case .object(let details) in usage.map(\.value) {
        for detail in details where ["cached_tokens", "reasoning_tokens"].contains(detail.name) {
            guard case .number(let text) = detail.value, let count = Int64(text), (0...1_000_000_000).contains(count), !text.hasPrefix("-"),
                stated[detail.name] == nil
            else { return }
            stated[detail.name] = count
        }
    }
    guard usage.allSatisfy({ if case .array = $0.value { false } else { true } }) else { return }
    guard stated["prompt_tokens"] != nil || stated["completion_tokens"] != nil else { return }
    let expected = TokenUsage(
        input: stated["prompt_tokens"] ?? 0, cachedInput: stated["cached_tokens"] ?? 0, output: stated["completion_tokens"] ?? 0,
        reasoning: stated["reasoning_tokens"] ?? 0
    ).clamped
    check(found == expected, "read \(String(describing: found)), stated \(expected)")
}
