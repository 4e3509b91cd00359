import Edge
import Logging
import ServiceLifecycle

/// Takes a new certificate into use when its files change (``ServerTLS``). On a thread of the pool, not on an event loop: it reads the disk.
struct CertificateService: Service {
    let tls: ServerTLS
    let logger: Logger

    private static let interval = Duration.seconds(2)

    func run() async throws {
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                // Fails only when it is cancelled, which the loop sees.
                try? await Task.sleep(for: CertificateService.interval)
                look()
            }
        }
    }

    private func look() {
        do {
            guard try tls.reloadIfChanged() else { return }
            logger.notice("a new certificate is in use", metadata: ["certificate.expires": "\(tls.expiresAt)"])
        } catch {
            logger.error("the new certificate cannot be used; the old one stays", metadata: ["reason": "\(error)"])
        }
    }
}
