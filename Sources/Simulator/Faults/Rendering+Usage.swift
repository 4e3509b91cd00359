import NIOCore

/// Faults of token counts.
extension Rendering {
    /// - Returns: whether the fault is one of these.
    mutating func applyToUsage(_ fault: Fault) -> Bool {
        switch fault.kind {
        case .usageNull: changeUsage { _ in "null" }
        case .usageSmall: changeUsage { _ in Self.usage("1", "1", total: "2") }
        case .usageLarge: changeUsage { Self.usage(Self.count("prompt_tokens", in: $0), "5000000", total: "5000020") }
        case .usageHuge: changeUsage { _ in Self.usage("123456789012345678", "123456789012345678", total: "246913578024691356") }
        case .usageNegative: changeUsage { Self.usage(Self.count("prompt_tokens", in: $0), "-7", total: "1") }
        case .usageInconsistent:
            changeUsage { usage in
                Self.usage(
                    Self.count("prompt_tokens", in: usage), Self.count("completion_tokens", in: usage), total: "3", cached: "1000", reasoning: "1000")
            }
        case .usageStrings: changeUsage { Self.usage("\"\(Self.count("prompt_tokens", in: $0))\"", "\"12\"", total: "\"19\"") }
        case .usageFractions: changeUsage { Self.usage("\(Self.count("prompt_tokens", in: $0)).0", "12.5", total: "1.25e1") }
        case .usageEveryChunk: runUsage()
        case .usageWithFinish:
            guard isStream, let told = pieces.firstIndex(where: { $0.role == .usage }), let usage = Self.usageRange(in: pieces[told].text) else {
                break
            }
            let text = String(pieces[told].text[usage])
            pieces.remove(at: told)
            for index in pieces.indices where pieces[index].role == .finish {
                pieces[index].text = pieces[index].text.replacing("\"usage\":null", with: "\"usage\":\(text)")
            }
        default: return false
        }
        return true
    }

    /// Each chunk tells the counts so far.
    private mutating func runUsage() {
        guard isStream, let last = pieces.first(where: { $0.role == .usage }) else { return }
        let prompt = Self.count("prompt_tokens", in: last.text)
        var count = 0
        for index in pieces.indices where pieces[index].role == .content || pieces[index].role == .lead {
            if pieces[index].role == .content { count += 1 }
            let total = (Int(prompt) ?? 0) + count
            pieces[index].text = pieces[index].text.replacing(
                "\"usage\":null", with: "\"usage\":\(Self.usage(prompt, "\(count)", total: "\(total)"))")
        }
    }

    private mutating func changeUsage(_ change: (String) -> String) {
        func changed(_ text: String) -> String {
            guard let range = Self.usageRange(in: text) else { return text }
            return text.replacingCharacters(in: range, with: change(String(text[range])))
        }
        changeBody(changed)
        for index in pieces.indices where pieces[index].role == .usage { pieces[index].text = changed(pieces[index].text) }
    }

    private static func usage(_ prompt: String, _ completion: String, total: String, cached: String = "0", reasoning: String = "0") -> String {
        #"{"prompt_tokens":\#(prompt),"completion_tokens":\#(completion),"total_tokens":\#(total),"prompt_tokens_details":{"cached_tokens":\#(cached)},"#
            + #""completion_tokens_details":{"reasoning_tokens":\#(reasoning)}}"#
    }

    /// The object behind `"usage":`. Inside a string the quotes would have backslashes.
    static func usageRange(in text: String) -> Range<String.Index>? {
        guard let start = text.range(of: "\"usage\":{")?.upperBound else { return nil }
        var depth = 1
        var index = start
        while depth > 0, index < text.endIndex {
            if text[index] == "{" { depth += 1 } else if text[index] == "}" { depth -= 1 }
            index = text.index(after: index)
        }
        return text.index(before: start)..<index
    }

    private static func count(_ name: String, in usage: String) -> String {
        guard let start = usage.range(of: "\"\(name)\":")?.upperBound else { return "0" }
        return String(usage[start...].prefix { $0.isNumber })
    }
}

extension String {
    /// Where another text stands for the first time; by its bytes, like everything in JSON.
    func range(of wanted: String) -> Range<String.Index>? { firstRange(of: wanted) }

    fileprivate func replacingCharacters(in range: Range<String.Index>, with text: String) -> String {
        "\(self[..<range.lowerBound])\(text)\(self[range.upperBound...])"
    }
}
