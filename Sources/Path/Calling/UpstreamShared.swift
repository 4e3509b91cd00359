import NIOCore
import Synchronization
package import Vocabulary

/// What all loops share about providers: permits, TLS contexts, counters.
///
/// At a reload of the configuration: ``prepare(_:)`` the new providers (which reads their certificates, and refuses what cannot be used), then
/// ``adopt(_:)`` them, publish the snapshot, and have every loop's ``UpstreamCaller`` ``UpstreamCaller/retain(only:)`` them. Permits follow a
/// provider's id over reloads, so a new limit counts the calls that are running.
package final class UpstreamShared: Sendable {
    private struct State {
        var permits: [String: PermitPool] = [:]
        var contexts = TLSContexts()
        var lastReports: [Report: NIODeadline] = [:]
    }

    private struct Report: Hashable {
        var provider: String
        var trouble: ConnectTrouble
    }

    /// Providers whose certificates have been read and are sound.
    package struct Prepared: Sendable {
        fileprivate let providers: [Provider]
        fileprivate let contexts: TLSContexts
    }

    /// Counts for metrics.
    package struct Counts: Sendable {
        package var connectionsOpen: Int
        package var connectionsOpened: Int
        package var staleRetries: Int
    }

    private let state = Mutex(State())
    private let onTrouble: @Sendable (_ provider: String, _ reason: String) -> Void
    let open = Atomic<Int>(0)
    let opened = Atomic<Int>(0)
    let staleConnections = Atomic<Int>(0)

    /// The same trouble of the same provider is reported once in that time: an outage is one line now and then, not one a call.
    private static let reportInterval = TimeAmount.seconds(10)
    private static let reportsMax = 1024

    /// - Parameter onTrouble: hears why a connection could not be made, with the provider's id; called on any loop.
    package init(onTrouble: @escaping @Sendable (_ provider: String, _ reason: String) -> Void = { _, _ in }) {
        self.onTrouble = onTrouble
    }

    package var counts: Counts {
        Counts(
            connectionsOpen: open.load(ordering: .relaxed), connectionsOpened: opened.load(ordering: .relaxed),
            staleRetries: staleConnections.load(ordering: .relaxed))
    }

    /// How many calls to a provider may begin now; for tests and diagnosis. Negative while a lowered limit is exceeded.
    package func permitsFree(ofProvider id: String) -> Int? {
        state.withLock { $0.permits[id] }?.free
    }

    /// The permits of a provider.
    func permits(of provider: Provider) -> PermitPool {
        state.withLock { state in
            if let known = state.permits[provider.id] { return known }
            let pool = PermitPool(concurrencyMax: provider.concurrencyMax, queueMax: provider.queueMax)
            state.permits[provider.id] = pool
            return pool
        }
    }

    /// The TLS contexts of a provider. Building one reads certificates, so ``warmUp(_:)`` does so before the first call.
    func tls(of provider: Provider) throws(CertificateFileError) -> ProviderTLS {
        let result = state.withLock { state in
            Result { () throws(CertificateFileError) in try state.contexts.contexts(of: provider) }
        }
        return try result.get()
    }

    // MARK: Start and reload

    /// Reads the certificates of providers that are to be in force; nothing changes yet.
    package func prepare(_ providers: [Provider]) throws(CertificateFileError) -> Prepared {
        let contexts = state.withLock { $0.contexts }
        return Prepared(providers: providers, contexts: try contexts.refreshed(for: providers))
    }

    /// Puts prepared providers in force: changed certificates for new connections, changed limits for new calls.
    package func adopt(_ prepared: Prepared) {
        let resized = state.withLock { state in
            state.contexts = prepared.contexts
            state.lastReports.removeAll()
            let ids = Set(prepared.providers.map(\.id))
            state.permits = state.permits.filter { ids.contains($0.key) }
            return prepared.providers.compactMap { provider in state.permits[provider.id].map { ($0, provider) } }
        }
        for (permits, provider) in resized { permits.resize(concurrencyMax: provider.concurrencyMax, queueMax: provider.queueMax) }
    }

    /// Makes ready what the first call would have to wait for. Throws when a provider's certificates cannot be read.
    package func warmUp(_ providers: [Provider]) throws(CertificateFileError) {
        adopt(try prepare(providers))
    }

    // MARK: Trouble

    /// Tells why a connection could not be made, unless it was told a moment ago.
    func report(_ trouble: ConnectTrouble, of provider: Provider) {
        let report = Report(provider: provider.id, trouble: trouble)
        let now = NIODeadline.now()
        let isNew = state.withLock { state in
            if let last = state.lastReports[report], now - last < UpstreamShared.reportInterval { return false }
            if state.lastReports.count >= UpstreamShared.reportsMax { state.lastReports.removeAll() }
            state.lastReports[report] = now
            return true
        }
        if isNew { onTrouble(provider.id, trouble.description) }
    }
}
