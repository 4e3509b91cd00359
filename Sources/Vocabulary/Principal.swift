/// The SHA-256 digest of an API key; the key itself is stored nowhere.
package struct KeyHash: Sendable, Hashable {
    package let words: (UInt64, UInt64, UInt64, UInt64)

    /// - Parameter bytes: exactly 32 bytes; `nil` otherwise.
    package init?(bytes: some Collection<UInt8>) {
        guard bytes.count == 32 else { return nil }
        var words: [UInt64] = [0, 0, 0, 0]
        for (index, byte) in bytes.enumerated() {
            words[index / 8] = words[index / 8] << 8 | UInt64(byte)
        }
        self.words = (words[0], words[1], words[2], words[3])
    }

    package init(_ first: UInt64, _ second: UInt64, _ third: UInt64, _ fourth: UInt64) {
        words = (first, second, third, fourth)
    }

    /// The 32 bytes of the digest.
    package var bytes: [UInt8] {
        [words.0, words.1, words.2, words.3].flatMap { word in
            (0..<8).map { UInt8(truncatingIfNeeded: word >> (56 - 8 * UInt64($0))) }
        }
    }

    /// Compares in constant time, so that a guess learns nothing from how long a refusal took.
    package static func == (left: KeyHash, right: KeyHash) -> Bool {
        (left.words.0 ^ right.words.0) | (left.words.1 ^ right.words.1) | (left.words.2 ^ right.words.2) | (left.words.3 ^ right.words.3) == 0
    }

    package func hash(into hasher: inout Hasher) {
        // The digest is already uniform; one word of it is hash enough.
        hasher.combine(words.0)
    }
}

/// Who is calling: everything that later steps may ask about the owner of a credential.
///
/// A reference, so that a call keeps the one it started with at the price of one retain.
package final class Principal: Sendable {
    package let keyID: String
    package let keyName: String
    package let tenant: String
    package let team: String
    package let agent: String
    package let user: String
    package let rights: Rights
    /// The models that the key may use; empty means all of them.
    package let models: [Glob]
    package let expiresAt: WallTime?

    package init(
        keyID: String, keyName: String, tenant: String, team: String, agent: String, user: String, rights: Rights, models: [Glob],
        expiresAt: WallTime?
    ) {
        self.keyID = keyID
        self.keyName = keyName
        self.tenant = tenant
        self.team = team
        self.agent = agent
        self.user = user
        self.rights = rights
        self.models = models
        self.expiresAt = expiresAt
    }

    /// Whether the key's list of models lets it use this one.
    package func mayUse(model: String) -> Bool {
        models.isEmpty || models.contains { $0.matches(model) }
    }

    /// Whether the key is past its expiry.
    package func isExpired(at time: WallTime) -> Bool {
        guard let expiresAt else { return false }
        return time >= expiresAt
    }
}
