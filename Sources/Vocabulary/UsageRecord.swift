/// The internal identity of a record: which start of which replica wrote it, on which loop, as which one.
///
/// The client's request id is only an attribute: a client that repeats a header must not erase usage.
package struct RecordID: Sendable, Hashable {
    /// Drawn at random at every start of the process.
    package var boot: UInt64
    package var loop: UInt16
    package var sequence: UInt64

    package init(boot: UInt64, loop: UInt16, sequence: UInt64) {
        self.boot = boot
        self.loop = loop
        self.sequence = sequence
    }

    /// `boot-loop-sequence` in hexadecimal, as it stands in the store and in the API.
    package var text: String {
        let boot = String(boot, radix: 16)
        return String(repeating: "0", count: 16 - boot.count) + boot + "-" + String(loop, radix: 16) + "-" + String(sequence, radix: 16)
    }
}

/// One call in the usage log (PRODUCT C7), or several refusals of one kind counted together.
package struct UsageRecord: Sendable, Equatable {
    package var id: RecordID
    /// How many calls this stands for: 1, but for aggregated refusals.
    package var count: Int64
    /// When the call's head was read; for an aggregate, the start of its minute.
    package var startedAt: WallTime
    package var requestID: String

    package var tenant: String
    package var team: String
    package var agent: String
    package var user: String
    package var keyID: String

    package var endpoint: Endpoint
    package var isStream: Bool
    package var requestedModel: String
    package var servedModel: String
    package var provider: String
    package var deployment: String

    package var tokens: TokenUsage
    package var cost: Money
    package var priceVersion: String
    package var priceIsKnown: Bool

    /// From the head read to the last byte handed to the socket.
    package var latencyMicroseconds: Int64
    /// From the head read to the provider's first answer byte; `-1` when there was none.
    package var firstByteMicroseconds: Int64
    /// The part of the latency that was not spent waiting for a provider.
    package var overheadMicroseconds: Int64

    package var attempts: Int64
    package var outcome: Outcome
    /// The HTTP status that the client saw; 0 when it saw none.
    package var status: Int64
    /// The `code` of the error, empty on success.
    package var errorCode: String
    /// Why another deployment than the first one answered, empty when it did not.
    package var fallbackReason: String

    /// The size of the request body, in bytes.
    package var promptBytes: Int64
    package var clientAddress: String
    /// The `user` field, `x-martlet-session` and `x-martlet-tags` of the client: recorded, never trusted.
    package var endUser: String
    package var session: String
    package var tags: String

    package init(
        id: RecordID, count: Int64 = 1, startedAt: WallTime, requestID: String = "", tenant: String = "", team: String = "",
        agent: String = "", user: String = "", keyID: String = "", endpoint: Endpoint, isStream: Bool = false, requestedModel: String = "",
        servedModel: String = "", provider: String = "", deployment: String = "", tokens: TokenUsage = TokenUsage(), cost: Money = .zero,
        priceVersion: String = "", priceIsKnown: Bool = true, latencyMicroseconds: Int64 = 0, firstByteMicroseconds: Int64 = -1,
        overheadMicroseconds: Int64 = 0, attempts: Int64 = 0, outcome: Outcome, status: Int64 = 0, errorCode: String = "",
        fallbackReason: String = "", promptBytes: Int64 = 0, clientAddress: String = "", endUser: String = "", session: String = "",
        tags: String = ""
    ) {
        self.id = id
        self.count = count
        self.startedAt = startedAt
        self.requestID = requestID
        self.tenant = tenant
        self.team = team
        self.agent = agent
        self.user = user
        self.keyID = keyID
        self.endpoint = endpoint
        self.isStream = isStream
        self.requestedModel = requestedModel
        self.servedModel = servedModel
        self.provider = provider
        self.deployment = deployment
        self.tokens = tokens
        self.cost = cost
        self.priceVersion = priceVersion
        self.priceIsKnown = priceIsKnown
        self.latencyMicroseconds = latencyMicroseconds
        self.firstByteMicroseconds = firstByteMicroseconds
        self.overheadMicroseconds = overheadMicroseconds
        self.attempts = attempts
        self.outcome = outcome
        self.status = status
        self.errorCode = errorCode
        self.fallbackReason = fallbackReason
        self.promptBytes = promptBytes
        self.clientAddress = clientAddress
        self.endUser = endUser
        self.session = session
        self.tags = tags
    }
}
