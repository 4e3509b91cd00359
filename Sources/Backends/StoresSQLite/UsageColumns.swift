import Contracts
import Vocabulary

/// The columns of `usage` in the order in which ``bind(_:isAggregate:at:to:)`` and ``row(_:)`` count them.
enum UsageColumns {
    private static let names = [
        "id", "is_aggregate", "count", "started_at", "request_id", "tenant", "team", "agent", "user", "key_id", "endpoint", "is_stream",
        "requested_model", "served_model", "provider", "deployment", "input_tokens", "cached_input_tokens", "output_tokens",
        "reasoning_tokens", "is_estimate", "cost_nanodollars", "price_version", "price_is_known", "latency_microseconds",
        "first_byte_microseconds", "overhead_microseconds", "attempts", "outcome", "status", "error_code", "fallback_reason",
        "prompt_bytes", "client_address", "end_user", "session", "tags",
    ]

    /// For a SELECT that ``row(_:)`` reads.
    static let selected = "number, " + names.joined(separator: ", ")

    private static let into = "INSERT INTO usage (\(names.joined(separator: ", "))) VALUES "
    private static let places = "(\(names.map { _ in "?" }.joined(separator: ", ")))"

    /// One record. A repeated id changes nothing; an aggregate that is there already grows.
    static let insert = """
        \(into) \(places)
        ON CONFLICT (id) DO NOTHING
        ON CONFLICT (started_at, key_id, client_address, endpoint, error_code) WHERE is_aggregate = 1
        DO UPDATE SET count = count + excluded.count
        """

    /// How many records ``insertMany`` takes.
    static let many = 16

    /// So many records that are no aggregates. SQLite opens the table and its indexes once for all of them, which saves a sixth of the time.
    static let insertMany = """
        \(into) \(Array(repeating: places, count: many).joined(separator: ", "))
        ON CONFLICT (id) DO NOTHING
        """

    /// Binds a record to ``insert``, or as the one of that place to ``insertMany``.
    static func bind(_ record: UsageRecord, isAggregate: Bool, at place: Int = 0, to statement: RawStatement) throws {
        var index = Int32(place * names.count)
        func text(_ value: String) throws {
            index += 1
            try statement.bind(value, at: index)
        }
        func integer(_ value: Int64) throws {
            index += 1
            try statement.bind(value, at: index)
        }
        func flag(_ value: Bool) throws { try integer(value ? 1 : 0) }

        try text(record.id.text)
        try flag(isAggregate)
        try integer(record.count)
        try integer(isAggregate ? minute(of: record.startedAt) * minuteMicroseconds : record.startedAt.microseconds)
        try text(record.requestID)
        try text(record.tenant)
        try text(record.team)
        try text(record.agent)
        try text(record.user)
        try text(record.keyID)
        try integer(Int64(record.endpoint.rawValue))
        try flag(record.isStream)
        try text(record.requestedModel)
        try text(record.servedModel)
        try text(record.provider)
        try text(record.deployment)
        try integer(record.tokens.input)
        try integer(record.tokens.cachedInput)
        try integer(record.tokens.output)
        try integer(record.tokens.reasoning)
        try flag(record.tokens.isEstimate)
        try integer(record.cost.nanodollars)
        try text(record.priceVersion)
        try flag(record.priceIsKnown)
        try integer(record.latencyMicroseconds)
        try integer(record.firstByteMicroseconds)
        try integer(record.overheadMicroseconds)
        try integer(record.attempts)
        try integer(Int64(record.outcome.rawValue))
        try integer(record.status)
        try text(record.errorCode)
        try text(record.fallbackReason)
        try integer(record.promptBytes)
        try text(record.clientAddress)
        try text(record.endUser)
        try text(record.session)
        try text(record.tags)
    }

    /// Reads a row of ``selected``.
    static func row(_ row: RawStatement) throws -> UsageRow {
        let number = row.integer(0)
        guard let id = RecordID(text: row.text(1)), let endpoint = UInt8(exactly: row.integer(11)).flatMap(Endpoint.init(rawValue:)),
            let outcome = UInt8(exactly: row.integer(29)).flatMap(Outcome.init(rawValue:))
        else { throw StoreError.corrupt("the usage row \(number) is not readable") }
        let tokens = TokenUsage(
            input: row.integer(17), cachedInput: row.integer(18), output: row.integer(19), reasoning: row.integer(20),
            isEstimate: row.integer(21) != 0)
        let record = UsageRecord(
            id: id, count: row.integer(3), startedAt: WallTime(microseconds: row.integer(4)), requestID: row.text(5), tenant: row.text(6),
            team: row.text(7), agent: row.text(8), user: row.text(9), keyID: row.text(10), endpoint: endpoint,
            isStream: row.integer(12) != 0, requestedModel: row.text(13), servedModel: row.text(14), provider: row.text(15),
            deployment: row.text(16), tokens: tokens, cost: Money(nanodollars: row.integer(22)), priceVersion: row.text(23),
            priceIsKnown: row.integer(24) != 0, latencyMicroseconds: row.integer(25), firstByteMicroseconds: row.integer(26),
            overheadMicroseconds: row.integer(27), attempts: row.integer(28), outcome: outcome, status: row.integer(30),
            errorCode: row.text(31), fallbackReason: row.text(32), promptBytes: row.integer(33), clientAddress: row.text(34),
            endUser: row.text(35), session: row.text(36), tags: row.text(37))
        return UsageRow(number: number, record: record)
    }

    static let minuteMicroseconds: Int64 = 60_000_000

    /// Minutes since 1970, rounded down.
    static func minute(of time: WallTime) -> Int64 {
        let (quotient, remainder) = time.microseconds.quotientAndRemainder(dividingBy: minuteMicroseconds)
        return remainder < 0 ? quotient - 1 : quotient
    }
}

extension RecordID {
    /// Reads what ``text`` wrote.
    fileprivate init?(text: String) {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 3, let boot = UInt64(parts[0], radix: 16), let loop = UInt16(parts[1], radix: 16),
            let sequence = UInt64(parts[2], radix: 16)
        else { return nil }
        self.init(boot: boot, loop: loop, sequence: sequence)
    }
}
