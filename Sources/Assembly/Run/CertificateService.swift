import Edge
import Logging
import ServiceLifecycle

/// Takes a new certificate into use when its files change (``ServerTLS``).
struct CertificateService: Service {
    let tls: ServerTLS
    let logger: Logger

    private static let interval = Duration.seconds(2)

    func run() async throws {
        if let trouble = tls.trouble {
            logger.warning("clients will not take the certificate in use", metadata: ["reason": "it \(trouble)"])
        }
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                // Fails only when it is cancelled, which the loop sees.
                try? await Task.sleep(for: CertificateService.interval)
                await look()
            }
        }
    }

    private func look() async {
        do {
            let tls = tls
            let look = await offPoolUntilCancelled { Result { () throws(ServerTLSError) in try tls.reloadIfChanged() } }
            guard try look?.get() == true else { return }
            logger.notice("a new certificate is in use", metadata: ["certificate.expires": "\(tls.expiresAt)"])
        } catch {
            logger.error("the new certificate cannot be used; the old one stays", metadata: ["reason": "\(error)"])
        }
    }
}
