/// A number that a sample can have: integers keep every digit.
package protocol MetricNumber: Sendable {
    /// As it stands in the exposition.
    var expositionText: String { get }
}

extension Int64: MetricNumber {
    package var expositionText: String { description }
}

extension UInt64: MetricNumber {
    package var expositionText: String { description }
}

extension Int: MetricNumber {
    package var expositionText: String { description }
}

extension Double: MetricNumber {
    package var expositionText: String {
        if isNaN { return "NaN" }
        if isInfinite { return self < 0 ? "-Inf" : "+Inf" }
        return description
    }
}

/// Writes metrics in Prometheus' text format 0.0.4, one family after the other.
///
/// A scraper rejects a whole page for one family or sample that is there twice, so such ones are left out, with a comment that says so; and the
/// page never grows beyond a limit, however many label values there are.
package struct PrometheusText {
    /// The value of `content-type` for this format.
    package static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    /// Label names and values, in the order in which they are written.
    package typealias Labels = [(String, String)]

    private let limitBytes: Int
    private var bytes: [UInt8] = []
    /// Every sample name that a family may write, so that `x` as a histogram and `x_count` as a counter cannot meet.
    private var taken: Set<String> = []

    /// - Parameter limitBytes: samples beyond this size are left out.
    package init(limitBytes: Int = 16 << 20) {
        self.limitBytes = limitBytes
    }

    /// The whole page.
    package var text: String { String(decoding: bytes, as: UTF8.self) }

    /// Adds a counter; by convention its name ends in `_total`.
    package mutating func counter(name: String, help: String, samples: [(labels: Labels, value: some MetricNumber)]) {
        family(name, "counter", help, samples)
    }

    /// Adds a gauge.
    package mutating func gauge(name: String, help: String, samples: [(labels: Labels, value: some MetricNumber)]) {
        family(name, "gauge", help, samples)
    }

    /// Adds a histogram.
    ///
    /// - Parameters:
    ///   - bounds: the upper bounds of the buckets, rising, without the last one that takes everything.
    ///   - series: `bucketCounts` has one count for each bound and one for what lies above all of them, none of them cumulative.
    package mutating func histogram(
        name: String, help: String, bounds: [Double], series: [(labels: Labels, bucketCounts: [UInt64], sum: Double)]
    ) {
        let name = PrometheusText.sanitized(name, allowsColon: true)
        guard zip(bounds, bounds.dropFirst()).allSatisfy({ $0 < $1 }), bounds.allSatisfy(\.isFinite) else {
            comment("the family \(name) has bounds that do not rise and is left out")
            return
        }
        guard begin(name, "histogram", help, suffixes: ["", "_bucket", "_sum", "_count"]) else { return }
        let edges = bounds.map(\.expositionText) + ["+Inf"]
        var seen: Set<String> = []
        for (labels, bucketCounts, sum) in series {
            guard bucketCounts.count == edges.count else {
                comment("a series of \(name) has \(bucketCounts.count) buckets instead of \(edges.count) and is left out")
                continue
            }
            guard hasRoom(name) else { return }
            guard let own = admit(labels, of: name, seen: &seen) else { continue }
            let separator = own.isEmpty ? "" : ","
            var total: UInt64 = 0
            for (edge, count) in zip(edges, bucketCounts) {
                let (sum, isTooLarge) = total.addingReportingOverflow(count)
                total = isTooLarge ? .max : sum
                line("\(name)_bucket{\(own)\(separator)le=\"\(edge)\"} \(total)")
            }
            let braces = own.isEmpty ? "" : "{\(own)}"
            line("\(name)_sum\(braces) \(sum.expositionText)")
            line("\(name)_count\(braces) \(total)")
        }
    }

    private mutating func family(_ name: String, _ type: String, _ help: String, _ samples: [(labels: Labels, value: some MetricNumber)]) {
        let name = PrometheusText.sanitized(name, allowsColon: true)
        guard begin(name, type, help, suffixes: [""]) else { return }
        var seen: Set<String> = []
        for (labels, value) in samples {
            guard hasRoom(name) else { return }
            guard let own = admit(labels, of: name, seen: &seen) else { continue }
            line(own.isEmpty ? "\(name) \(value.expositionText)" : "\(name){\(own)} \(value.expositionText)")
        }
    }

    private mutating func begin(_ name: String, _ type: String, _ help: String, suffixes: [String]) -> Bool {
        let names = suffixes.map { name + $0 }
        guard taken.isDisjoint(with: names) else {
            comment("the family \(name) was there already and is left out")
            return false
        }
        guard hasRoom(name) else { return false }
        taken.formUnion(names)
        line("# HELP \(name) \(PrometheusText.escaped(help, quotes: false))")
        line("# TYPE \(name) \(type)")
        return true
    }

    private mutating func hasRoom(_ name: String) -> Bool {
        guard bytes.count >= limitBytes else { return true }
        // Said once; every family after it would only say it again.
        if taken.insert("").inserted { comment("the page has reached its limit of \(limitBytes) bytes at \(name); the rest is left out") }
        return false
    }

    /// The labels as they are written; `nil` when a sample with the same ones is there.
    private mutating func admit(_ labels: Labels, of name: String, seen: inout Set<String>) -> String? {
        let text = labels.map { "\(PrometheusText.sanitized($0.0, allowsColon: false))=\"\(PrometheusText.escaped($0.1, quotes: true))\"" }
            .joined(separator: ",")
        guard seen.insert(text).inserted else {
            comment("a sample of \(name) was there already and is left out")
            return nil
        }
        return text
    }

    private mutating func line(_ text: String) {
        bytes.append(contentsOf: text.utf8)
        bytes.append(UInt8(ascii: "\n"))
    }

    private mutating func comment(_ text: String) {
        line("# \(text)")
    }

    /// A name of letters, digits and `_` that begins with no digit; other characters become `_`.
    private static func sanitized(_ name: String, allowsColon: Bool) -> String {
        var bytes = name.utf8.map { byte -> UInt8 in
            let isAllowed =
                (0x30...0x39).contains(byte) || (0x61...0x7a).contains(byte | 0x20) || byte == UInt8(ascii: "_")
                || (allowsColon && byte == UInt8(ascii: ":"))
            return isAllowed ? byte : UInt8(ascii: "_")
        }
        if bytes.first.map({ (0x30...0x39).contains($0) }) ?? true { bytes.insert(UInt8(ascii: "_"), at: 0) }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func escaped(_ text: String, quotes: Bool) -> String {
        guard text.utf8.contains(where: { $0 == 0x5c || $0 == 0x0a || $0 == 0x22 }) else { return text }
        var output: [UInt8] = []
        for byte in text.utf8 {
            switch byte {
            case 0x5c: output += Array(#"\\"#.utf8)
            case 0x0a: output += Array(#"\n"#.utf8)
            case 0x22 where quotes: output += Array(#"\""#.utf8)
            default: output.append(byte)
            }
        }
        return String(decoding: output, as: UTF8.self)
    }
}
