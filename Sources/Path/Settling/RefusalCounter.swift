import Glibc
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

/// The network of an address: /24 of IPv4, /48 of IPv6. A text that is no address stays as it is.
func addressPrefix(_ address: String) -> String {
    let plain = String(address.prefix { $0 != "%" })
    var four = in_addr()
    if inet_pton(AF_INET, plain, &four) == 1 { return network(of: four) }
    var six = in6_addr()
    guard inet_pton(AF_INET6, plain, &six) == 1 else { return address }
    return withUnsafeMutableBytes(of: &six) { bytes in
        // ::ffff:a.b.c.d is an IPv4 client on a socket for both.
        if bytes[..<10].allSatisfy({ $0 == 0 }), bytes[10] == 0xff, bytes[11] == 0xff {
            return network(of: bytes.loadUnaligned(fromByteOffset: 12, as: in_addr.self))
        }
        for index in 6..<16 { bytes[index] = 0 }
        return text(AF_INET6, bytes.baseAddress) + "/48"
    }
}

private func network(of address: in_addr) -> String {
    var address = in_addr(s_addr: address.s_addr & UInt32(0xffff_ff00).bigEndian)
    return text(AF_INET, &address) + "/24"
}

private func text(_ family: Int32, _ address: UnsafeRawPointer?) -> String {
    var characters = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
    guard let address, inet_ntop(family, address, &characters, socklen_t(characters.count)) != nil else { return "" }
    return String(decoding: characters.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
}
