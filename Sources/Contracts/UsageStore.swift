package import Vocabulary

/// A position in the journal of one replica: all bytes of `segment` before `offset`.
package struct JournalPosition: Sendable, Hashable {
    /// The file name of the segment, unique for ever within its replica.
    package var segment: String
    /// In bytes from the start of the segment.
    package var offset: Int64

    package init(segment: String, offset: Int64) {
        self.segment = segment
        self.offset = offset
    }
}

/// Which usage rows a reader wants; every set field must match.
package struct UsageFilter: Sendable, Hashable {
    package var requestID: String?
    package var tenant: String?
    package var team: String?
    package var agent: String?
    package var user: String?
    package var keyID: String?
    /// Matches the requested or the served model.
    package var model: String?
    package var provider: String?
    package var endpoint: Endpoint?
    package var outcome: Outcome?
    package var status: Int64?
    package var isStream: Bool?
    /// Inclusive.
    package var from: WallTime?
    /// Exclusive.
    package var until: WallTime?

    package init() {}
}

/// A usage row as it stands in the store.
package struct UsageRow: Sendable, Equatable {
    /// The row number: grows by insertion, and is what cursors count in.
    package var number: Int64
    package var record: UsageRecord

    package init(number: Int64, record: UsageRecord) {
        self.number = number
        self.record = record
    }
}

/// Sums over some usage rows.
package struct UsageTotals: Sendable, Hashable {
    package var calls: Int64
    package var tokens: TokenUsage
    package var cost: Money

    package init(calls: Int64, tokens: TokenUsage, cost: Money) {
        self.calls = calls
        self.tokens = tokens
        self.cost = cost
    }
}

/// Where usage is kept for reading. The journal is the truth until a record is here.
package protocol UsageStore: Sendable {
    /// Takes records and the journal position that they reach to, in one transaction.
    ///
    /// Exactly once: a call whose position is not beyond the one that is stored for its segment changes nothing. Records with `count` ≠ 1 or
    /// with `outcome == .refused` and an empty `requestID` are aggregates: their count is added to the row of the same minute, key, address,
    /// endpoint and error code, as long as all else that they say of the call's kind (status, tenant, model and so on) is the same too.
    ///
    /// - Parameter position: what is applied now; stored for `replica` in the same transaction.
    func apply(_ records: [UsageRecord], replica: String, position: JournalPosition) async throws(StoreError)
    /// How far each segment of a replica has been applied.
    func positions(replica: String) async throws(StoreError) -> [JournalPosition]
    /// Forgets the positions of segments that no longer exist.
    func forget(segments: [String], replica: String) async throws(StoreError)
    /// Rows that match, newest first.
    ///
    /// - Parameters:
    ///   - before: only rows with a smaller number; the cursor of the page before.
    ///   - limit: at most this many.
    func rows(_ filter: UsageFilter, before: Int64?, limit: Int) async throws(StoreError) -> [UsageRow]
    /// Sums over all rows that match.
    func totals(_ filter: UsageFilter) async throws(StoreError) -> UsageTotals
}

/// The link between the journal and the store, as readers of usage see it.
package protocol UsageShipping: Sendable {
    /// Every call that ended before this moment is in the store; refusals that are counted together may follow a second later.
    var asOf: WallTime { get }
    /// Waits until every record that was journaled before the call is in the store.
    ///
    /// - Parameter timeout: after which it throws `unavailable`.
    /// - Returns: the new ``asOf``.
    func flush(timeout: Duration) async throws(StoreError) -> WallTime
}
