import Contracts
internal import Files
import ServiceLifecycle
import Settings
import UnixSignals

/// Reloads the configuration: at SIGHUP, when its file changes, and when the management API asks for it.
struct ReloadService: Service {
    let reloader: Reloader
    let parts: LiveParts

    /// How long a change must have settled: an editor that writes in several steps is read after the last one.
    private static let settling = Duration.milliseconds(100)
    /// After that many looks a file that never settles is read all the same.
    private static let settlingLooksMax = 50
    /// How often a gateway that does not watch looks whether it should by now.
    private static let pause = Duration.seconds(1)

    func run() async throws {
        await withGracefulShutdownHandler {
            await withTaskGroup(of: Void.self) { group in
                group.addTask { await cancelWhenGracefulShutdown { await onSignals() } }
                group.addTask { await cancelWhenGracefulShutdown { await watch() } }
                await reloader.run { settings throws(SettingsError) in try await parts.apply(settings) }
                group.cancelAll()
            }
            // A service that ends before its turn would end all others at once.
            try? await gracefulShutdown()
        } onGracefulShutdown: {
            reloader.finish()
        }
    }

    private func onSignals() async {
        for await _ in await UnixSignalsSequence(trapping: .sighup) { await reload(.signal) }
    }

    private func watch() async {
        var known = await reloader.source.fingerprint()
        // The first look compares contents, for what has changed between the start's reading and now.
        var isFirst = true
        while !Task.isCancelled {
            let settings = reloader.settings.reload
            guard settings.watch else {
                try? await Task.sleep(for: ReloadService.pause)
                isFirst = true
                continue
            }
            let found = await reloader.source.fingerprint()
            if found != known || isFirst {
                isFirst = false
                known = await settled(found)
                // A file that was touched, or that a reload has read since, says nothing new.
                if await reloader.source.contentHash() != reloader.contentHash { await reload(.watch) }
            }
            try? await Task.sleep(for: settings.interval)
        }
    }

    /// Waits until the file is the same at two looks.
    private func settled(_ first: FileFingerprint) async -> FileFingerprint {
        var last = first
        for _ in 0..<ReloadService.settlingLooksMax {
            try? await Task.sleep(for: ReloadService.settling)
            let now = await reloader.source.fingerprint()
            if now == last || Task.isCancelled { return now }
            last = now
        }
        return last
    }

    private func reload(_ trigger: ReloadTrigger) async {
        do throws(ConfigurationRefusal) {
            _ = try await reloader.reload(trigger)
        } catch {
            // The reloader has logged why; the next change or signal tries again.
        }
    }
}
