/// One promise of a contract, to be kept by every implementation of it.
package struct ContractCheck<Subject>: Sendable, CustomStringConvertible {
    /// The promise, as a sentence.
    package let description: String
    /// Tries it on a fresh, empty subject; throws ``ContractViolation`` when it is broken.
    package let run: @Sendable (_ subject: Subject) async throws -> Void

    package init(_ description: String, run: @escaping @Sendable (Subject) async throws -> Void) {
        self.description = description
        self.run = run
    }
}

/// A promise that was not kept.
package struct ContractViolation: Error, CustomStringConvertible {
    package let description: String
}

/// Throws ``ContractViolation`` unless both are equal.
func expectEqual<Value: Equatable>(_ found: Value, _ expected: Value, _ what: String, line: Int = #line) throws {
    guard found == expected else { throw ContractViolation(description: "\(what) (line \(line)): expected \(expected), found \(found)") }
}
