internal import Files
import NIOSSL
internal import Vocabulary

/// What the connections to one provider encrypt with.
struct ProviderTLS: Sendable {
    /// For the provider; `nil` for plain HTTP.
    var provider: NIOSSLContext?
    /// For a proxy that is reached over TLS itself.
    var proxy: NIOSSLContext?

    func isSame(as other: ProviderTLS) -> Bool { provider === other.provider && proxy === other.proxy }
}

/// Why certificates cannot be used, with the file's name.
package struct CertificateFileError: Error, CustomStringConvertible {
    package let description: String
}

/// The TLS contexts in force, each with the bytes of the files that it was made of: a context is made anew exactly when those have changed.
struct TLSContexts {
    /// What tells one context from another.
    private struct Source: Hashable {
        var caFile: String?
        var certificateFile: String?
        var keyFile: String?
        /// Off only where the name in the certificate is checked by ``Dialing`` itself.
        var checksName = true
    }

    private struct Entry {
        var contents: [[UInt8]]
        var context: NIOSSLContext
    }

    private var entries: [Source: Entry] = [:]
    /// Those of the configuration before: a call that began under it may still need one, and its files may be gone.
    private var former: [Source: Entry] = [:]

    /// The contexts for these providers and no others, from files that are read now; those whose files are as they were stay the same objects.
    func refreshed(for providers: [Provider]) throws(CertificateFileError) -> TLSContexts {
        var next = TLSContexts()
        next.former = entries
        for source in providers.flatMap({ [TLSContexts.source(of: $0), TLSContexts.proxySource(of: $0)] }) {
            guard let source, next.entries[source] == nil else { continue }
            next.entries[source] = try TLSContexts.entry(source, known: entries[source])
        }
        return next
    }

    /// The contexts of a provider; what is not there yet is made, and kept.
    mutating func contexts(of provider: Provider) throws(CertificateFileError) -> ProviderTLS {
        var result = ProviderTLS()
        if let source = TLSContexts.source(of: provider) { result.provider = try context(source) }
        if let source = TLSContexts.proxySource(of: provider) { result.proxy = try context(source) }
        return result
    }

    private mutating func context(_ source: Source) throws(CertificateFileError) -> NIOSSLContext {
        if let known = entries[source] ?? former[source] { return known.context }
        let made = try TLSContexts.entry(source, known: nil)
        entries[source] = made
        return made.context
    }

    private static func source(of provider: Provider) -> Source? {
        guard provider.isTLS else { return nil }
        let egress = provider.egress
        return Source(
            caFile: provider.caFile, certificateFile: egress.clientCertificateFile, keyFile: egress.clientKeyFile,
            checksName: !provider.isAddressBehindProxy)
    }

    private static func proxySource(of provider: Provider) -> Source? {
        guard let proxy = provider.egress.proxy, proxy.isTLS else { return nil }
        return Source(caFile: proxy.caFile)
    }

    private static func entry(_ source: Source, known: Entry?) throws(CertificateFileError) -> Entry {
        var contents: [[UInt8]] = []
        for path in [source.caFile, source.certificateFile, source.keyFile] { contents.append(try path.map(read) ?? []) }
        if let known, known.contents == contents { return known }
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.minimumTLSVersion = .tlsv12
        configuration.applicationProtocols = ["http/1.1"]
        if !source.checksName { configuration.certificateVerification = .noHostnameVerification }
        if let path = source.caFile {
            configuration.trustRoots = .certificates(try using(path) { try NIOSSLCertificate.fromPEMBytes(contents[0]) })
        }
        if let path = source.certificateFile {
            configuration.certificateChain = try using(path) { try NIOSSLCertificate.fromPEMBytes(contents[1]) }.map { .certificate($0) }
        }
        if let path = source.keyFile {
            configuration.privateKey = .privateKey(try using(path) { try NIOSSLPrivateKey(bytes: contents[2], format: .pem) })
        }
        let context = try using([source.certificateFile, source.keyFile, source.caFile].compactMap { $0 }.joined(separator: ", ")) {
            // Fails too when the key is not the certificate's.
            try NIOSSLContext(configuration: configuration)
        }
        return Entry(contents: contents, context: context)
    }

    private static func using<Value>(_ path: String, _ work: () throws -> Value) throws(CertificateFileError) -> Value {
        do { return try work() } catch { throw CertificateFileError(description: "\(path) cannot be used: \(error)") }
    }

    /// Reads a file whole; certificates are small.
    private static func read(_ path: String) throws(CertificateFileError) -> [UInt8] {
        let contents: [UInt8]
        do throws(FileReadError) {
            contents = try PlainFile.read(path, upTo: fileMaxBytes + 1)
        } catch {
            throw CertificateFileError(description: "\(path) \(error)")
        }
        guard contents.count <= fileMaxBytes else { throw CertificateFileError(description: "\(path) is too large for certificates") }
        return contents
    }

    private static let fileMaxBytes = 16 << 20
}

extension Provider {
    /// Whether the provider's certificate is to bear an address, while the connection leads to a proxy's: the library would compare it with that one.
    var isAddressBehindProxy: Bool { isTLS && egress.proxy != nil && egress.serverName == nil && isNumeric(host) }
}

/// Whether a host is written in digits: Server Name Indication takes names only.
func isNumeric(_ host: String) -> Bool {
    host.contains(":") || host.allSatisfy { $0.isNumber || $0 == "." }
}
