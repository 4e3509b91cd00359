package import Vocabulary

/// The form of a usage record in the journal: fixed little-endian numbers, then texts with a two-byte length each. ``RecordDecoder`` reads it.
///
/// Texts that a client or a provider chose are cut at a limit, so that every record fits ``sizeMax`` and room for it can be promised before
/// the call begins.
package enum RecordCodec {
    /// The first byte of a record: the version of this layout.
    static let version: UInt8 = 1
    /// No record is larger, in bytes: 160 of numbers and lengths, and every text at its limit.
    package static let sizeMax = 1536

    /// The limits of the texts, in bytes, in the order in which they are written.
    private static let textLimits = [128, 64, 64, 64, 64, 24, 128, 128, 64, 192, 24, 48, 32, 48, 64, 64, 128]

    /// Writes a record.
    ///
    /// - Parameter target: at least ``sizeMax`` bytes.
    /// - Returns: how many bytes were written.
    package static func encode(_ record: UsageRecord, into target: UnsafeMutableRawBufferPointer) -> Int {
        var writer = RecordWriter(target: target)
        writer.put(version)
        writer.put(record.endpoint.rawValue)
        writer.put(record.outcome.rawValue)
        var flags: UInt8 = 0
        if record.isStream { flags |= 1 }
        if record.tokens.isEstimate { flags |= 2 }
        if record.priceIsKnown { flags |= 4 }
        writer.put(flags)
        writer.put(record.id.loop)
        writer.put(record.id.boot)
        writer.put(record.id.sequence)
        writer.put(record.count)
        writer.put(record.startedAt.microseconds)
        writer.put(record.tokens.input)
        writer.put(record.tokens.cachedInput)
        writer.put(record.tokens.output)
        writer.put(record.tokens.reasoning)
        writer.put(record.cost.nanodollars)
        writer.put(record.latencyMicroseconds)
        writer.put(record.firstByteMicroseconds)
        writer.put(record.overheadMicroseconds)
        writer.put(record.attempts)
        writer.put(record.status)
        writer.put(record.promptBytes)
        writer.put(record.requestID, limit: textLimits[0])
        writer.put(record.tenant, limit: textLimits[1])
        writer.put(record.team, limit: textLimits[2])
        writer.put(record.agent, limit: textLimits[3])
        writer.put(record.user, limit: textLimits[4])
        writer.put(record.keyID, limit: textLimits[5])
        writer.put(record.requestedModel, limit: textLimits[6])
        writer.put(record.servedModel, limit: textLimits[7])
        writer.put(record.provider, limit: textLimits[8])
        writer.put(record.deployment, limit: textLimits[9])
        writer.put(record.priceVersion, limit: textLimits[10])
        writer.put(record.errorCode, limit: textLimits[11])
        writer.put(record.fallbackReason, limit: textLimits[12])
        writer.put(record.clientAddress, limit: textLimits[13])
        writer.put(record.endUser, limit: textLimits[14])
        writer.put(record.session, limit: textLimits[15])
        writer.put(record.tags, limit: textLimits[16])
        return writer.position
    }

    /// Reads a record; `nil` when the bytes are none, or of a later version.
    package static func decode(_ source: UnsafeRawBufferPointer) -> UsageRecord? {
        var decoder = RecordDecoder()
        var records: [UsageRecord] = []
        return decoder.decode(source, into: &records) ? records.first : nil
    }
}

/// Writes without a check at each step: the room for all numbers, and for every text at its limit, is asked for before the first.
private struct RecordWriter {
    private let start: UnsafeMutableRawPointer
    private(set) var position = 0

    /// - Parameter target: of at least ``RecordCodec/sizeMax`` bytes, so that it has an address.
    init(target: UnsafeMutableRawBufferPointer) {
        precondition(target.count >= RecordCodec.sizeMax)
        start = target.baseAddress.unsafelyUnwrapped
    }

    mutating func put<Number: FixedWidthInteger & BitwiseCopyable>(_ number: Number) {
        start.storeBytes(of: number.littleEndian, toByteOffset: position, as: Number.self)
        position += MemoryLayout<Number>.size
    }

    mutating func put(_ text: String, limit: Int) {
        if text.isEmpty {
            put(UInt16(0))
            return
        }
        var text = text
        text.withUTF8 { bytes in
            var count = min(bytes.count, limit)
            // Cut between scalars, not inside one.
            if count < bytes.count { while count > 0, bytes[count] & 0xc0 == 0x80 { count -= 1 } }
            put(UInt16(count))
            if let base = bytes.baseAddress { (start + position).copyMemory(from: base, byteCount: count) }
            position += count
        }
    }
}
