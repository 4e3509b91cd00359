import Vocabulary

/// One member of a usage row, by the name that it has in JSON and in CSV.
enum UsageField {
    case text(String)
    /// A text that is absent when it is empty.
    case optionalText(String)
    /// A number, `true`, `false` or `null`, ready to be written.
    case literal(String)
}

extension UsageRecord {
    /// Every field of a row, in the order of columns.
    var fields: [(name: String, value: UsageField)] {
        [
            ("id", .text(id.text)),
            ("request_id", .text(requestID)),
            ("time", .text(startedAt.rfc3339)),
            ("count", number(count)),
            ("tenant", .text(tenant)),
            ("team", .text(team)),
            ("agent", .text(agent)),
            ("user", .text(user)),
            ("key_id", .text(keyID)),
            ("endpoint", .text(endpoint.name)),
            ("stream", flag(isStream)),
            ("model", .text(requestedModel)),
            ("requested_model", .text(requestedModel)),
            ("served_model", .text(servedModel)),
            ("provider", .text(provider)),
            ("deployment", .text(deployment)),
        ] + tokens.fields + cost.fields + [
            ("price_version", .text(priceVersion)),
            ("price_known", flag(priceIsKnown)),
            ("latency_ms", .literal(milliseconds(ofMicroseconds: latencyMicroseconds))),
            ("ttft_ms", .literal(firstByteMicroseconds < 0 ? "null" : milliseconds(ofMicroseconds: firstByteMicroseconds))),
            ("overhead_ms", .literal(milliseconds(ofMicroseconds: overheadMicroseconds))),
            ("attempts", number(attempts)),
            // There is no response cache yet; readers need not change when there is one.
            ("cached", flag(false)),
            ("outcome", .text(outcome.name)),
            ("status", .literal(status == 0 ? "null" : String(status))),
            ("error_code", .optionalText(errorCode)),
            ("fallback_reason", .optionalText(fallbackReason)),
            ("prompt_bytes", number(promptBytes)),
            ("client_address", .text(clientAddress)),
            ("end_user", .text(endUser)),
            ("session", .text(session)),
            ("tags", .text(tags)),
        ]
    }

    /// Writes the row as an object.
    func write(to json: inout JSONWriter) {
        json.object { $0.write(fields) }
    }
}

extension TokenUsage {
    fileprivate var fields: [(name: String, value: UsageField)] {
        [
            ("input_tokens", number(input)),
            ("cached_input_tokens", number(cachedInput)),
            ("output_tokens", number(output)),
            ("reasoning_tokens", number(reasoning)),
            ("total_tokens", number(total)),
            ("prompt_tokens", number(input)),
            ("completion_tokens", number(output)),
            ("estimated", flag(isEstimate)),
        ]
    }

    /// Writes the counts as members.
    func write(to json: inout JSONWriter) { json.write(fields) }
}

extension Money {
    fileprivate var fields: [(name: String, value: UsageField)] {
        [("cost_nano_usd", number(nanodollars)), ("cost_usd", .literal(dollars))]
    }

    /// Writes the amount as members, whole and as an exact decimal.
    func write(to json: inout JSONWriter) { json.write(fields) }
}

extension JSONWriter {
    fileprivate mutating func write(_ fields: [(name: String, value: UsageField)]) {
        for (name, value) in fields {
            switch value {
            case .text(let text): member(name, text)
            case .optionalText(let text): member(name, text.isEmpty ? nil : text)
            case .literal(let text): member(name, literal: text)
            }
        }
    }
}

private func number(_ value: Int64) -> UsageField { .literal(String(value)) }

private func flag(_ value: Bool) -> UsageField { .literal(value ? "true" : "false") }
