import Contracts
import Vocabulary

/// The columns of a usage record: its own in `usage`, and those that it shares in `usage_dimensions`.
enum UsageColumns {
    private static let own = [
        "number", "boot", "loop", "sequence", "count", "started_at", "request_id", "input_tokens", "cached_input_tokens", "output_tokens",
        "reasoning_tokens", "is_estimate", "cost_nanodollars", "latency_microseconds", "first_byte_microseconds", "overhead_microseconds",
        "attempts", "prompt_bytes", "client_address", "end_user", "session", "tags",
    ]
    private static let shared = [
        "tenant", "team", "agent", "user", "key_id", "endpoint", "is_stream", "served_model", "provider", "deployment", "price_version",
        "price_is_known", "outcome", "status", "error_code", "fallback_reason",
    ]

    /// For a SELECT from `usage u` and `usage_dimensions d` that ``row(_:)`` reads.
    static let selected =
        (own.map { "u." + $0 } + ["coalesce(u.unserved_model, d.requested_model)"] + shared.map { "d." + $0 }).joined(separator: ", ")

    /// Reads a row of ``selected``.
    static func row(_ row: RawStatement) throws -> UsageRow {
        let number = row.integer(0)
        guard let loop = UInt16(exactly: row.integer(2)), let endpoint = UInt8(exactly: row.integer(28)).flatMap(Endpoint.init(rawValue:)),
            let outcome = UInt8(exactly: row.integer(35)).flatMap(Outcome.init(rawValue:))
        else { throw StoreError.corrupt("the usage row \(number) is not readable") }
        let tokens = TokenUsage(
            input: row.integer(7), cachedInput: row.integer(8), output: row.integer(9), reasoning: row.integer(10),
            isEstimate: row.integer(11) != 0)
        let record = UsageRecord(
            id: RecordID(boot: UInt64(bitPattern: row.integer(1)), loop: loop, sequence: UInt64(bitPattern: row.integer(3))),
            count: row.integer(4), startedAt: WallTime(microseconds: row.integer(5)), requestID: row.text(6), tenant: row.text(23),
            team: row.text(24), agent: row.text(25), user: row.text(26), keyID: row.text(27), endpoint: endpoint,
            isStream: row.integer(29) != 0, requestedModel: row.text(22), servedModel: row.text(30), provider: row.text(31),
            deployment: row.text(32), tokens: tokens, cost: Money(nanodollars: row.integer(12)), priceVersion: row.text(33),
            priceIsKnown: row.integer(34) != 0, latencyMicroseconds: row.integer(13), firstByteMicroseconds: row.integer(14),
            overheadMicroseconds: row.integer(15), attempts: row.integer(16), outcome: outcome, status: row.integer(36),
            errorCode: row.text(37), fallbackReason: row.text(38), promptBytes: row.integer(17), clientAddress: row.text(18),
            endUser: row.text(19), session: row.text(20), tags: row.text(21))
        return UsageRow(number: number, record: record)
    }

    static let minuteMicroseconds: Int64 = 60_000_000

    /// Minutes since 1970, rounded down.
    static func minute(of time: WallTime) -> Int64 {
        let (quotient, remainder) = time.microseconds.quotientAndRemainder(dividingBy: minuteMicroseconds)
        return remainder < 0 ? quotient - 1 : quotient
    }
}

extension UsageRecord {
    /// Whether it stands for several calls, or for a refused one of whom nobody knows.
    var isAggregate: Bool { count != 1 || (outcome == .refused && requestID.isEmpty) }

    /// Whether the requested model was never served, which lets a client make up as many as it likes.
    var isModelUnserved: Bool { provider.isEmpty && servedModel.isEmpty }
}
