package import Vocabulary

/// The whole configuration of a gateway, read once and checked (`Settings.load`), then only passed down.
///
/// The initial values of these properties are the defaults; there is no other place for them. Keys of the file stand in the comments.
package struct Settings: Sendable, Equatable {
    /// `server`: the listeners and their limits.
    package var server = Server()
    /// `data`: the directory of everything that is kept, relative to the working directory.
    package var data = "./data"
    /// `log`: what is logged.
    package var log = Log()
    /// `journal`: the log of settled calls on disk.
    package var journal = Journal()
    /// `network`: how providers are reached.
    package var network = Network()
    /// `providers[]`, in the order of the file; ids are unique.
    package var providers: [Provider] = []
    /// `models[]`, in the order of the file; names are unique and every deployment names one of `providers`.
    package var models: [Model] = []
    /// `pricing`: what holds for models without a price.
    package var pricing = Pricing()
    /// `reload`: when the file is read again.
    package var reload = Reload()
    /// `MARTLET_ADMIN_KEY`; `nil` lets the gateway make one at its first start.
    package var adminKey: Secret?

    /// The file that was read; `nil` when the embedded defaults hold.
    package var file: String?
    /// What is odd but no mistake, one sentence each, for the log at start.
    package var warnings: [String] = []
    /// Where each value that is no default came from, by its path (`server.port`, `providers.sim.base_url`).
    package var origins: [String: Origin] = [:]

    package init() {}
}

extension Settings {
    /// `server`: where we listen and how long and how large things may be.
    package struct Server: Sendable, Equatable {
        /// `server.host`: a name or an address.
        package var host = "127.0.0.1"
        /// `server.port`; 0 takes a free one.
        package var port = 8000
        /// `server.tcp`: whether `host` and `port` are listened on; off for a gateway behind a socket in the file system.
        package var listensOnTCP = true
        /// `server.unix_socket`: a socket in the file system to listen on; `nil` for none.
        package var unixSocket: String?
        /// `server.unix_socket_mode`: its permissions.
        package var unixSocketMode = 0o660
        /// `server.tls`; `nil` for plain HTTP.
        package var tls: TLS?
        /// `server.private.host`, `.port`, `.tls`: a second listener for metrics and the detail of health, without a credential.
        package var privateListener: Listener?
        /// `server.loops`: how many event loops serve calls; `nil` is one for each core.
        package var loops: Int?
        /// `server.max_body`: the largest request body, in bytes.
        package var bodyMaxBytes = 10 << 20
        /// `server.max_buffered`: the most bytes that all calls together may hold in memory.
        package var bufferedMaxBytes = 256 << 20
        /// `server.total_timeout`: from the head of a call to its last byte.
        package var totalTimeout: Duration = .seconds(180)
        /// `server.head_timeout`: from the first byte of a head to its end.
        package var headTimeout: Duration = .seconds(15)
        /// `server.body_timeout`: how long a request body may make no progress.
        package var bodyTimeout: Duration = .seconds(30)
        /// `server.keep_alive`: how long a connection may be idle between calls.
        package var keepAliveTimeout: Duration = .seconds(75)
        /// `server.write_stall`: how long a client may read nothing of its answer.
        package var writeStallTimeout: Duration = .seconds(30)
        /// `server.body_min_rate`: what a request body must bring in every `body_timeout`, in bytes a second; 0 for no such limit.
        package var bodyRateMin = 1 << 10
        /// `server.write_min_rate`: what a client must read in every `write_stall` while its answer waits, in bytes a second; 0 for no such limit.
        package var writeRateMin = 1 << 10
        /// `server.max_connections`; `nil` is what the limit of open files allows.
        package var connectionsMax: Int?
        /// `server.max_connections_per_address`; 0 for any number.
        package var connectionsPerAddressMax = 0
        /// `server.trusted_proxies`: whose word counts for the address of a client.
        package var trustedProxies: [CIDR] = []
        /// `unix` in `server.trusted_proxies`.
        package var trustsUnixSocket = false
        /// `server.client_address_header`: the header of the trusted proxies that tells the address.
        package var clientAddressHeader = ClientAddressHeader.xForwardedFor
        /// `server.proxy_protocol`
        package var proxyProtocol = ProxyProtocol.off
        /// `server.drain.delay`: from the signal to the first refusal, for load balancers to notice.
        package var drainDelay: Duration = .seconds(1)
        /// `server.drain.deadline`: how long running calls may then go on.
        package var drainDeadline: Duration = .seconds(30)

        package init() {}
    }

    /// A place to listen at.
    package struct Listener: Sendable, Hashable {
        package var host: String
        /// 0 takes a free one.
        package var port: Int
        /// Whether it shows the certificate of `server.tls`.
        package var isTLS: Bool

        package init(host: String, port: Int, isTLS: Bool = false) {
            self.host = host
            self.port = port
            self.isTLS = isTLS
        }
    }

    /// `server.tls`: what clients are shown.
    package struct TLS: Sendable, Hashable {
        /// `server.tls.cert`: PEM, our own certificate first, as a path relative to the working directory.
        package var certificateFile: String
        /// `server.tls.key`: PEM, not encrypted.
        package var keyFile: String
        /// `server.tls.min_version`
        package var minimumVersion = TLSVersion.tls12

        package init(certificateFile: String, keyFile: String) {
            self.certificateFile = certificateFile
            self.keyFile = keyFile
        }
    }

    package enum TLSVersion: String, Sendable, CaseIterable {
        case tls12 = "1.2"
        case tls13 = "1.3"
    }

    /// The header by which proxies tell for whom they ask.
    package enum ClientAddressHeader: String, Sendable, CaseIterable {
        case xForwardedFor = "x-forwarded-for"
        case forwarded
    }

    /// Whether connections begin with a header of the PROXY protocol, version 1 or 2.
    package enum ProxyProtocol: String, Sendable, CaseIterable {
        case off, required
    }

    /// `log`: what is logged.
    package struct Log: Sendable, Equatable {
        /// `log.level`: nothing below it is logged.
        package var level = LogLevel.info
        /// `log.calls`: which calls get a line.
        package var calls = CallLogging.failures

        package init() {}
    }

    /// The levels of swift-log, by their names there.
    package enum LogLevel: String, Sendable, CaseIterable {
        case trace, debug, info, notice, warning, error, critical
    }

    /// Which calls get a log line of their own; the usage log has them all in any case.
    package enum CallLogging: String, Sendable, CaseIterable {
        case none, failures, all
    }

    /// `journal`: the log of settled calls on disk, from which the usage store is filled.
    package struct Journal: Sendable, Equatable {
        /// `journal.dir`, relative to the working directory; the default is `journal` below `data`.
        package var directory = "./data/journal"
        /// `journal.on_failure`: what becomes of new calls while nothing can be written.
        package var onFailure = JournalFailurePolicy.refuse
        /// `journal.sync_interval`: the longest time between a write and its way to the disk.
        package var syncInterval: Duration = .milliseconds(100)
        /// `journal.segment_size`: when a new file is begun, in bytes.
        package var segmentSizeBytes = 1 << 20
        /// `journal.max_size`: the most that all segments may take, in bytes.
        package var sizeMaxBytes = 4 << 30
        /// `journal.min_free`: how much of the volume must stay free, in bytes.
        package var freeMinBytes = 1 << 20

        package init() {}
    }

    /// What becomes of new calls while the journal cannot be written.
    package enum JournalFailurePolicy: String, Sendable, CaseIterable {
        /// They get 503 until it can be written again.
        case refuse
        /// They are served; their usage may be lost.
        case `continue`
    }

    /// The protocol that a provider speaks.
    package enum ProviderKind: String, Sendable, CaseIterable {
        case openAI = "openai"
    }

    /// `providers[]`: one upstream.
    package struct Provider: Sendable, Equatable {
        /// `id`: letters, digits, `.`, `_` and `-`, at most 64.
        package var id: String
        package var kind = ProviderKind.openAI
        /// `base_url`
        package var baseURL: BaseURL
        /// `api_key`: sent as a bearer token; `nil` sends none.
        package var apiKey: Secret?
        /// `headers`: sent with every call; names are unique without regard to case, and none is one that we set.
        package var headers: [Header] = []
        /// `ca_file`: PEM certificates to trust instead of the system's, relative to the working directory.
        package var caFile: String?
        /// `client_cert`: a PEM chain that we show to the provider (mTLS), relative to the working directory.
        package var clientCertificateFile: String?
        /// `client_key`: its private key, PEM; the default is the same file.
        package var clientKeyFile: String?
        /// `server_name`: the name that the provider's certificate must bear, where it is not the host's.
        package var serverName: String?
        /// `proxy`, or what `network.proxy` and `network.no_proxy` make of it; `nil` connects directly.
        package var proxy: ProxyURL?
        /// `timeouts.connect`: to open a connection, TLS included.
        package var connectTimeout: Duration = .seconds(10)
        /// `timeouts.first_byte`: from the request sent to the first answer byte.
        package var firstByteTimeout: Duration = .seconds(60)
        /// `timeouts.idle`: between two reads of an answer.
        package var idleTimeout: Duration = .seconds(60)
        /// `max_concurrency`: how many calls may run there at once.
        package var concurrencyMax = 1024
        /// `max_queue`: how many may wait for one of those places.
        package var queueMax = 1024
        /// `stream_options`: whether `stream_options.include_usage` may be forced; some providers reject the field.
        package var acceptsStreamOptions = true
        /// `retry_stale`: whether a reused connection that ends without an answer byte is tried once more on a fresh one.
        package var retriesStaleConnections = true

        package init(id: String, baseURL: BaseURL) {
            self.id = id
            self.baseURL = baseURL
        }
    }

    /// A header of our own for every call to a provider.
    package struct Header: Sendable, Hashable {
        package var name: String
        /// Often a credential, so it is shown masked.
        package var value: Secret

        package init(name: String, value: Secret) {
            self.name = name
            self.value = value
        }
    }

    /// `models[]`: a public model name and where it can be had.
    package struct Model: Sendable, Equatable {
        /// `name`: what clients ask for.
        package var name: String
        /// `deployments[]`, in the order in which they are tried; never empty.
        package var deployments: [Deployment]
        /// `price`; `nil` charges ``Pricing/unknown``.
        package var price: Price?

        package init(name: String, deployments: [Deployment], price: Price?) {
            self.name = name
            self.deployments = deployments
            self.price = price
        }
    }

    /// `models[].deployments[]`: one place where a model can be had.
    package struct Deployment: Sendable, Hashable {
        /// `provider`: the id of one of `providers`.
        package var provider: String
        /// `model`: its name there; the default is the public name.
        package var model: String

        package init(provider: String, model: String) {
            self.provider = provider
            self.model = model
        }
    }

    /// `reload`: when the file is read again.
    package struct Reload: Sendable, Equatable {
        /// `reload.watch`: whether a change of the file is noticed; SIGHUP and the management API reload in any case.
        package var watch = true
        /// `reload.interval`: how often the file is looked at.
        package var interval: Duration = .milliseconds(500)

        package init() {}
    }

    /// `pricing`: what holds for models without a price.
    package struct Pricing: Sendable, Equatable {
        /// `pricing.unknown`: the conservative price, $10 and $30 per million tokens; it is marked as not known.
        package var unknown = Price(input: 10_000_000_000, output: 30_000_000_000, isKnown: false)

        package init() {}
    }
}
