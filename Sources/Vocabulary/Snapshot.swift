/// Where and how one provider is reached; built from the configuration, secrets included, so never printed.
package final class Provider: Sendable {
    package let id: String
    package let kind: String
    package let host: String
    package let port: Int
    package let isTLS: Bool
    /// PEM certificates to trust instead of the system's, as a path; `nil` for the system's.
    package let caFile: String?
    /// The way there: a proxy, certificates of our own, and addresses that are out of bounds.
    package let egress: Egress
    /// The path in front of every endpoint's, without a slash at its end: `/v1`.
    package let basePath: String
    package let timeouts: ProviderTimeouts
    /// How many calls may run at this provider at once, over all loops.
    package let concurrencyMax: Int
    /// How many calls may wait for one of those places.
    package let queueMax: Int
    /// Whether `stream_options.include_usage` may be forced; some providers reject the field.
    package let acceptsStreamOptions: Bool
    /// Whether a reused connection that ends without a single answer byte is tried once more on a fresh one.
    package let retriesStaleConnections: Bool
    /// By ``Endpoint/rawValue``: the request line and every header that does not change from call to call, ending in CRLF.
    package let requestHeads: [[UInt8]]
    /// The credentials in ``requestHeads``, those that are long enough to be told from other text.
    package let secrets: [[UInt8]]

    package init(
        id: String, kind: String, host: String, port: Int, isTLS: Bool, caFile: String?, basePath: String, timeouts: ProviderTimeouts,
        concurrencyMax: Int, queueMax: Int, acceptsStreamOptions: Bool, retriesStaleConnections: Bool, requestHeads: [[UInt8]],
        egress: Egress = Egress(), secrets: [[UInt8]] = []
    ) {
        self.id = id
        self.kind = kind
        self.host = host
        self.port = port
        self.isTLS = isTLS
        self.caFile = caFile
        self.egress = egress
        self.basePath = basePath
        self.timeouts = timeouts
        self.concurrencyMax = concurrencyMax
        self.queueMax = queueMax
        self.acceptsStreamOptions = acceptsStreamOptions
        self.retriesStaleConnections = retriesStaleConnections
        self.requestHeads = requestHeads
        self.secrets = secrets
    }
}

/// The limits of one attempt, all in milliseconds.
package struct ProviderTimeouts: Sendable, Hashable {
    /// To open a connection, TLS included.
    package var connectMilliseconds: Int64
    /// From the request sent to the first answer byte.
    package var firstByteMilliseconds: Int64
    /// Between two reads of an answer; time in which the client is too slow does not count.
    package var idleMilliseconds: Int64

    package init(connectMilliseconds: Int64, firstByteMilliseconds: Int64, idleMilliseconds: Int64) {
        self.connectMilliseconds = connectMilliseconds
        self.firstByteMilliseconds = firstByteMilliseconds
        self.idleMilliseconds = idleMilliseconds
    }
}

/// One place where a model can be had.
package final class Deployment: Sendable {
    package let provider: Provider
    /// The model's name at the provider.
    package let model: String
    /// `model` as a JSON string, quotes included, ready to be spliced in.
    package let modelJSON: [UInt8]
    /// `provider/model`, the name in usage rows.
    package let name: String
    /// The header lines that every answer of this deployment carries, each ending in CRLF.
    package let answerHeaders: [UInt8]

    package init(provider: Provider, model: String, modelJSON: [UInt8]) {
        self.provider = provider
        self.model = model
        self.modelJSON = modelJSON
        self.name = provider.id + "/" + model
        // A name from the configuration must not be able to end its line.
        let model = String(decoding: model.utf8.filter { $0 >= 0x20 && $0 != 0x7f }, as: UTF8.self)
        answerHeaders = Array("x-martlet-provider: \(provider.id)\r\nx-martlet-model: \(model)\r\n".utf8)
    }
}

/// A public model name and what stands behind it.
package final class Model: Sendable {
    package let name: String
    /// `name` as a JSON string, quotes included.
    package let nameJSON: [UInt8]
    /// In the order in which they are tried.
    package let deployments: [Deployment]
    package let price: Price
    /// ``Price/version`` of `price`, made once.
    package let priceVersion: String
    package let createdAt: WallTime

    package init(name: String, nameJSON: [UInt8], deployments: [Deployment], price: Price, createdAt: WallTime) {
        self.name = name
        self.nameJSON = nameJSON
        self.deployments = deployments
        self.price = price
        self.priceVersion = price.version
        self.createdAt = createdAt
    }
}

/// Everything that the hot path reads, immutable (ARCHITECTURE §3). A call keeps the one that it started with.
package final class Snapshot: Sendable {
    package let generation: UInt64
    package let keys: KeyTable
    /// In the order of the configuration.
    package let models: [Model]
    package let providers: [Provider]
    /// For finding a model by the bytes of a request, without making a string of them.
    private let modelsByHash: [UInt64: [Model]]

    package init(generation: UInt64, keys: KeyTable, models: [Model], providers: [Provider]) {
        self.generation = generation
        self.keys = keys
        self.models = models
        self.providers = providers
        var byHash: [UInt64: [Model]] = [:]
        for model in models {
            var name = model.name
            byHash[name.withUTF8 { fnv1a(UnsafeRawBufferPointer($0)) }, default: []].append(model)
        }
        modelsByHash = byHash
    }

    /// The model of that public name.
    package func model(named name: UnsafeRawBufferPointer) -> Model? {
        guard let candidates = modelsByHash[fnv1a(name)] else { return nil }
        for candidate in candidates {
            var own = candidate.name
            if own.withUTF8({ isSame(UnsafeRawBufferPointer($0), name) }) { return candidate }
        }
        return nil
    }

    /// The model of that public name.
    package func model(named name: String) -> Model? {
        var name = name
        return name.withUTF8 { model(named: UnsafeRawBufferPointer($0)) }
    }
}

private func isSame(_ one: UnsafeRawBufferPointer, _ other: UnsafeRawBufferPointer) -> Bool {
    guard one.count == other.count else { return false }
    for index in 0..<one.count where one[index] != other[index] { return false }
    return true
}

/// FNV-1a, 64 bits: names in a configuration are few and the operator's own, so collisions need no defence, only an equality check.
func fnv1a(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in bytes {
        hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01b3
    }
    return hash
}
