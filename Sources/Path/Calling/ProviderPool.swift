internal import Vocabulary

/// What one loop keeps of one provider: its idle connections, and the permits that all loops share. Confined to its loop.
final class ProviderPool {
    let provider: Provider
    let permits: PermitPool
    private let shared: UpstreamShared
    private var knownTLS: ProviderTLS?
    /// Connections that wait for a call; the one that was used last stands last and goes out first.
    var idle: [UpstreamConnection] = []
    /// Grows when connections that were made before must not carry another call.
    private(set) var generation = 0
    /// Whether the provider has left the configuration: no connection waits for another call.
    let isRetired: Bool

    init(provider: Provider, shared: UpstreamShared, isRetired: Bool) {
        self.provider = provider
        self.shared = shared
        self.isRetired = isRetired
        permits = shared.permits(of: provider)
    }

    /// What new connections encrypt with.
    func tls() throws(CertificateFileError) -> ProviderTLS {
        if let knownTLS { return knownTLS }
        guard provider.isTLS || provider.egress.proxy?.isTLS == true else { return ProviderTLS() }
        let tls = try shared.tls(of: provider)
        knownTLS = tls
        return tls
    }

    /// Takes the certificates that are in force now; connections made with others carry no further call.
    func refreshTLS() {
        guard let before = knownTLS else { return }
        knownTLS = nil
        guard let now = try? tls(), now.isSame(as: before) else {
            outdate()
            return
        }
    }

    /// No connection that there is now carries another call.
    func outdate() { generation += 1 }
}
