import Foundation
import NIOCore
import Vocabulary

@testable import Dialects
@testable import Simulator

nonisolated(unsafe) private let scanner = OpenAIRequestScanner()
private let governed = [
    "model", "stream", "stream_options", "messages", "prompt", "input", "max_tokens", "max_completion_tokens", "n", "user",
]

/// The scanner of request bodies, against a parser of whole JSON texts that shares nothing with it, and against itself after its edits.
func fuzzRequest(_ input: FuzzInput) {
    let reference = parsedJSON(input.bytes)
    for endpoint in Endpoint.allCases {
        let body = input.buffer
        do throws(GatewayError) {
            let request = try scanner.scan(body, endpoint: endpoint)
            check(!request.model.isEmpty && request.model.utf8.count <= 256, "a model without a usable name")
            if case .object(let members) = reference { compare(request, members) }
            if let reference { check(reference.members != nil, "accepted what is no object") }
            splice(request, body, endpoint, reference)
        } catch {
            check((400..<500).contains(error.status) && !error.message.isEmpty, "a refusal without a reason")
            if case .malformedJSON(let reason) = error, case .object(let members) = reference { explain(reason, members, input) }
        }
    }
}

private func compare(_ request: OpenAIRequest, _ members: [JSONMember]) {
    for name in governed { check(members.count { $0.name == name } < 2, "two of \(name) were accepted") }
    func value(_ name: String) -> JSONValue? { members.first { $0.name == name }?.value }
    check(value("model")?.stringValue == request.model, "the model is \(request.model)")
    check((value("stream")?.boolValue ?? false) == request.isStream, "stream is \(request.isStream)")
    let options = value("stream_options")?.members ?? []
    check(options.count { $0.name == "include_usage" } < 2, "two of include_usage were accepted")
    check((options.first { $0.name == "include_usage" }?.value.boolValue ?? false) == request.wantsUsageChunk, "include_usage differs")
    if let user = value("user")?.stringValue, user.utf8.count <= 128 { check(user == request.endUser, "the user is \(request.endUser)") }
    if let limit = request.outputTokensMax {
        let stated = value("max_completion_tokens")?.integerValue ?? value("max_tokens")?.integerValue
        check(stated == Int(limit), "the limit is \(limit)")
    }
}

/// The edited body must say what was asked for, and nothing else may have changed.
private func splice(_ request: OpenAIRequest, _ body: ByteBuffer, _ endpoint: Endpoint, _ reference: JSONValue?) {
    for (model, forces) in [("other", true), (request.model, false), ("a \"b\" \\ c", true)] {
        let pieces = request.body(body, modelJSON: jsonString(model), forcesUsage: forces)
        let edited = pieces.reduce(into: ByteBuffer()) { $0.writeImmutableBuffer($1) }
        do throws(GatewayError) {
            let again = try scanner.scan(edited, endpoint: endpoint)
            check(again.model == model, "the edited body asks for \(again.model)")
            check(again.isStream == request.isStream, "the edit changed stream")
            check(again.wantsUsageChunk == (request.wantsUsageChunk || (forces && request.isStream)), "the edit did not ask for usage")
            check(again.endUser == request.endUser && again.outputTokensMax == request.outputTokensMax, "the edit changed another field")
        } catch {
            // What is malformed past the fields that we read goes to the provider as it is; an edit may move where that is noticed.
            check(reference == nil, "the edited body is refused: \(error)")
        }
        guard case .object(let before) = reference else { continue }
        guard let after = parsedJSON(edited.readableBytesView)?.members else { fatalError("the edited body is no JSON") }
        let same = { (members: [JSONMember]) in members.filter { $0.name != "model" && $0.name != "stream_options" } }
        check(same(before) == same(after), "the edit changed other members")
        let options = { (members: [JSONMember]) in
            (members.first { $0.name == "stream_options" }?.value.members ?? []).filter { $0.name != "include_usage" }
        }
        check(options(before) == options(after), "the edit changed other options")
    }
}

/// A sound text may be refused only for what is not taken on purpose: half of a surrogate pair, and a governed number that no `Double` holds or
/// that has an exponent beyond all reason.
private func explain(_ reason: String, _ members: [JSONMember], _ input: FuzzInput) {
    let text = input.text.lowercased()
    let hasSurrogate = ["\\ud8", "\\ud9", "\\uda", "\\udb", "\\udc", "\\udd", "\\ude", "\\udf"].contains { text.contains($0) }
    let options = members.first { $0.name == "stream_options" }?.value.members ?? []
    let isHuge = (members + options).contains { member in
        guard case .number(let text) = member.value else { return false }
        return text.utf8.count > 15 || Double(text)?.isInfinite ?? true
    }
    check(hasSurrogate || isHuge, "sound JSON is refused: \(reason)")
}
