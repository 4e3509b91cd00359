import Glibc
internal import Vocabulary

/// Reads what ``RecordCodec`` has written, record after record.
///
/// Most of the texts say of which kind a call was, and are together: a record like an earlier one shares that one's texts instead of
/// having copies made.
struct RecordDecoder {
    private struct Template {
        /// The texts as they are in the journal.
        let bytes: [UInt8]
        let record: UsageRecord
    }

    /// Places by the hash of the texts; a later kind takes the place of an earlier one.
    private var templates = [Template?](repeating: nil, count: 256)

    /// Where the numbers begin, and where the texts do.
    private static let numbersStart = 22
    private static let textsStart = numbersStart + 13 * 8
    /// The texts from the tenant to the reason of a fallback.
    private static let sharedCount = 12

    /// Reads a record.
    ///
    /// - Returns: `nil` for a record of a later version, or one that is not one.
    mutating func decode(_ source: UnsafeRawBufferPointer) -> UsageRecord? {
        guard source.count >= RecordDecoder.textsStart, source[0] == RecordCodec.version, let endpoint = Endpoint(rawValue: source[1]),
            let outcome = Outcome(rawValue: source[2])
        else { return nil }
        var texts = TextCursor(source: source, position: RecordDecoder.textsStart)
        guard let requestID = texts.take(), let shared = texts.skip(RecordDecoder.sharedCount), var record = template(shared),
            let clientAddress = texts.take(), let endUser = texts.take(), let session = texts.take(), let tags = texts.take(), texts.isAtEnd
        else { return nil }
        func number(_ index: Int) -> Int64 {
            Int64(littleEndian: source.loadUnaligned(fromByteOffset: RecordDecoder.numbersStart + 8 * index, as: Int64.self))
        }
        let flags = source[3]
        record.id = RecordID(
            boot: UInt64(littleEndian: source.loadUnaligned(fromByteOffset: 6, as: UInt64.self)),
            loop: UInt16(littleEndian: source.loadUnaligned(fromByteOffset: 4, as: UInt16.self)),
            sequence: UInt64(littleEndian: source.loadUnaligned(fromByteOffset: 14, as: UInt64.self)))
        record.count = number(0)
        record.startedAt = WallTime(microseconds: number(1))
        record.requestID = requestID
        record.endpoint = endpoint
        record.isStream = flags & 1 != 0
        record.tokens = TokenUsage(
            input: number(2), cachedInput: number(3), output: number(4), reasoning: number(5), isEstimate: flags & 2 != 0)
        record.cost = Money(nanodollars: number(6))
        record.priceIsKnown = flags & 4 != 0
        record.latencyMicroseconds = number(7)
        record.firstByteMicroseconds = number(8)
        record.overheadMicroseconds = number(9)
        record.attempts = number(10)
        record.outcome = outcome
        record.status = number(11)
        record.promptBytes = number(12)
        record.clientAddress = clientAddress
        record.endUser = endUser
        record.session = session
        record.tags = tags
        return record
    }

    /// A record with these texts and nothing else.
    private mutating func template(_ shared: UnsafeRawBufferPointer) -> UsageRecord? {
        let place = Int(truncatingIfNeeded: hash(shared) >> 56)
        if let template = templates[place], template.bytes.count == shared.count,
            template.bytes.withUnsafeBytes({ $0.elementsAreSame(as: shared) })
        {
            return template.record
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
        templates[place] = Template(bytes: Array(shared), record: record)
        return record
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

extension UnsafeRawBufferPointer {
    /// Whether both hold the same bytes; they are of one length.
    fileprivate func elementsAreSame(as other: UnsafeRawBufferPointer) -> Bool {
        guard let own = baseAddress, let others = other.baseAddress else { return isEmpty }
        return memcmp(own, others, count) == 0
    }
}
