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
import UnixSignals
import Vocabulary

/// The whole gateway: builds every part from the configuration, runs them as services, and ends them in order.
package struct Gateway: Sendable {
    private let settings: Settings
    private let logger: Logger

    package init(settings: Settings, logger: Logger) {
        self.settings = settings
        self.logger = logger
    }

    /// Runs until SIGTERM or SIGINT, then drains and returns.
    ///
    /// - Throws: ``GatewayStartError`` when the gateway cannot be started, in words for an operator.
    package func run() async throws {
        signal(SIGPIPE, SIG_IGN)
        // Only SIGTERM and SIGINT end a gateway; a terminal that is closed must not cut running calls.
        signal(SIGHUP, SIG_IGN)
        raiseFileLimit()
        let parts = try await GatewayParts(settings: settings, logger: logger)
        // The group ends services from the last to the first: first the edge drains, then the control plane, and the journal is shipped last.
        let services: [any Service] = [
            ShippingService(shipper: parts.shipper, journal: parts.journal),
            CallLogService(log: parts.callLog),
            KeyWatchService(keys: parts.keys),
            ControlService(dispatchers: parts.dispatchers),
            EdgeService(parts: parts, settings: settings, logger: logger),
        ]
        let group = ServiceGroup(
            configuration: ServiceGroupConfiguration(
                services: services.map { ServiceGroupConfiguration.ServiceConfiguration(service: $0) },
                gracefulShutdownSignals: [.sigterm, .sigint],
                logger: Logger(label: "martlet.lifecycle") { _ in SwiftLogNoOpLogHandler() }))
        try await group.run()
        try await parts.group.shutdownGracefully()
        logger.notice("martlet has ended")
    }

    /// As many files as the system lets us have: every stream is two of them.
    private func raiseFileLimit() {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0, limit.rlim_cur < limit.rlim_max else { return }
        limit.rlim_cur = limit.rlim_max
        setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
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
    let drain = DrainState()
    let health: GatewayHealth
    let callLog: CallLog
    let publicLoops: [NIOLoopBound<LaneLoop>]
    let privateLoops: [NIOLoopBound<LaneLoop>]
    let callers: [NIOLoopBound<UpstreamCaller>]
    let dispatchers: [ControlDispatcher]

    init(settings: Settings, logger: Logger) async throws {
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
        let upstream = UpstreamShared()
        do {
            try upstream.warmUp(catalog.providers)
        } catch {
            throw GatewayStartError("the certificates of a provider cannot be read: \(error)")
        }
        let health = GatewayHealth(
            journal: journal, shipper: shipper, store: store, snapshots: keys.snapshots, drain: drain,
            refusesWithoutJournal: settings.journal.onFailure == .refuse)
        let callLog = CallLog(logger: logger, policy: settings.log.calls)
        let group = MultiThreadedEventLoopGroup(numberOfThreads: loops)
        let meters = (0..<loops).map { _ in LoopMeters() }
        let connections = ConnectionCount()
        let metrics = GatewayMetrics(
            meters: meters, journal: journal, upstream: upstream, snapshots: keys.snapshots, connections: { await connections.total() })
        func plane(isPrivate: Bool) -> ManagementPlane {
            ManagementPlane(
                keys: keys, credentials: keys, usage: store, shipping: shipper, health: health, metrics: metrics,
                snapshots: keys.snapshots, logger: logger, version: MartletVersion.current, isPrivate: isPrivate)
        }
        let publicControl = ControlDispatcher(plane: plane(isPrivate: false))
        let privateControl = ControlDispatcher(plane: plane(isPrivate: true))
        let options = EdgeOptions(settings)
        let budget = BodyBudget(bytes: settings.server.bufferedMaxBytes)

        var publicLoops: [NIOLoopBound<LaneLoop>] = []
        var privateLoops: [NIOLoopBound<LaneLoop>] = []
        var callers: [NIOLoopBound<UpstreamCaller>] = []
        let drain = drain
        for (index, loop) in group.makeIterator().enumerated() {
            let made = try await loop.submit {
                let loopJournal = journal.loopJournal(index)
                let settler = CallSettler(journal: loopJournal, meters: meters[index], log: callLog)
                let caller = UpstreamCaller(loop: loop, shared: upstream)
                func lanes(_ control: ControlDispatcher) -> LaneLoop {
                    LaneLoop(
                        loop: loop, options: options, snapshots: keys.snapshots, identifier: KeyIdentifier(),
                        admission: ModelAdmission(
                            room: loopJournal, keeper: settler, continuesWithoutJournal: options.continuesWithoutJournal),
                        router: OrderedRouter(), caller: caller, settler: settler, control: control, budget: budget, drainState: drain,
                        onSecond: { settler.flushRefusals() })
                }
                return (
                    NIOLoopBound(lanes(publicControl), eventLoop: loop), NIOLoopBound(lanes(privateControl), eventLoop: loop),
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
        self.health = health
        self.callLog = callLog
        self.publicLoops = publicLoops
        self.privateLoops = privateLoops
        self.callers = callers
        dispatchers = [publicControl, privateControl]
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
            writeStall: .milliseconds(server.writeStallTimeout.milliseconds),
            continuesWithoutJournal: settings.journal.onFailure == .continue)
    }
}
