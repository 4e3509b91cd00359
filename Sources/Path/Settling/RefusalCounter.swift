internal import Vocabulary

/// Decides which refusals get a record of their own and counts the others together, so that no flood of bad requests fills the journal
/// (ARCHITECTURE §3). Confined to one loop.
struct RefusalCounter {
    /// Refusals that are alike: of the same kind, and of the same key or address.
    private struct Kind: Hashable {
        var keyID: String
        var address: String
        var endpoint: Endpoint
        var errorCode: String
    }

    private struct Window {
        var second: Int64
        var recorded = 0
    }

    /// Records of their own that a key, or an address, gets in a second.
    static let ownRecordsPerSecond = 10
    /// Kinds that are told apart at a time; more are counted without an address.
    private static let kindsMax = 10_000

    private var windows: [Kind: Window] = [:]
    private var pending: [Kind: UsageRecord] = [:]

    /// Takes a refusal.
    ///
    /// - Returns: the record to write now, or `nil` when it is counted and will come with ``flush()``.
    mutating func take(_ record: UsageRecord, isAuthenticated: Bool) -> UsageRecord? {
        var record = record
        if !isAuthenticated { record.makeAggregate() }
        var kind = Kind(
            keyID: record.keyID, address: isAuthenticated ? "" : record.clientAddress, endpoint: record.endpoint, errorCode: record.errorCode)
        let second = record.startedAt.microseconds / 1_000_000
        if windows[kind] == nil, windows.count >= RefusalCounter.kindsMax {
            kind.address = "many"
            record.clientAddress = "many"
        }
        var window = windows[kind] ?? Window(second: second)
        if window.second != second { window = Window(second: second) }
        defer { windows[kind] = window }
        if window.recorded < RefusalCounter.ownRecordsPerSecond {
            window.recorded += 1
            return record
        }
        record.makeAggregate()
        if pending[kind] == nil { pending[kind] = record } else { pending[kind]?.count += record.count }
        return nil
    }

    /// What has been counted since the last time.
    mutating func flush() -> [UsageRecord] {
        windows.removeAll(keepingCapacity: true)
        guard !pending.isEmpty else { return [] }
        defer { pending.removeAll(keepingCapacity: true) }
        return Array(pending.values)
    }
}

extension UsageRecord {
    /// Leaves only what all refusals of the kind have in common, and the minute they fell into.
    fileprivate mutating func makeAggregate() {
        startedAt = WallTime(microseconds: startedAt.microseconds / 60_000_000 * 60_000_000)
        requestID = ""
        requestedModel = ""
        endUser = ""
        session = ""
        tags = ""
        promptBytes = 0
        latencyMicroseconds = 0
        overheadMicroseconds = 0
        isStream = false
        if keyID.isEmpty { clientAddress = addressPrefix(clientAddress) }
    }
}

/// The network of an address: /24 of IPv4, /48 of IPv6.
func addressPrefix(_ address: String) -> String {
    if address.contains(":") {
        let groups = address.split(separator: ":", omittingEmptySubsequences: false).prefix(3)
        return groups.joined(separator: ":") + "::/48"
    }
    let parts = address.split(separator: ".")
    guard parts.count == 4 else { return address }
    return parts[..<3].joined(separator: ".") + ".0/24"
}
