import Foundation
import Vocabulary

/// The query of a request, decoded; every name is there once.
struct QueryParameters {
    private let values: [String: String]

    /// - Parameters:
    ///   - query: what stands behind the `?`.
    ///   - known: the names that the route reads; any other is an error.
    init(_ query: String, known: [String]) throws {
        var values: [String: String] = [:]
        for pair in query.split(separator: "&") {
            let halves = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard let name = String(halves[0]).removingPercentEncoding,
                let value = halves.count == 2 ? String(halves[1]).removingPercentEncoding : ""
            else { throw APIError(status: 400, code: "malformed_request", message: "The query is not percent-encoded UTF-8.") }
            guard known.contains(name) else { throw APIError.unknown(name, known: known) }
            guard values.updateValue(value, forKey: name) == nil else { throw GatewayError.duplicateField(name) }
        }
        self.values = values
    }

    /// The value of a parameter that has several names.
    ///
    /// - Returns: the name that was used, and its value.
    func first(_ names: String...) throws -> (name: String, value: String)? {
        let given = names.filter { values[$0] != nil }
        guard given.count < 2 else { throw GatewayError.duplicateField(given[1]) }
        guard let name = given.first, let value = values[name] else { return nil }
        return (name, value)
    }
}
