/// A fault to be applied, with its number.
package struct Fault: Sendable, Equatable {
    /// What goes wrong.
    package var kind: FaultKind
    /// The number behind `=`, or the usual one; 0 for kinds without one.
    package var number: Int

    /// Why a text names no fault, in words for a person.
    package struct Mistake: Error, Equatable {
        /// What is wrong and, where it helps, what would be right.
        package var reason: String
    }

    /// Reads `name` or `name=number`.
    package init(_ text: some StringProtocol) throws(Mistake) {
        let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        let name = String(parts.first ?? "")
        guard let kind = FaultKind(rawValue: name) else {
            throw Mistake(reason: "there is no fault '\(name)'; `martlet simulate --list-faults` lists them all")
        }
        self.kind = kind
        guard parts.count == 2 else {
            number = kind.argument?.usual ?? 0
            return
        }
        guard let argument = kind.argument else { throw Mistake(reason: "the fault '\(name)' takes no number") }
        guard let number = Int(parts[1]), argument.bounds.contains(number) else {
            throw Mistake(
                reason: "the fault '\(name)' takes \(argument.meaning), a number from \(argument.bounds.lowerBound) to "
                    + "\(argument.bounds.upperBound), not '\(parts[1])'")
        }
        self.number = number
    }

    /// Reads one or several, with commas between them.
    package static func list(_ text: String) throws(Mistake) -> [Fault] {
        var faults: [Fault] = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            let trimmed = part.drop { $0 == " " }
            faults.append(try Fault(trimmed.prefix { $0 != " " }))
        }
        return faults
    }

    /// The text that `init` reads.
    package var text: String { kind.argument == nil ? kind.rawValue : "\(kind.rawValue)=\(number)" }
}
