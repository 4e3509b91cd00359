import Contracts
import NIOConcurrencyHelpers
import NIOCore
import Vocabulary

/// Keys in memory. The secret of `key_n` is `secret-n`.
final class FakeKeys: KeyDirectory, CredentialChecking {
    private let state = NIOLockedValueBox<(records: [KeyRecord], failure: StoreError?)>(([], nil))

    var failure: StoreError? {
        get { state.withLockedValue { $0.failure } }
        set { state.withLockedValue { $0.failure = newValue } }
    }

    func create(_ request: KeyRequest) async throws(StoreError) -> (record: KeyRecord, secret: String) {
        if let failure { throw failure }
        return state.withLockedValue { state in
            let number = state.records.count + 1
            let record = KeyRecord(
                id: "key_\(number)", name: request.name, hash: KeyHash(UInt64(number), 0, 0, 0), prefix: "mk_abcd", lastFour: "wxyz",
                tenant: request.tenant, team: request.team, agent: request.agent, user: request.user, rights: request.rights,
                models: request.models, createdAt: Fixture.now, expiresAt: request.expiresAt)
            state.records.append(record)
            return (record, "secret-\(number)")
        }
    }

    func list() async throws(StoreError) -> [KeyRecord] {
        if let failure { throw failure }
        return state.withLockedValue { $0.records }
    }

    func revoke(id: String) async throws(StoreError) -> KeyRecord? {
        if let failure { throw failure }
        return state.withLockedValue { state in
            guard let index = state.records.firstIndex(where: { $0.id == id }) else { return nil }
            state.records[index].revokedAt = Fixture.now
            return state.records[index]
        }
    }

    func rotate(id: String, grace: Duration) async throws(StoreError) -> KeyRotation {
        if let failure { throw failure }
        return state.withLockedValue { state in
            guard let index = state.records.firstIndex(where: { $0.id == id }) else { return .unknown }
            guard state.records[index].revokedAt == nil else { return .revoked }
            let seconds = grace.components.seconds
            state.records[index].previousHash = seconds > 0 ? state.records[index].hash : nil
            state.records[index].previousExpiresAt = seconds > 0 ? WallTime(microseconds: Fixture.now.microseconds + seconds * 1_000_000) : nil
            state.records[index].rotatedAt = Fixture.now
            return .rotated(state.records[index], secret: "rotated-\(id)")
        }
    }

    func isConfigured(id: String) -> Bool { id == "key_admin" }

    func principal(for credential: String) throws(GatewayError) -> Principal {
        let rights: [String: Rights] = [
            "admin": .administrator, "plain": .inference, "reader": .usage, "maker": .keys, "watcher": .metrics, "lead": .keys, "acme": .keys,
            "any": .keys, "short": .keys,
        ]
        if let found = rights[credential] {
            let models = ["plain": "gpt-4o*", "lead": "gpt-4o*", "any": "*"][credential].map { [Glob($0)] } ?? []
            return Principal(
                keyID: "key_" + credential, keyName: "", tenant: credential == "acme" ? "acme" : "default", team: "", agent: "", user: "",
                rights: found, models: models,
                expiresAt: credential == "short" ? WallTime(microseconds: Fixture.now.microseconds + 60_000_000) : nil)
        }
        throw credential == "late" ? .expiredKey : .invalidKey
    }
}

/// Usage in memory, with a journal that `flush` empties into it.
final class FakeUsage: UsageStore, UsageShipping {
    struct State {
        var rows: [UsageRow] = []
        var journal: [UsageRecord] = []
        var failure: StoreError?
        var flushFailure: StoreError?
        var timeouts: [Duration] = []
        var largestPage = 0
        var pagesUntilFailure = Int.max
    }

    let state = NIOLockedValueBox(State())
    private let matches: @Sendable (UsageRecord, UsageFilter) -> Bool

    init(matches: @escaping @Sendable (UsageRecord, UsageFilter) -> Bool) {
        self.matches = matches
    }

    var asOf: WallTime { Fixture.now }

    func add(_ records: [UsageRecord]) {
        state.withLockedValue { state in
            for record in records { state.rows.append(UsageRow(number: Int64(state.rows.count + 1), record: record)) }
        }
    }

    func flush(timeout: Duration) async throws(StoreError) -> WallTime {
        let failure = state.withLockedValue { state in
            state.timeouts.append(timeout)
            return state.flushFailure
        }
        if let failure { throw failure }
        add(
            state.withLockedValue { state in
                defer { state.journal = [] }
                return state.journal
            })
        return asOf
    }

    func rows(_ filter: UsageFilter, before: Int64?, limit: Int) async throws(StoreError) -> [UsageRow] {
        let (rows, failure) = state.withLockedValue { state in
            state.largestPage = max(state.largestPage, limit)
            state.pagesUntilFailure -= 1
            return (state.rows, state.pagesUntilFailure < 0 ? .unavailable("gone") : state.failure)
        }
        if let failure { throw failure }
        return Array(rows.reversed().filter { matches($0.record, filter) && $0.number < before ?? .max }.prefix(limit))
    }

    func totals(_ filter: UsageFilter) async throws(StoreError) -> UsageTotals {
        var totals = UsageTotals(calls: 0, tokens: TokenUsage(), cost: .zero)
        for row in try await rows(filter, before: nil, limit: .max) {
            totals.calls += row.record.count
            totals.tokens.input += row.record.tokens.input
            totals.tokens.output += row.record.tokens.output
            totals.cost = totals.cost + row.record.cost
        }
        return totals
    }

    // The routes write nothing.
    func apply(_ records: [UsageRecord], replica: String, position: JournalPosition) async throws(StoreError) { add(records) }
    func positions(replica: String) async throws(StoreError) -> [JournalPosition] { [] }
    func forget(segments: [String], replica: String) async throws(StoreError) {}
}

/// Health and metrics as a test sets them.
final class FakeHealth: HealthReporting, MetricsReporting {
    private let state = NIOLockedValueBox<(isStarted: Bool, reason: String?, dependencies: [DependencyHealth])>((true, nil, []))
    /// How often somebody asked for the dependencies.
    let asked = NIOLockedValueBox(0)

    func set(isStarted: Bool = true, reason: String? = nil, dependencies: [DependencyHealth] = []) {
        state.withLockedValue { $0 = (isStarted, reason, dependencies) }
    }

    var isStarted: Bool { state.withLockedValue { $0.isStarted } }
    var notReadyReason: String? { state.withLockedValue { $0.reason } }
    func dependencies() async -> [DependencyHealth] {
        asked.withLockedValue { $0 += 1 }
        return state.withLockedValue { $0.dependencies }
    }
    func prometheusText() async -> String { "# TYPE llm_active_requests gauge\nllm_active_requests 3\n" }
}

/// A configuration as a test sets it.
final class FakeConfiguration: ConfigurationControlling {
    private let state = NIOLockedValueBox(
        ConfigurationState(
            generation: 1, loadedAt: Fixture.now, trigger: .start, file: "martlet.yaml", settingsJSON: #"{"data":"./data"}"#))
    /// What the next reload is refused for.
    let refusal = NIOLockedValueBox<[ConfigurationProblem]>([])
    let needs = NIOLockedValueBox<[RestartNeed]>([])

    var configuration: ConfigurationState { state.withLockedValue { $0 } }

    func reload(_ trigger: ReloadTrigger) async throws(ConfigurationRefusal) -> ConfigurationState {
        let problems = refusal.withLockedValue { $0 }
        let refusal = ConfigurationRefusal(at: Fixture.now, trigger: trigger, problems: problems)
        guard problems.isEmpty else {
            state.withLockedValue { $0.lastRefusal = refusal }
            throw refusal
        }
        return state.withLockedValue { state in
            state.generation += 1
            state.trigger = trigger
            state.lastRefusal = nil
            state.needsRestart = needs.withLockedValue { $0 }
            return state
        }
    }
}

/// Keeps an answer.
final class AnswerRecorder: ControlResponseWriter {
    struct Answer {
        var status = 0
        var headers: [(name: String, value: String)] = []
        var contentLength: Int?
        var body = ByteBuffer()
        var pieces = 0
        var heads = 0
        var ends = 0
    }

    private let kept = NIOLockedValueBox(Answer())
    var answer: Answer { kept.withLockedValue { $0 } }

    func head(status: Int, headers: [(name: String, value: String)], contentLength: Int?) async throws {
        kept.withLockedValue { answer in
            answer.status = status
            answer.headers = headers
            answer.contentLength = contentLength
            answer.heads += 1
        }
    }

    func write(_ bytes: ByteBuffer) async throws {
        kept.withLockedValue { answer in
            answer.body.writeImmutableBuffer(bytes)
            answer.pieces += 1
        }
    }

    func end() async throws { kept.withLockedValue { $0.ends += 1 } }
}
