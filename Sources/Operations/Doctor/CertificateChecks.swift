import Foundation
import NIOSSL
package import Settings

/// Looks at the certificates in files: readable, and how long they still hold.
package struct CertificateChecks: Sendable {
    private let settings: Settings
    private let now: Int64

    /// - Parameter now: Unix seconds.
    package init(_ settings: Settings, now: Int64) {
        self.settings = settings
        self.now = now
    }

    package func run() -> [Finding] {
        var findings: [Finding] = []
        if let tls = settings.server.tls { findings.append(own("certificate for clients", tls.certificateFile, key: tls.keyFile)) }
        for provider in settings.providers {
            if let file = provider.clientCertificateFile, let key = provider.clientKeyFile {
                findings.append(own("provider \(provider.id): client certificate", file, key: key))
            }
        }
        let roots = Set(([settings.network.caFile] + settings.providers.map(\.caFile)).compactMap { $0 }).sorted()
        return findings + roots.map(roots(_:))
    }

    private func own(_ check: String, _ file: String, key: String) -> Finding {
        let chain: [NIOSSLCertificate]
        do {
            chain = try NIOSSLCertificate.fromPEMFile(file)
        } catch {
            return Finding(check, .fail, "\(file) holds no certificate in PEM", hint: "put the chain there, our own certificate first")
        }
        guard let first = chain.first else { return Finding(check, .fail, "\(file) is empty") }
        do {
            let configuration = TLSConfiguration.makeServerConfiguration(
                certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(try NIOSSLPrivateKey(file: key, format: .pem)))
            _ = try NIOSSLContext(configuration: configuration)
        } catch {
            return Finding(check, .fail, "\(key) is no usable key for \(file)", hint: "give the key of that certificate, in PEM and not encrypted")
        }
        return CertificateChecks.life(check, file, from: Int64(first.notValidBefore), to: Int64(first.notValidAfter), now: now)
    }

    private func roots(_ file: String) -> Finding {
        let check = "trusted certificates"
        guard let certificates = try? NIOSSLCertificate.fromPEMFile(file), !certificates.isEmpty else {
            return Finding(check, .fail, "\(file) holds no certificate in PEM", hint: "put the certificates of the authority there")
        }
        let valid = certificates.filter { Int64($0.notValidAfter) > now }.count
        guard valid > 0 else { return Finding(check, .fail, "every certificate in \(file) has expired", hint: "get the authority's new one") }
        return Finding(check, .ok, "\(file): \(valid) of \(certificates.count) valid")
    }

    /// Days that must be left for a certificate to be no trouble soon.
    private static let daysLeftMin: Int64 = 14

    /// How long a certificate still holds.
    static func life(_ check: String, _ name: String, from begin: Int64, to end: Int64, now: Int64) -> Finding {
        let days = (end - now) / 86_400
        if now < begin {
            return Finding(check, .fail, "\(name) is not valid yet", hint: "look at the clock of this machine, or wait")
        }
        if now >= end {
            return Finding(check, .fail, "\(name) expired \(-days) days ago", hint: "renew it; martlet takes the new one without a restart")
        }
        if days < daysLeftMin {
            return Finding(check, .warn, "\(name) expires in \(days) days", hint: "renew it; martlet takes the new one without a restart")
        }
        return Finding(check, .ok, "\(name) is valid for \(days) days")
    }
}
