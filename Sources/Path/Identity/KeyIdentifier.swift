internal import Contracts
internal import Crypto
package import Vocabulary

/// Knows callers by their API keys, from the snapshot alone: no store is asked on the path of a call.
package final class KeyIdentifier: Identifying {
    package init() {}

    package func identify(_ credential: String, in snapshot: Snapshot, at now: WallTime) -> Result<Principal, GatewayError> {
        var credential = credential
        let known = credential.withUTF8 { bytes -> Principal? in
            // Every credential is hashed and looked up, well-formed or not: the administrator's own need not have the form of a key.
            snapshot.keys[KeyIdentifier.hash(of: bytes)]
        }
        guard let known else { return .failure(.invalidKey) }
        if known.isExpired(at: now) { return .failure(.expiredKey) }
        return .success(known)
    }

    /// The digest under which a credential is known.
    package static func hash(of credential: UnsafeBufferPointer<UInt8>) -> KeyHash {
        let digest = SHA256.hash(data: UnsafeRawBufferPointer(credential))
        return digest.withUnsafeBytes { bytes in
            KeyHash(word(bytes, 0), word(bytes, 8), word(bytes, 16), word(bytes, 24))
        }
    }

    /// The digest under which a credential is known.
    package static func hash(of credential: String) -> KeyHash {
        var credential = credential
        return credential.withUTF8 { hash(of: $0) }
    }

    private static func word(_ bytes: UnsafeRawBufferPointer, _ offset: Int) -> UInt64 {
        UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }
}
