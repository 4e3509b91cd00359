internal import NIOSSL
import Synchronization
package import Vocabulary

/// What all loops share about providers: permits, TLS contexts, counters.
package final class UpstreamShared: Sendable {
    private struct State {
        var permits: [String: PermitPool] = [:]
        var contexts: [String: NIOSSLContext] = [:]
    }

    /// Counts for metrics.
    package struct Counts: Sendable {
        package var connectionsOpen: Int
        package var connectionsOpened: Int
        package var staleRetries: Int
    }

    private let state = Mutex(State())
    let open = Atomic<Int>(0)
    let opened = Atomic<Int>(0)
    let staleConnections = Atomic<Int>(0)

    package init() {}

    package var counts: Counts {
        Counts(
            connectionsOpen: open.load(ordering: .relaxed), connectionsOpened: opened.load(ordering: .relaxed),
            staleRetries: staleConnections.load(ordering: .relaxed))
    }

    /// The permits of a provider; a provider whose limits have changed gets new ones.
    func permits(of provider: Provider) -> PermitPool {
        let key = "\(provider.id) \(provider.concurrencyMax) \(provider.queueMax)"
        return state.withLock { state in
            if let known = state.permits[key] { return known }
            let pool = PermitPool(concurrencyMax: provider.concurrencyMax, queueMax: provider.queueMax)
            state.permits[key] = pool
            return pool
        }
    }

    /// The TLS context of a provider. Building one reads certificates, so it is built once; ``warmUp(_:)`` does so before the first call.
    func tlsContext(of provider: Provider) throws -> NIOSSLContext {
        let key = provider.caFile ?? ""
        if let known = state.withLock({ $0.contexts[key] }) { return known }
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.applicationProtocols = ["http/1.1"]
        if let caFile = provider.caFile {
            configuration.trustRoots = .certificates(try NIOSSLCertificate.fromPEMFile(caFile))
        }
        let context = try NIOSSLContext(configuration: configuration)
        state.withLock { $0.contexts[key] = context }
        return context
    }

    /// Makes ready what the first call would have to wait for. Throws when a provider's certificates cannot be read.
    package func warmUp(_ providers: [Provider]) throws {
        for provider in providers {
            _ = permits(of: provider)
            if provider.isTLS { _ = try tlsContext(of: provider) }
        }
    }
}
