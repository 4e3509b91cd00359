import Foundation
import Settling
import Vocabulary

/// A folder that goes away with its owner.
final class TemporaryFolder: Sendable {
    let path: String

    init() throws {
        path = NSTemporaryDirectory() + "martlet-settling-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// The files of the folder whose names end like this, in order.
    func files(_ suffix: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: path).filter { $0.hasSuffix(suffix) }.sorted()
    }

    func bytes(_ name: String) throws -> [UInt8] { Array(try Data(contentsOf: URL(fileURLWithPath: path + "/" + name))) }
    func write(_ bytes: [UInt8], to name: String) throws { try Data(bytes).write(to: URL(fileURLWithPath: path + "/" + name)) }

    /// A journal in this folder whose keeper runs only when it is woken.
    func journal(loops: Int = 1, segmentSize: Int64 = 16_384, sizeMax: Int64 = 1 << 30, freeMin: Int64 = 0) throws -> Journal {
        try Journal(
            options: Journal.Options(
                directory: path, segmentSizeBytes: segmentSize, sizeMaxBytes: sizeMax, freeMinBytes: freeMin, syncIntervalMilliseconds: 3_600_000,
                surplusTime: .zero),
            loops: loops, logger: silent)
    }
}

extension Journal {
    /// Everything that is in the journal now, as a store gets it.
    func shipped() async -> [UsageRecord] {
        let store = MemoryStore()
        await JournalShipper(journal: self, store: store, logger: silent).drain()
        return store.records
    }
}

/// Where the records of a segment begin, and where the last one ends.
func frames(of segment: [UInt8]) -> [Int] {
    var ends = [64]
    while let at = ends.last, at + 8 <= segment.count {
        let length = segment[at..<at + 4].reversed().reduce(0) { $0 << 8 | Int($1) }
        if length == 0 { break }
        ends.append(at + 8 + length)
    }
    return ends
}
