import Contracts
import Vocabulary

/// The columns of a usage record: its own in `usage`, and those that it shares in `usage_dimensions`.
enum UsageColumns {
    private static let own = [
        "number", "record_id", "count", "started_at", "request_id", "input_tokens", "cached_input_tokens", "output_tokens",
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
        guard let id = RecordID(bytes: row.blob(1)), let endpoint = UInt8(exactly: row.integer(26)).flatMap(Endpoint.init(rawValue:)),
            let outcome = UInt8(exactly: row.integer(33)).flatMap(Outcome.init(rawValue:))
        else { throw StoreError.corrupt("the usage row \(number) is not readable") }
        let tokens = TokenUsage(
            input: row.integer(5), cachedInput: row.integer(6), output: row.integer(7), reasoning: row.integer(8),
            isEstimate: row.integer(9) != 0)
        let record = UsageRecord(
            id: id, count: row.optionalInteger(2) ?? 1, startedAt: WallTime(microseconds: row.integer(3)), requestID: row.text(4),
            tenant: row.text(21), team: row.text(22), agent: row.text(23), user: row.text(24), keyID: row.text(25), endpoint: endpoint,
            isStream: row.integer(27) != 0, requestedModel: row.text(20), servedModel: row.text(28), provider: row.text(29),
            deployment: row.text(30), tokens: tokens, cost: Money(nanodollars: row.integer(10)), priceVersion: row.text(31),
            priceIsKnown: row.integer(32) != 0, latencyMicroseconds: row.integer(11), firstByteMicroseconds: row.integer(12),
            overheadMicroseconds: row.integer(13), attempts: row.integer(14), outcome: outcome, status: row.integer(34),
            errorCode: row.text(35), fallbackReason: row.text(36), promptBytes: row.integer(15), clientAddress: row.text(16),
            endUser: row.text(17), session: row.text(18), tags: row.text(19))
        return UsageRow(number: number, record: record)
    }

    /// How many row numbers a span has, as a power of two.
    static let spanBits: Int64 = 8

    static let minuteMicroseconds: Int64 = 60_000_000

    /// Minutes since 1970, rounded down.
    static func minute(of time: WallTime) -> Int64 {
        let (quotient, remainder) = time.microseconds.quotientAndRemainder(dividingBy: minuteMicroseconds)
        return remainder < 0 ? quotient - 1 : quotient
    }
}

/// Of a record by its address: to copy one for such a question retains all its texts.
extension UnsafePointer<UsageRecord> {
    /// Whether it stands for several calls, or for a refused one of whom nobody knows.
    var isAggregate: Bool { pointee.count != 1 || (pointee.outcome == .refused && pointee.requestID.isEmpty) }

    /// Whether the requested model was never served, which lets a client make up as many as it likes.
    var isModelUnserved: Bool { pointee.provider.isEmpty && pointee.servedModel.isEmpty }

    /// Whether it has nothing that most calls lack.
    var isPlain: Bool { pointee.endUser.isEmpty && pointee.session.isEmpty && pointee.tags.isEmpty && !isModelUnserved }
}

extension RecordID {
    /// The size of the form in `record_id`, in bytes.
    static let bytesCount = 18

    /// Writes the boot, the loop and the sequence, each with its greatest byte first.
    func write(to target: UnsafeMutableRawBufferPointer) {
        target.storeBytes(of: boot.bigEndian, as: UInt64.self)
        target.storeBytes(of: loop.bigEndian, toByteOffset: 8, as: UInt16.self)
        target.storeBytes(of: sequence.bigEndian, toByteOffset: 10, as: UInt64.self)
    }

    /// Reads what ``write(to:)`` wrote.
    fileprivate init?(bytes: [UInt8]) {
        guard bytes.count == RecordID.bytesCount else { return nil }
        self = bytes.withUnsafeBytes { source in
            RecordID(
                boot: UInt64(bigEndian: source.loadUnaligned(as: UInt64.self)),
                loop: UInt16(bigEndian: source.loadUnaligned(fromByteOffset: 8, as: UInt16.self)),
                sequence: UInt64(bigEndian: source.loadUnaligned(fromByteOffset: 10, as: UInt64.self)))
        }
    }
}
