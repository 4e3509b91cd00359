import Admission
import Calling
import Contracts
import Edge
import Glibc
import Identity
package import Logging
import Management
import NIOCore
import NIOPosix
import Routing
import ServiceLifecycle
package import Settings
import Settling
package import Telemetry
import UnixSignals
import Vocabulary

/// The whole gateway: builds every part from the configuration, runs them as services, and ends them in order.
package struct Gateway: Sendable {
    private let settings: Settings
    private let reloader: Reloader
    private let logThreshold: LogThreshold
    private let logger: Logger

    /// - Parameters:
    ///   - settings: as they were just read from `source`.
    ///   - logThreshold: that of all loggers, for a reload to change.
    package init(settings: Settings, source: ConfigurationSource, logThreshold: LogThreshold, logger: Logger) {
        self.settings = settings
        self.logThreshold = logThreshold
        self.logger = logger
        reloader = Reloader(settings: settings, source: source, logger: logger)
    }

    /// Runs until SIGTERM or SIGINT, then drains and returns.
    ///
    /// - Throws: ``GatewayStartError`` when the gateway cannot be started, in words for an operator.
    package func run() async throws {
        signal(SIGPIPE, SIG_IGN)
        // Only SIGTERM and SIGINT end a gateway: a terminal that is closed must not cut running calls, and who asks for a reload before there
        // is anything to reload has what was asked for.
        signal(SIGHUP, SIG_IGN)
        MemoryService.limitArenas(loops: settings.server.loops ?? System.coreCount)
        let parts = try await GatewayParts(settings: settings, reloader: reloader, files: fileLimit(), logger: logger)
        let doors = try await EdgeDoors(parts, settings.server, logger: logger)
        // The group ends services from the last to the first: first the edge drains, then the control plane, and the journal is shipped last.
        var services: [any Service] = [
            ShippingService(shipper: parts.shipper, journal: parts.journal),
            CallLogService(log: parts.callLog),
            MemoryService(logger: logger),
            KeyWatchService(keys: parts.keys),
            ReloadService(reloader: reloader, parts: parts.live(logThreshold)),
            ControlService(dispatchers: parts.dispatchers),
            EdgeService(parts: parts, settings: settings, logger: logger, doors: doors),
        ]
        if let tls = parts.edge.tls { services.insert(CertificateService(tls: tls, logger: logger), at: services.count - 1) }
        let group = ServiceGroup(
            configuration: ServiceGroupConfiguration(
                services: services.map { ServiceGroupConfiguration.ServiceConfiguration(service: $0) },
                gracefulShutdownSignals: [.sigterm, .sigint],
                logger: Logger(label: "martlet.lifecycle") { _ in SwiftLogNoOpLogHandler() }))
        try await group.run()
        try await parts.group.shutdownGracefully()
        logger.notice("martlet has ended")
    }

    /// As many files as the system lets us have, and a warning where the connections that were asked for cannot fit.
    private func fileLimit() -> FileLimit {
        let files = FileLimit.raise()
        files.makeTable()
        logger.info("open files", metadata: ["files.max": "\(files.current)", "files.before": "\(files.before)"])
        if let wanted = settings.server.connectionsMax, FileLimit.needed(forConnections: wanted) > files.current {
            logger.warning(
                "server.max_connections asks for more connections than the limit of open files allows; raise the limit (ulimit -n, LimitNOFILE)",
                metadata: ["files.max": "\(files.current)", "files.needed": "\(FileLimit.needed(forConnections: wanted))"])
        }
        return files
    }
}

/// Why the gateway cannot be started.
package struct GatewayStartError: Error, CustomStringConvertible {
    package let description: String

    init(_ description: String) {
        self.description = description
    }
}

/// Everything that a running gateway consists of.
struct GatewayParts: Sendable {
    let group: MultiThreadedEventLoopGroup
    let journal: Journal
    let shipper: JournalShipper
    let keys: KeyService
    let reloader: Reloader
    let upstream: UpstreamShared
    let budget: BodyBudget
    let answerBudget: BodyBudget
    let drain = DrainState()
    let edge: EdgeReport
    let health: GatewayHealth
    let callLog: CallLog
    let publicLoops: [NIOLoopBound<LaneLoop>]
    let privateLoops: [NIOLoopBound<LaneLoop>]
    let callers: [NIOLoopBound<UpstreamCaller>]
    let dispatchers: [ControlDispatcher]

    init(settings: Settings, reloader: Reloader, files: FileLimit, logger: Logger) async throws {
        let catalog = Catalog(settings, at: WallTime.now)
        let loops = settings.server.loops ?? System.coreCount
        let journal: Journal
        do {
            journal = try Journal(options: Journal.Options(settings), loops: loops, logger: logger)
        } catch {
            throw GatewayStartError("\(error)")
        }
        try makePrivateDirectory(settings.data)
        let store = LazyStore(path: settings.data + "/martlet.db")
        let keys = KeyService(
            store: store, catalog: catalog, adminKey: settings.adminKey?.value,
            file: SnapshotFile(path: settings.data + "/snapshot.json"), logger: logger)
        if await keys.load(), !keys.hasAdministrator { try await keys.makeAdministrator() }
        let shipper = JournalShipper(journal: journal, store: store, logger: logger)
        let upstream = UpstreamShared { provider, reason in
            logger.warning("a provider cannot be reached", metadata: ["provider.id": "\(provider)", "reason": "\(reason)"])
        }
        do {
            try upstream.warmUp(catalog.providers)
        } catch {
            throw GatewayStartError("the certificates of a provider cannot be read: \(error)")
        }
        let edge = EdgeReport(
            gate: ConnectionGate(
                connectionsMax: settings.server.connectionsMax ?? files.connectionsMax,
                connectionsPerAddressMax: settings.server.connectionsPerAddressMax),
            counters: EdgeCounters(), tls: try ServerTLS(settings.server), files: files)
        let health = GatewayHealth(
            journal: journal, shipper: shipper, store: store, snapshots: keys.snapshots, drain: drain, edge: edge, configuration: reloader,
            refusesWithoutJournal: settings.journal.onFailure == .refuse)
        let callLog = CallLog(logger: logger, policy: settings.log.calls)
        let group = MultiThreadedEventLoopGroup(numberOfThreads: loops)
        let meters = (0..<loops).map { _ in LoopMeters() }
        let connections = ConnectionCount()
        let metrics = GatewayMetrics(
            meters: meters, journal: journal, upstream: upstream, snapshots: keys.snapshots, edge: edge, configuration: reloader,
            connections: { await connections.total() })
        func plane(isPrivate: Bool) -> ManagementPlane {
            ManagementPlane(
                keys: keys, credentials: keys, usage: store, shipping: shipper, health: health, metrics: metrics,
                snapshots: keys.snapshots, configuration: reloader, logger: logger, version: MartletVersion.current, isPrivate: isPrivate)
        }
        let publicControl = ControlDispatcher(plane: plane(isPrivate: false))
        let privateControl = ControlDispatcher(plane: plane(isPrivate: true))
        let options = EdgeOptions(settings)
        let budget = BodyBudget(bytes: settings.server.bufferedMaxBytes)
        let answerBudget = BodyBudget(bytes: BodyBudget.answerBytes(settings.server))

        var publicLoops: [NIOLoopBound<LaneLoop>] = []
        var privateLoops: [NIOLoopBound<LaneLoop>] = []
        var callers: [NIOLoopBound<UpstreamCaller>] = []
        let drain = drain
        for (index, loop) in group.makeIterator().enumerated() {
            let made = try await loop.submit {
                let loopJournal = journal.loopJournal(index)
                let settler = CallSettler(journal: loopJournal, meters: meters[index], log: callLog)
                let caller = UpstreamCaller(loop: loop, shared: upstream)
                func lanes(_ control: ControlDispatcher, gate: ConnectionGate?) -> LaneLoop {
                    LaneLoop(
                        loop: loop, options: options, snapshots: keys.snapshots, identifier: KeyIdentifier(),
                        admission: ModelAdmission(
                            room: loopJournal, keeper: settler, continuesWithoutJournal: options.continuesWithoutJournal),
                        router: OrderedRouter(), caller: caller, settler: settler, control: control, budget: budget,
                        answerBudget: answerBudget, counters: edge.counters, gate: gate, drainState: drain,
                        onSecond: { settler.flushRefusals() })
                }
                return (
                    // The private listener is for operators, who must get in when the public one is full.
                    NIOLoopBound(lanes(publicControl, gate: edge.gate), eventLoop: loop),
                    NIOLoopBound(lanes(privateControl, gate: nil), eventLoop: loop),
                    NIOLoopBound(caller, eventLoop: loop)
                )
            }.get()
            publicLoops.append(made.0)
            privateLoops.append(made.1)
            callers.append(made.2)
        }
        connections.set(publicLoops)

        self.group = group
        self.journal = journal
        self.shipper = shipper
        self.keys = keys
        self.reloader = reloader
        self.upstream = upstream
        self.budget = budget
        self.answerBudget = answerBudget
        self.edge = edge
        self.health = health
        self.callLog = callLog
        self.publicLoops = publicLoops
        self.privateLoops = privateLoops
        self.callers = callers
        dispatchers = [publicControl, privateControl]
    }
}

extension GatewayParts {
    /// What a reload can change.
    func live(_ logThreshold: LogThreshold) -> LiveParts {
        LiveParts(
            keys: keys, upstream: upstream, callLog: callLog, budget: budget, answerBudget: answerBudget,
            logThreshold: logThreshold, edge: edge, laneLoops: publicLoops + privateLoops, callers: callers)
    }
}

private func makePrivateDirectory(_ path: String) throws {
    if mkdir(path, 0o700) != 0, errno != EEXIST {
        throw GatewayStartError("cannot create the data directory \(path): \(String(cString: strerror(errno)))")
    }
}

extension Journal.Options {
    init(_ settings: Settings) {
        self.init(
            directory: settings.journal.directory, segmentSizeBytes: Int64(settings.journal.segmentSizeBytes),
            sizeMaxBytes: Int64(settings.journal.sizeMaxBytes), freeMinBytes: Int64(settings.journal.freeMinBytes),
            syncIntervalMilliseconds: settings.journal.syncInterval.milliseconds)
    }
}

extension EdgeOptions {
    init(_ settings: Settings) {
        let server = settings.server
        self.init(
            bodyMaxBytes: server.bodyMaxBytes, totalTimeout: .milliseconds(server.totalTimeout.milliseconds),
            headTimeout: .milliseconds(server.headTimeout.milliseconds), bodyTimeout: .milliseconds(server.bodyTimeout.milliseconds),
            keepAlive: .milliseconds(server.keepAliveTimeout.milliseconds),
            writeStall: .milliseconds(server.writeStallTimeout.milliseconds), bodyRateMin: server.bodyRateMin,
            writeRateMin: server.writeRateMin, proxies: ProxyRules(server),
            continuesWithoutJournal: settings.journal.onFailure == .continue)
    }
}

extension ProxyRules {
    init(_ server: Settings.Server) {
        self.init(
            trusted: server.trustedProxies, trustsUnix: server.trustsUnixSocket,
            header: server.clientAddressHeader == .forwarded ? .forwarded : .xForwardedFor)
    }
}

extension ServerTLS {
    /// - Returns: `nil` without `server.tls`.
    convenience init?(_ server: Settings.Server) throws {
        guard let tls = server.tls else { return nil }
        do throws(ServerTLSError) {
            try self.init(
                certificateFile: tls.certificateFile, keyFile: tls.keyFile, minimumVersion: tls.minimumVersion == .tls13 ? .tls13 : .tls12)
        } catch {
            throw GatewayStartError("server.tls: \(error)")
        }
    }
}
