internal import Files
import Glibc
internal import NIOCore
internal import NIOSSL
import Synchronization
import Vocabulary

/// The certificate that we show to clients. Connections take it when they begin, so a new one needs no restart and touches none that is open.
package final class ServerTLS: Sendable {
    /// The oldest version of TLS that is spoken.
    package enum Version: String, Sendable, CaseIterable {
        case tls12 = "1.2"
        case tls13 = "1.3"
    }

    /// What came of the reloads so far.
    package struct Reloads: Sendable {
        package var succeeded: Int64 = 0
        package var failed: Int64 = 0
        /// Why the last one failed; `nil` once one has succeeded again.
        package var lastFailure: String?
    }

    /// A certificate with its key, and when it holds, in Unix seconds.
    private struct Pair {
        var context: NIOSSLContext
        var beginsAt: Int64
        var expiresAt: Int64

        /// Why clients will not take it now; `nil` when it holds.
        var trouble: String? {
            let now = Int64(time(nil))
            return now > expiresAt ? "has expired" : now < beginsAt ? "is not valid yet; look at the clock of this machine" : nil
        }
    }

    private struct State {
        var pair: Pair
        var reloads = Reloads()
        /// Of the files when they were last read, with success or without.
        var fingerprint: [FileFingerprint]
    }

    private let certificateFile: String
    private let keyFile: String
    private let version: Version
    private let state: Mutex<State>

    /// - Parameters:
    ///   - certificateFile: PEM, our own certificate first, then those between it and the root.
    ///   - keyFile: PEM, not encrypted.
    /// - Throws: ``ServerTLSError`` in words for an operator.
    package init(certificateFile: String, keyFile: String, minimumVersion: Version = .tls12) throws(ServerTLSError) {
        self.certificateFile = certificateFile
        self.keyFile = keyFile
        version = minimumVersion
        let fingerprint = [FileFingerprint(certificateFile), FileFingerprint(keyFile)]
        state = Mutex(State(pair: try ServerTLS.read(certificateFile, keyFile, minimumVersion), fingerprint: fingerprint))
    }

    /// For a connection that begins now.
    var context: NIOSSLContext { state.withLock { $0.pair.context } }

    /// When the certificate in force ends, in Unix seconds.
    package var expiresAt: Int64 { state.withLock { $0.pair.expiresAt } }

    /// Why clients will not take the certificate in force: `has expired`. `nil` while it holds.
    package var trouble: String? { state.withLock { $0.pair.trouble } }

    package var reloads: Reloads { state.withLock { $0.reloads } }

    /// Reads both files again; the new pair holds for connections from now on. Blocks on the disk: not for an event loop.
    ///
    /// - Throws: when they are no usable pair, or one out of its time while the old one is not; the old one then stays in force.
    package func reload() throws(ServerTLSError) {
        // Before the reading: a change in between is then seen by the next look.
        let fingerprint = [FileFingerprint(certificateFile), FileFingerprint(keyFile)]
        do throws(ServerTLSError) {
            let pair = try ServerTLS.read(certificateFile, keyFile, version)
            if let trouble = pair.trouble, self.trouble == nil { throw ServerTLSError("the certificate in \(certificateFile) \(trouble)") }
            state.withLock { state in
                state.pair = pair
                state.fingerprint = fingerprint
                state.reloads.succeeded += 1
                state.reloads.lastFailure = nil
            }
        } catch {
            state.withLock { state in
                state.fingerprint = fingerprint
                state.reloads.failed += 1
                state.reloads.lastFailure = error.description
            }
            throw error
        }
    }

    /// Reloads when one of the files is another one than at the last look: written anew, replaced, or reached by a link that was moved, as
    /// secrets that are mounted into containers are. Blocks on the disk: not for an event loop.
    ///
    /// - Returns: whether a new pair is in force.
    /// - Throws: as ``reload()``, once for every change, so that a log that tells of it is not flooded.
    package func reloadIfChanged() throws(ServerTLSError) -> Bool {
        let known = state.withLock { $0.fingerprint }
        guard known != [FileFingerprint(certificateFile), FileFingerprint(keyFile)] else { return false }
        try reload()
        return true
    }

    private static func read(_ certificateFile: String, _ keyFile: String, _ version: Version) throws(ServerTLSError) -> Pair {
        let chain: [NIOSSLCertificate]
        do {
            chain = try NIOSSLCertificate.fromPEMBytes(try bytes(of: certificateFile))
        } catch let error as ServerTLSError {
            throw error
        } catch {
            throw ServerTLSError("\(certificateFile) holds no certificate in PEM")
        }
        guard let own = chain.first else { throw ServerTLSError("\(certificateFile) holds no certificate in PEM") }
        let keyBytes = try bytes(of: keyFile)
        // Both forms of an encrypted key say so in their text: PKCS #8 in its label, the older ones in a header below it.
        if let text = String(validating: keyBytes, as: UTF8.self), text.contains("ENCRYPTED") {
            throw ServerTLSError("the key in \(keyFile) is encrypted; give one without a passphrase, readable to this user alone")
        }
        let key: NIOSSLPrivateKey
        do {
            key = try NIOSSLPrivateKey(bytes: keyBytes, format: .pem)
        } catch {
            throw ServerTLSError("\(keyFile) holds no private key in PEM")
        }
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(key))
        configuration.minimumTLSVersion = version == .tls13 ? .tlsv13 : .tlsv12
        configuration.applicationProtocols = ["http/1.1"]
        // How long a connection that we end waits for the client's own goodbye. Most clients say none.
        configuration.shutdownTimeout = .seconds(1)
        do {
            return Pair(
                context: try NIOSSLContext(configuration: configuration), beginsAt: Int64(own.notValidBefore),
                expiresAt: Int64(own.notValidAfter))
        } catch {
            throw ServerTLSError("the key in \(keyFile) does not belong to the first certificate in \(certificateFile)")
        }
    }

    private static func bytes(of path: String) throws(ServerTLSError) -> [UInt8] {
        let bytes: [UInt8]
        do throws(FileReadError) {
            bytes = try PlainFile.read(path, upTo: ServerTLS.fileMaxBytes + 1)
        } catch {
            throw ServerTLSError("\(path) \(error)")
        }
        guard bytes.count <= ServerTLS.fileMaxBytes else { throw ServerTLSError("\(path) is larger than any certificate or key") }
        return bytes
    }

    private static let fileMaxBytes = 1 << 20
}

/// Why a certificate cannot be used, in words for an operator. Never holds a part of a key.
package struct ServerTLSError: Error, CustomStringConvertible, Equatable {
    package let description: String

    init(_ description: String) {
        self.description = description
    }
}
