import NIOConcurrencyHelpers
import NIOCore

/// Rules for calls, in order: the first one that means a call decides what becomes of it.
package final class Script: Sendable {
    private struct Counts {
        /// Calls that each rule concerned, and those that it meant.
        var concerned: [Int]
        var meant: [Int]
        var since = NIODeadline.now()
    }

    /// The text that it was read from.
    let source: String
    /// Where that came from.
    let file: String
    let rules: [ScriptRule]
    private let seed: UInt64
    private let loadedAt = Clock.unixMilliseconds()
    private let counts: NIOLockedValueBox<Counts>

    /// Reads a script.
    ///
    /// - Parameter file: the name that mistakes are told with.
    /// - Throws: every mistake with its line.
    package init(_ source: String, file: String) throws(ScriptError) {
        let report = ScriptSection.Report()
        let section = ScriptSection(try ScriptNode.read(source, file: file), path: "", keys: ["seed", "rules"], report: report)
        seed = UInt64(bitPattern: Int64(section.integer("seed", in: Int.min...Int.max) ?? 0))
        var rules: [ScriptRule] = []
        if let node = section.node("rules") {
            if case .list(let items) = node.content {
                for (index, item) in items.enumerated() {
                    rules.append(
                        ScriptRule(ScriptSection(item, path: "rules[\(index)]", keys: ["name", "match", "then"], report: report), index: index))
                }
            } else {
                section.fail("rules", "must be a list of rules, not \(node.kind)")
            }
        }
        guard report.mistakes.isEmpty else { throw ScriptError(file: file, mistakes: report.mistakes.sorted { $0.line < $1.line }) }
        self.source = source
        self.file = file
        self.rules = rules
        counts = NIOLockedValueBox(Counts(concerned: Array(repeating: 0, count: rules.count), meant: Array(repeating: 0, count: rules.count)))
    }

    /// Whether any rule needs to know a call's model, or whether it streams.
    var needsBody: Bool { rules.contains { $0.match.needsBody } }

    /// Whether any rule acts while a request is being read.
    var actsOnRequests: Bool { rules.contains { !$0.requestFaults.isEmpty } }

    /// The rule for a call, which counts it.
    func rule(for call: ScriptMatch.Call) -> ScriptRule? {
        counts.withLockedValue { counts in
            let age = (NIODeadline.now() - counts.since).nanoseconds
            for (index, rule) in rules.enumerated() where rule.match.concerns(call, age: age) {
                counts.concerned[index] += 1
                guard rule.match.means(counts.concerned[index], seed: seed &+ UInt64(index) &* 7919) else { continue }
                counts.meant[index] += 1
                return rule
            }
            return nil
        }
    }

    /// The faults that the rule for a call has for its request; counts nothing, since the call is yet to come.
    func requestFaults(for call: ScriptMatch.Call) -> [Fault] {
        counts.withLockedValue { counts in
            let age = (NIODeadline.now() - counts.since).nanoseconds
            for (index, rule) in rules.enumerated() where rule.match.concerns(call, age: age) {
                if rule.match.means(counts.concerned[index] + 1, seed: seed &+ UInt64(index) &* 7919) { return rule.requestFaults }
            }
            return []
        }
    }

    /// Begins anew: the next call is the first, and time starts now.
    func reset() {
        counts.withLockedValue {
            $0 = Counts(concerned: Array(repeating: 0, count: rules.count), meant: Array(repeating: 0, count: rules.count))
        }
        for rule in rules { rule.limiter?.reset() }
    }

    /// The script with what its rules have done.
    var json: JSONValue {
        let counts = counts.withLockedValue { $0 }
        let told = rules.enumerated().map { index, rule in
            JSONValue.object([
                JSONMember("name", .string(rule.name)), JSONMember("matched", .number(String(counts.concerned[index]))),
                JSONMember("applied", .number(String(counts.meant[index]))),
            ])
        }
        return .object([
            JSONMember("file", .string(file)), JSONMember("loaded_at_ms", .number(String(loadedAt))), JSONMember("rules", .array(told)),
            JSONMember("source", .string(source)),
        ])
    }
}
