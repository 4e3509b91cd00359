import Vocabulary

/// What one check of `martlet doctor` found.
package struct Finding: Sendable, Hashable {
    package enum Status: String, Sendable, Hashable, Comparable {
        case ok, warn, fail

        package static func < (left: Status, right: Status) -> Bool { left.rank < right.rank }

        private var rank: Int {
            switch self {
            case .ok: 0
            case .warn: 1
            case .fail: 2
            }
        }
    }

    /// What was looked at: `data directory`, `provider openai: TLS`.
    package var check: String
    package var status: Status
    /// What was found; never a secret.
    package var message: String
    /// What to do about it; `nil` when there is nothing to do.
    package var hint: String?

    package init(_ check: String, _ status: Status, _ message: String, hint: String? = nil) {
        self.check = check
        self.status = status
        self.message = message
        self.hint = hint
    }
}

extension [Finding] {
    /// The worst of them; `ok` for none.
    package var worst: Finding.Status { map(\.status).max() ?? .ok }

    /// The findings as one JSON object.
    package var json: String {
        func string(_ text: String?) -> String {
            guard let text else { return "null" }
            var bytes: [UInt8] = []
            appendJSONString(text, to: &bytes)
            return String(decoding: bytes, as: UTF8.self)
        }
        let checks = map { finding in
            "{\"check\":\(string(finding.check)),\"status\":\"\(finding.status.rawValue)\",\"message\":\(string(finding.message)),"
                + "\"hint\":\(string(finding.hint))}"
        }
        return "{\"status\":\"\(worst.rawValue)\",\"checks\":[\(checks.joined(separator: ","))]}\n"
    }

    /// The findings for a terminal: a line each, with what to do below it.
    package var text: String {
        let width = map(\.check.count).max() ?? 0
        let lines = map { finding in
            let name = finding.check + String(repeating: " ", count: width - finding.check.count)
            let status = finding.status.rawValue + String(repeating: " ", count: 4 - finding.status.rawValue.count)
            let line = "\(status)  \(name)  \(Table.printable(finding.message))\n"
            return finding.hint.map { line + String(repeating: " ", count: 6) + "→ \(Table.printable($0))\n" } ?? line
        }
        let counts = [Finding.Status.ok, .warn, .fail].map { status in "\(count { $0.status == status }) \(status.rawValue)" }
        return lines.joined() + counts.joined(separator: ", ") + "\n"
    }
}
