import Glibc
internal import NIOCore
internal import NIOSSL
import Synchronization

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

    private struct State {
        var context: NIOSSLContext
        var expiresAt: Int64
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
        let (context, expiresAt) = try ServerTLS.read(certificateFile, keyFile, minimumVersion)
        state = Mutex(State(context: context, expiresAt: expiresAt, fingerprint: fingerprint))
    }

    /// For a connection that begins now.
    var context: NIOSSLContext { state.withLock { $0.context } }

    /// When the certificate in force ends, in Unix seconds.
    package var expiresAt: Int64 { state.withLock { $0.expiresAt } }

    package var reloads: Reloads { state.withLock { $0.reloads } }

    /// Reads both files again; the new pair holds for connections from now on. Blocks on the disk: not for an event loop.
    ///
    /// - Throws: when they are no usable pair; the old one then stays in force.
    package func reload() throws(ServerTLSError) {
        // Before the reading: a change in between is then seen by the next look.
        let fingerprint = [FileFingerprint(certificateFile), FileFingerprint(keyFile)]
        do throws(ServerTLSError) {
            let (context, expiresAt) = try ServerTLS.read(certificateFile, keyFile, version)
            state.withLock { state in
                state.context = context
                state.expiresAt = expiresAt
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

    private static func read(_ certificateFile: String, _ keyFile: String, _ version: Version) throws(ServerTLSError) -> (NIOSSLContext, Int64) {
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
            return (try NIOSSLContext(configuration: configuration), Int64(own.notValidAfter))
        } catch {
            throw ServerTLSError("the key in \(keyFile) does not belong to the first certificate in \(certificateFile)")
        }
    }

    private static func bytes(of path: String) throws(ServerTLSError) -> [UInt8] {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { throw ServerTLSError("\(path) cannot be read: \(String(cString: strerror(errno)))") }
        defer { close(file) }
        var bytes = [UInt8](repeating: 0, count: ServerTLS.fileMaxBytes + 1)
        var count = 0
        while count < bytes.count {
            let got = bytes.withUnsafeMutableBytes { Glibc.read(file, $0.baseAddress.map { $0 + count }, $0.count - count) }
            if got < 0, errno == EINTR { continue }
            guard got >= 0 else { throw ServerTLSError("\(path) cannot be read: \(String(cString: strerror(errno)))") }
            if got == 0 { break }
            count += got
        }
        guard count <= ServerTLS.fileMaxBytes else { throw ServerTLSError("\(path) is larger than any certificate or key") }
        return Array(bytes.prefix(count))
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

/// Which file stands behind a path, links followed; a file that is not there has one, too.
private struct FileFingerprint: Equatable {
    private var device: UInt = 0
    private var inode: UInt = 0
    private var size = 0
    private var seconds = 0
    private var nanoseconds = 0

    init(_ path: String) {
        var found = stat()
        guard stat(path, &found) == 0 else { return }
        device = UInt(found.st_dev)
        inode = UInt(found.st_ino)
        size = Int(found.st_size)
        seconds = Int(found.st_mtim.tv_sec)
        nanoseconds = Int(found.st_mtim.tv_nsec)
    }
}
