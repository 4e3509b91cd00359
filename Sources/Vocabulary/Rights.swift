/// What a key may do. A key without a right gets 403.
package struct Rights: OptionSet, Sendable, Hashable {
    package let rawValue: UInt8

    package init(rawValue: UInt8) {
        self.rawValue = rawValue
    }

    /// Call models and list the ones it may use.
    package static let inference = Rights(rawValue: 1 << 0)
    /// Read the usage of every key; without it a key reads its own rows only.
    package static let usage = Rights(rawValue: 1 << 1)
    /// Create, list and revoke keys.
    package static let keys = Rights(rawValue: 1 << 2)
    /// Read metrics and the detail of dependencies.
    package static let metrics = Rights(rawValue: 1 << 3)

    /// Everything there is.
    package static let administrator: Rights = [.inference, .usage, .keys, .metrics]

    /// Every single right with the name it has in the API, the store and the configuration.
    package static let named: [(name: String, right: Rights)] = [
        ("inference", .inference), ("usage", .usage), ("keys", .keys), ("metrics", .metrics),
    ]

    /// The names of the rights in the set, in a fixed order.
    package var names: [String] { Rights.named.filter { contains($0.right) }.map(\.name) }

    /// Reads names; `admin` stands for all of them.
    ///
    /// - Returns: `nil` when a name is unknown.
    package init?(names: [String]) {
        var rights: Rights = []
        for name in names {
            if name == "admin" {
                rights.formUnion(.administrator)
            } else if let found = Rights.named.first(where: { $0.name == name }) {
                rights.formUnion(found.right)
            } else {
                return nil
            }
        }
        self = rights
    }
}
