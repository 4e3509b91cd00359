import Glibc
internal import Vocabulary

/// Reads what ``RecordCodec`` has written, record after record.
///
/// Most of the texts say of which kind a call was, and are together: a record like an earlier one shares that one's texts instead of
/// having copies made.
struct RecordDecoder {
    private final class Template: Sendable {
        /// The texts as they are in the journal.
        let bytes: [UInt8]
        let record: UsageRecord

        init(bytes: [UInt8], record: UsageRecord) {
            self.bytes = bytes
            self.record = record
        }

        func has(_ texts: UnsafeRawBufferPointer) -> Bool {
            guard bytes.count == texts.count else { return false }
            return bytes.withUnsafeBytes { own in
                guard let base = own.baseAddress, let other = texts.baseAddress else { return true }
                return memcmp(base, other, own.count) == 0
            }
        }
    }

    /// Places by the hash of the texts; a later kind takes the place of an earlier one.
    private var templates = [Template?](repeating: nil, count: 256)

    /// That of the record before: calls come in runs of one kind.
    private var last: Template?

    /// Where the numbers begin, and where the texts do.
    private static let numbersStart = 22
    private static let textsStart = numbersStart + 13 * 8
    /// The texts from the tenant to the reason of a fallback.
    private static let sharedCount = 12

    /// Reads a record to the end of an array, where its parts are put into place without copies of the whole.
    ///
    /// - Returns: false for a record of a later version, or one that is not one; nothing is added then.
    mutating func decode(_ source: UnsafeRawBufferPointer, into records: inout [UsageRecord]) -> Bool {
        guard source.count >= RecordDecoder.textsStart, source[0] == RecordCodec.version, let endpoint = Endpoint(rawValue: source[1]),
            let outcome = Outcome(rawValue: source[2])
        else { return false }
        var texts = TextCursor(source: source, position: RecordDecoder.textsStart)
        guard let requestID = texts.take(), let shared = texts.skip(RecordDecoder.sharedCount), let template = template(shared),
            let clientAddress = texts.take(), let endUser = texts.take(), let session = texts.take(), let tags = texts.take(), texts.isAtEnd
        else { return false }
        func number(_ index: Int) -> Int64 {
            Int64(littleEndian: source.loadUnaligned(fromByteOffset: RecordDecoder.numbersStart + 8 * index, as: Int64.self))
        }
        let flags = source[3]
        records.append(template.record)
        let last = records.count - 1
        records.withUnsafeMutableBufferPointer { records in
            records[last].id = RecordID(
                boot: UInt64(littleEndian: source.loadUnaligned(fromByteOffset: 6, as: UInt64.self)),
                loop: UInt16(littleEndian: source.loadUnaligned(fromByteOffset: 4, as: UInt16.self)),
                sequence: UInt64(littleEndian: source.loadUnaligned(fromByteOffset: 14, as: UInt64.self)))
            records[last].count = number(0)
            records[last].startedAt = WallTime(microseconds: number(1))
            records[last].requestID = requestID
            records[last].endpoint = endpoint
            records[last].isStream = flags & 1 != 0
            records[last].tokens = TokenUsage(
                input: number(2), cachedInput: number(3), output: number(4), reasoning: number(5), isEstimate: flags & 2 != 0)
            records[last].cost = Money(nanodollars: number(6))
            records[last].priceIsKnown = flags & 4 != 0
            records[last].latencyMicroseconds = number(7)
            records[last].firstByteMicroseconds = number(8)
            records[last].overheadMicroseconds = number(9)
            records[last].attempts = number(10)
            records[last].outcome = outcome
            records[last].status = number(11)
            records[last].promptBytes = number(12)
            records[last].clientAddress = clientAddress
            records[last].endUser = endUser
            records[last].session = session
            records[last].tags = tags
        }
        return true
    }

    /// A record with these texts and nothing else.
    private mutating func template(_ shared: UnsafeRawBufferPointer) -> Template? {
        if let last, last.has(shared) { return last }
        let place = Int(truncatingIfNeeded: hash(shared) >> 56)
        if let template = templates[place], template.has(shared) {
            last = template
            return template
        }
        var texts = TextCursor(source: shared, position: 0)
        guard let tenant = texts.take(), let team = texts.take(), let agent = texts.take(), let user = texts.take(), let keyID = texts.take(),
            let requestedModel = texts.take(), let servedModel = texts.take(), let provider = texts.take(), let deployment = texts.take(),
            let priceVersion = texts.take(), let errorCode = texts.take(), let fallbackReason = texts.take()
        else { return nil }
        let record = UsageRecord(
            id: RecordID(boot: 0, loop: 0, sequence: 0), startedAt: WallTime(microseconds: 0), tenant: tenant, team: team, agent: agent,
            user: user, keyID: keyID, endpoint: .chatCompletions, requestedModel: requestedModel, servedModel: servedModel,
            provider: provider, deployment: deployment, priceVersion: priceVersion, outcome: .success, errorCode: errorCode,
            fallbackReason: fallbackReason)
        let template = Template(bytes: Array(shared), record: record)
        templates[place] = template
        last = template
        return template
    }

    /// A quick hash, eight bytes at a time; equality is checked by whoever uses it.
    private func hash(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
        var hash = UInt64(bytes.count)
        var position = 0
        while position + 8 <= bytes.count {
            hash = (hash ^ bytes.loadUnaligned(fromByteOffset: position, as: UInt64.self)) &* 0x9e37_79b9_7f4a_7c15
            hash ^= hash >> 29
            position += 8
        }
        while position < bytes.count {
            hash = (hash ^ UInt64(bytes[position])) &* 0x9e37_79b9_7f4a_7c15
            position += 1
        }
        return hash
    }
}

/// Reads texts that stand one after the other, each behind its length.
private struct TextCursor {
    let source: UnsafeRawBufferPointer
    var position: Int

    var isAtEnd: Bool { position == source.count }

    /// The next text; `nil` when it is not all there.
    mutating func take() -> String? {
        guard let text = next() else { return nil }
        return text.isEmpty ? "" : String(decoding: text, as: UTF8.self)
    }

    /// So many texts as they stand; `nil` when they are not all there.
    mutating func skip(_ count: Int) -> UnsafeRawBufferPointer? {
        let start = position
        for _ in 0..<count where next() == nil { return nil }
        return UnsafeRawBufferPointer(rebasing: source[start..<position])
    }

    private mutating func next() -> UnsafeRawBufferPointer? {
        guard position + 2 <= source.count else { return nil }
        let start = position + 2
        let end = start + Int(UInt16(littleEndian: source.loadUnaligned(fromByteOffset: position, as: UInt16.self)))
        guard end <= source.count else { return nil }
        position = end
        return UnsafeRawBufferPointer(rebasing: source[start..<end])
    }
}
