import Dialects
import Providers
import Settings
import Vocabulary

/// The models and providers of a configuration, as the hot path reads them.
struct Catalog: Sendable {
    let models: [Model]
    let providers: [Provider]
    /// What the providers were made from, in the same order.
    private let providerSettings: [Settings.Provider]
    private let network: Settings.Network

    /// - Parameters:
    ///   - now: when models that were not there before came into being, for `/v1/models`.
    ///   - former: the catalog in force. A provider that is configured as before stays the same object, with its connections.
    init(_ settings: Settings, at now: WallTime, after former: Catalog? = nil) {
        let births = Dictionary(uniqueKeysWithValues: (former?.models ?? []).map { ($0.name, $0.createdAt) })
        let providers = settings.providers.map { wanted in
            former?.provider(madeFrom: wanted, settings.network) ?? Provider(settings: wanted, network: settings.network)
        }
        providerSettings = settings.providers
        network = settings.network
        let byID = Dictionary(uniqueKeysWithValues: providers.map { ($0.id, $0) })
        self.providers = providers
        models = settings.models.map { model in
            let deployments = model.deployments.compactMap { deployment in
                // The configuration has been checked: every deployment names a provider that is there.
                byID[deployment.provider].map {
                    Deployment(provider: $0, model: deployment.model, modelJSON: jsonString(deployment.model))
                }
            }
            return Model(
                name: model.name, nameJSON: jsonString(model.name), deployments: deployments,
                price: model.price ?? settings.pricing.unknown, createdAt: births[model.name] ?? now)
        }
    }

    private func provider(madeFrom wanted: Settings.Provider, _ network: Settings.Network) -> Provider? {
        guard self.network == network else { return nil }
        return zip(providers, providerSettings).first { $0.1 == wanted }?.0
    }

    func snapshot(generation: UInt64, keys: KeyTable) -> Snapshot {
        Snapshot(generation: generation, keys: keys, models: models, providers: providers)
    }
}

extension Provider {
    fileprivate convenience init(settings: Settings.Provider, network: Settings.Network) {
        switch settings.kind {
        case .openAI:
            self.init(
                openAI: OpenAIProviderOptions(
                    id: settings.id, host: settings.baseURL.host, port: settings.baseURL.port, isTLS: settings.baseURL.isTLS,
                    basePath: settings.baseURL.path, apiKey: settings.apiKey?.value ?? "",
                    headers: settings.headers.map { (name: $0.name, value: $0.value.value) }, caFile: settings.caFile,
                    timeouts: ProviderTimeouts(
                        connectMilliseconds: settings.connectTimeout.milliseconds,
                        firstByteMilliseconds: settings.firstByteTimeout.milliseconds,
                        idleMilliseconds: settings.idleTimeout.milliseconds),
                    concurrencyMax: settings.concurrencyMax, queueMax: settings.queueMax,
                    acceptsStreamOptions: settings.acceptsStreamOptions, retriesStaleConnections: settings.retriesStaleConnections,
                    egress: Egress(settings: settings, network: network)))
        }
    }
}

extension Egress {
    fileprivate init(settings: Settings.Provider, network: Settings.Network) {
        self.init(
            proxy: settings.proxy.map {
                OutboundProxy(isTLS: $0.isTLS, host: $0.host, port: $0.port, authorization: $0.authorization, caFile: network.caFile)
            },
            clientCertificateFile: settings.clientCertificateFile, clientKeyFile: settings.clientKeyFile, serverName: settings.serverName,
            addresses: AddressRules(allowsLinkLocal: network.allowsLinkLocal, denied: network.denied))
    }
}

extension Duration {
    /// Whole milliseconds, rounded up so that a short limit is never none.
    var milliseconds: Int64 {
        let (seconds, attoseconds) = components
        return seconds * 1000 + (attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000
    }
}
