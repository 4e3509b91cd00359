import NIOCore

/// One rule of a script: which calls, and what becomes of them.
final class ScriptRule: Sendable {
    /// Keys of `then` that are settings of a call, the same as the headers `x-sim-…`.
    private static let controls = [
        "seed", "tokens", "prompt_tokens", "cached_tokens", "reasoning_tokens", "ttft_ms", "token_ms", "error", "error_code", "error_rate",
        "retry_after", "retry_after_ms", "fail_first", "scenario", "cut_after", "stall_after", "stream_error_after", "no_usage", "record", "fault",
    ]
    private static let answers = ["text", "tool_calls", "finish_reason", "status", "headers", "body", "body_base64", "raw", "raw_base64", "limit"]

    let name: String
    let match: ScriptMatch
    /// As `x-sim-…` headers; each has been tried when the script was read.
    private let settings: [(name: String, value: String)]
    let fixed: FixedAnswer?
    let limiter: RateLimiter?
    /// What happens to calls while their request is read.
    let requestFaults: [Fault]

    init(_ section: ScriptSection, index: Int) {
        name = section.text("name") ?? "rule \(index + 1)"
        let nothing = ScriptNode(content: .null, line: section.line)
        match = ScriptMatch(
            ScriptSection(section.node("match") ?? nothing, path: "\(section.path).match", keys: ScriptMatch.keys, report: section.report))
        if section.node("then") == nil { section.fail("then", "is missing: what is to become of these calls?") }
        let then = ScriptSection(
            section.node("then") ?? nothing, path: "\(section.path).then", keys: Self.controls + Self.answers, report: section.report)
        var settings: [(name: String, value: String)] = []
        var controls = RequestControls(SimulatorOptions())
        for key in Self.controls {
            guard let text = then.texts(key)?.joined(separator: ",") else { continue }
            let header = "x-sim-\(key.replacing("_", with: "-"))"
            let value = text == "true" ? "1" : text == "false" ? "0" : text
            do throws(APIError) {
                try controls.apply(header, value)
                settings.append((header, value))
            } catch {
                then.fail(key, "cannot be '\(text)'\(key == "fault" ? ": \(error.message)" : "")")
            }
        }
        self.settings = settings
        requestFaults = controls.faults.filter { $0.kind.stage == .request }
        if !requestFaults.isEmpty, match.needsBody {
            then.fail("fault", "'\(requestFaults[0].text)' happens before the body is read, so the rule cannot match a model or stream")
        }
        fixed = Self.answer(then)
        limiter = Self.limit(then)
    }

    /// Puts the rule's settings over those of the flags.
    func apply(_ controls: inout RequestControls) {
        for (name, value) in settings {
            // Tried when the script was read, so it cannot fail now.
            try? controls.apply(name, value)
        }
        if let fixed { controls.fixed = fixed }
        if let limiter { controls.limiter = limiter }
    }

    private static func answer(_ then: ScriptSection) -> FixedAnswer? {
        let given = answers.dropLast().filter { then.node($0) != nil }
        guard !given.isEmpty else { return nil }
        let bodies = ["text", "tool_calls", "body", "body_base64", "raw", "raw_base64"].filter { given.contains($0) }
        if bodies.count > 1 { then.fail(bodies[1], "cannot stand beside \(bodies[0])") }
        for key in ["status", "headers"] where given.contains(key) && !given.contains("body") && !given.contains("body_base64") {
            then.fail(key, "needs a body (body or body_base64)")
        }
        if given.contains("finish_reason"), !given.contains("text"), !given.contains("tool_calls") {
            then.fail("finish_reason", "needs text or tool_calls")
        }
        func decoded(_ key: String) -> ByteBuffer? {
            guard let text = then.text(key) else { return nil }
            guard let bytes = base64Decoded(text) else {
                then.fail(key, "is no valid base64")
                return nil
            }
            return ByteBuffer(bytes: bytes)
        }
        return FixedAnswer(
            text: then.text("text"), toolCalls: toolCalls(then), finishReason: then.text("finish_reason"),
            status: then.integer("status", in: 200...599) ?? 200, headers: (then.pairs("headers") ?? []).map { ($0.name.lowercased(), $0.value) },
            body: bodyText(then).map { ByteBuffer(string: $0) } ?? decoded("body_base64"),
            raw: then.text("raw").map { ByteBuffer(string: $0) } ?? decoded("raw_base64"))
    }

    /// The body as text; a mapping or a list is written as JSON.
    private static func bodyText(_ then: ScriptSection) -> String? {
        guard let node = then.node("body") else { return nil }
        if case .scalar(let text, _) = node.content { return text }
        var buffer = ByteBuffer()
        buffer.writeJSON(node.json)
        return String(buffer: buffer)
    }

    private static func toolCalls(_ then: ScriptSection) -> [FixedAnswer.ToolCall] {
        guard let node = then.node("tool_calls") else { return [] }
        guard case .list(let items) = node.content, !items.isEmpty else {
            then.fail("tool_calls", "must be a list of calls with name and arguments, not \(node.kind)")
            return []
        }
        return items.enumerated().compactMap { index, item in
            let section = ScriptSection(item, path: "\(then.path).tool_calls[\(index)]", keys: ["name", "arguments"], report: then.report)
            guard let name = section.text("name") else {
                section.fail("name", "is missing")
                return nil
            }
            guard let arguments = section.node("arguments") else { return FixedAnswer.ToolCall(name: name, arguments: "{}") }
            if case .scalar(let text, _) = arguments.content { return FixedAnswer.ToolCall(name: name, arguments: text) }
            var buffer = ByteBuffer()
            buffer.writeJSON(arguments.json)
            return FixedAnswer.ToolCall(name: name, arguments: String(buffer: buffer))
        }
    }

    private static func limit(_ then: ScriptSection) -> RateLimiter? {
        guard let node = then.node("limit") else { return nil }
        let section = ScriptSection(node, path: "\(then.path).limit", keys: ["requests_per_minute", "tokens_per_minute"], report: then.report)
        let bounds = 1...1_000_000_000
        let requests = section.integer("requests_per_minute", in: bounds)
        let tokens = section.integer("tokens_per_minute", in: bounds)
        if requests == nil, tokens == nil { section.fail("requests_per_minute", "is missing, and so is tokens_per_minute; a limit has at least one") }
        return RateLimiter(requestsPerMinute: requests, tokensPerMinute: tokens)
    }
}

/// The bytes of a text in base64, padding and line ends optional; `nil` when it is not base64.
private func base64Decoded(_ text: String) -> [UInt8]? {
    var bytes: [UInt8] = []
    var bits: UInt32 = 0
    var count = 0
    for byte in text.utf8 {
        let digit: UInt32
        switch byte {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): digit = UInt32(byte - UInt8(ascii: "A"))
        case UInt8(ascii: "a")...UInt8(ascii: "z"): digit = UInt32(byte - UInt8(ascii: "a")) + 26
        case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = UInt32(byte - UInt8(ascii: "0")) + 52
        case UInt8(ascii: "+"), UInt8(ascii: "-"): digit = 62
        case UInt8(ascii: "/"), UInt8(ascii: "_"): digit = 63
        case UInt8(ascii: "="), 0x0A, 0x0D, 0x20: continue
        default: return nil
        }
        bits = bits << 6 | digit
        count += 1
        if count == 4 {
            bytes += [UInt8(truncatingIfNeeded: bits >> 16), UInt8(truncatingIfNeeded: bits >> 8), UInt8(truncatingIfNeeded: bits)]
            (bits, count) = (0, 0)
        }
    }
    switch count {
    case 0: break
    case 2: bytes.append(UInt8(truncatingIfNeeded: bits >> 4))
    case 3: bytes += [UInt8(truncatingIfNeeded: bits >> 10), UInt8(truncatingIfNeeded: bits >> 2)]
    default: return nil
    }
    return bytes
}
