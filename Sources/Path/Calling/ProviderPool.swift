internal import Vocabulary

/// What one loop keeps of one provider: its idle connections, and the permits that all loops share. Confined to its loop.
final class ProviderPool {
    let provider: Provider
    let permits: PermitPool
    /// Connections that wait for a call; the one that was used last stands last and goes out first.
    var idle: [UpstreamConnection] = []

    init(provider: Provider, permits: PermitPool) {
        self.provider = provider
        self.permits = permits
    }
}
