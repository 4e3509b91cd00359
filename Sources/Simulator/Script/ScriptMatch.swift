import NIOConcurrencyHelpers
import NIOCore
import NIOHTTP1

/// Which calls a rule is for. What is not said matches everything.
struct ScriptMatch: Sendable {
    static let keys = ["path", "model", "key", "headers", "stream", "calls", "every", "after", "until", "probability"]

    /// What is known of a call when its rule is looked for.
    struct Call {
        var path: String
        var key: String
        var headers: HTTPHeaders
        /// `nil` while the body is not read.
        var body: (model: String, streams: Bool)?
    }

    var path: String?
    var model: String?
    var key: String?
    var headers: [(name: String, value: String)] = []
    var stream: Bool?
    /// Which of the calls that match all else, from 1.
    var calls: [ClosedRange<Int>] = []
    var every: Int?
    /// Nanoseconds since the script was loaded or the simulator was reset.
    var after: Int64?
    var until: Int64?
    var probability: Double?

    /// Whether the body has to be read for it.
    var needsBody: Bool { model != nil || stream != nil }

    init(_ section: ScriptSection) {
        path = section.text("path")
        model = section.text("model")
        key = section.text("key")
        headers = (section.pairs("headers") ?? []).map { ($0.name.lowercased(), $0.value) }
        stream = section.boolean("stream")
        every = section.integer("every", in: 1...Int(Int32.max))
        after = section.duration("after")
        until = section.duration("until")
        probability = section.share("probability")
        for text in section.texts("calls") ?? [] {
            let ends = text.split(separator: "-", omittingEmptySubsequences: false)
            let first = ends.first.flatMap { Int($0) }
            let last = ends.count == 1 ? first : ends[1].isEmpty ? Int.max : Int(ends[1])
            guard ends.count <= 2, let first, let last, first >= 1, last >= first else {
                section.fail("calls", "must be numbers of calls like 3, 2-5 or 10-, not '\(text)'")
                continue
            }
            calls.append(first...last)
        }
        if let after, let until, until <= after { section.fail("until", "must be later than after") }
    }

    /// Whether all but the counts match.
    func concerns(_ call: Call, age: Int64) -> Bool {
        if let path, !glob(path, call.path) { return false }
        if let key, !glob(key, call.key) { return false }
        if needsBody {
            guard let body = call.body else { return false }
            if let model, !glob(model, body.model) { return false }
            if let stream, stream != body.streams { return false }
        }
        for (name, value) in headers where !call.headers[name].contains(where: { glob(value, $0) }) { return false }
        if let after, age < after { return false }
        if let until, age >= until { return false }
        return true
    }

    /// Whether the n-th of the calls that it concerns is meant.
    func means(_ number: Int, seed: UInt64) -> Bool {
        if !calls.isEmpty, !calls.contains(where: { $0.contains(number) }) { return false }
        if let every, number % every != 0 { return false }
        if let probability {
            var random = SeededRandom(seed: seed &+ UInt64(number) &* 0xD129_0D3B_3F2A_9E67)
            return random.unit() < probability
        }
        return true
    }
}
