import Calling
import Contracts
import Edge
import Logging
import NIOCore
import Settings
import Telemetry
import Vocabulary

/// Everything of a running gateway that a reload can change.
struct LiveParts: Sendable {
    let keys: KeyService
    let upstream: UpstreamShared
    let callLog: CallLog
    let budget: BodyBudget
    let answerBudget: BodyBudget
    let logThreshold: LogThreshold
    let edge: EdgeReport
    let laneLoops: [NIOLoopBound<LaneLoop>]
    let callers: [NIOLoopBound<UpstreamCaller>]

    /// Puts settings in force. Whatever can fail comes first, so that they hold whole or not at all.
    ///
    /// The snapshot is the moment at which they begin to hold for calls: a call keeps the one that it began with, prices and providers included.
    func apply(_ settings: Settings) async throws(SettingsError) {
        let catalog = Catalog(settings, at: WallTime.now, after: keys.catalog)
        let preparing = await offPoolUntilCancelled { [upstream, providers = catalog.providers] in
            Result { () throws(CertificateFileError) in try upstream.prepare(providers) }
        }
        guard let preparing else { throw .shuttingDown(settings.file) }
        let prepared: UpstreamShared.Prepared
        do {
            prepared = try preparing.get()
        } catch {
            throw SettingsError(problems: [.init(file: settings.file, path: "providers", reason: "certificates cannot be used: \(error)")])
        }
        // The last thing that can fail: what it reads is in force at once.
        let reloading = await offPoolUntilCancelled { [tls = edge.tls] in Result { () throws(ServerTLSError) in try tls?.reload() } }
        guard let reloading else { throw .shuttingDown(settings.file) }
        do {
            try reloading.get()
        } catch {
            throw SettingsError(problems: [.init(file: settings.file, path: "server.tls", reason: "\(error)")])
        }
        upstream.adopt(prepared)
        budget.resize(to: settings.server.bufferedMaxBytes)
        answerBudget.resize(to: BodyBudget.answerBytes(settings.server))
        edge.gate.resize(
            connectionsMax: settings.server.connectionsMax ?? edge.files.connectionsMax,
            connectionsPerAddressMax: settings.server.connectionsPerAddressMax)
        callLog.policy = settings.log.calls
        logThreshold.level = .init(settings.log.level)
        keys.replace(catalog: catalog, adminKey: settings.adminKey?.value)
        let options = EdgeOptions(settings)
        let providers = catalog.providers
        // A loop that has been shut down has nothing that could be changed.
        for loop in laneLoops { try? await loop.eventLoop.submit { loop.value.apply(options) }.get() }
        for caller in callers { try? await caller.eventLoop.submit { caller.value.retain(only: providers) }.get() }
    }
}

extension BodyBudget {
    /// What answers that are kept whole may take, beside the bodies of requests.
    static func answerBytes(_ server: Settings.Server) -> Int { server.bufferedMaxBytes / 4 }
}

extension Logger.Level {
    /// The levels of the configuration have the names of swift-log's.
    init(_ level: Settings.LogLevel) {
        self = Logger.Level(rawValue: level.rawValue) ?? .info
    }
}
