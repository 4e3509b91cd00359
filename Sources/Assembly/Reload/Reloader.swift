package import Contracts
package import Logging
package import Settings
import Synchronization
import Vocabulary

/// Reads the configuration anew when it is asked to, one reload after the other, and keeps what is in force.
package final class Reloader: ConfigurationControlling {
    private struct State {
        var settings: Settings
        var configuration: ConfigurationState
        /// Of the file when it was last read.
        var contentHash: Int
    }

    private struct Order: Sendable {
        var trigger: ReloadTrigger
        var answer: CheckedContinuation<Result<ConfigurationState, ConfigurationRefusal>, Never>
    }

    let source: ConfigurationSource
    private let logger: Logger
    private let state: Mutex<State>
    private let orders: AsyncStream<Order>
    private let queue: AsyncStream<Order>.Continuation
    /// Ends when no reload is worth waiting for any more.
    private let patience: AsyncStream<Void>
    private let impatience: AsyncStream<Void>.Continuation

    /// Reloads that may wait; more are refused.
    private static let waitingMax = 64
    private static let ending = "the gateway is shutting down"
    /// Mistakes that are told of one configuration.
    private static let problemsMax = 100

    package init(settings: Settings, source: ConfigurationSource, logger: Logger) {
        self.source = source
        self.logger = logger
        let configuration = ConfigurationState(
            generation: 1, loadedAt: WallTime.now, trigger: .start, file: settings.file, settingsJSON: settings.effective.json,
            warnings: settings.warnings)
        state = Mutex(State(settings: settings, configuration: configuration, contentHash: source.firstContentHash))
        (patience, impatience) = AsyncStream.makeStream()
        (orders, queue) = AsyncStream.makeStream(bufferingPolicy: .bufferingOldest(Reloader.waitingMax))
    }

    /// What is in force.
    var settings: Settings { state.withLock { $0.settings } }

    package var configuration: ConfigurationState { state.withLock { $0.configuration } }

    /// Of the file when it was last read, to tell a change that nobody has seen yet.
    var contentHash: Int { state.withLock { $0.contentHash } }

    package func reload(_ trigger: ReloadTrigger) async throws(ConfigurationRefusal) -> ConfigurationState {
        let result = await withCheckedContinuation { continuation in
            let order = Order(trigger: trigger, answer: continuation)
            switch queue.yield(order) {
            case .enqueued: break
            case .dropped: continuation.resume(returning: .failure(Reloader.refusal(trigger, "too many reloads are waiting")))
            case .terminated: continuation.resume(returning: .failure(Reloader.refusal(trigger, Reloader.ending)))
            @unknown default: continuation.resume(returning: .failure(Reloader.refusal(trigger, "it was not taken")))
            }
        }
        return try result.get()
    }

    private static func refusal(_ trigger: ReloadTrigger, _ reason: String) -> ConfigurationRefusal {
        ConfigurationRefusal(at: WallTime.now, trigger: trigger, problems: [ConfigurationProblem(path: "", reason: reason)])
    }

    /// Carries out what is ordered until ``finish()`` or ``giveUp()``, or until the task is cancelled: whoever then still waits is refused, and
    /// so is whoever comes later.
    ///
    /// - Parameter apply: puts settings in force, whole or not at all.
    package func run(_ apply: @escaping @Sendable (Settings) async throws(SettingsError) -> Void) async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { for await _ in self.patience {} }
            group.addTask { await self.carryOutOrders(apply) }
            await group.next()
            group.cancelAll()
        }
    }

    private func carryOutOrders(_ apply: @Sendable (Settings) async throws(SettingsError) -> Void) async {
        for await order in orders {
            guard !Task.isCancelled else {
                order.answer.resume(returning: .failure(Reloader.refusal(order.trigger, Reloader.ending)))
                continue
            }
            do throws(ConfigurationRefusal) {
                order.answer.resume(returning: .success(try await carryOut(order.trigger, apply)))
            } catch {
                order.answer.resume(returning: .failure(error))
            }
        }
        queue.finish()
    }

    /// Takes no more orders; those that wait are still carried out.
    package func finish() { queue.finish() }

    /// Takes no more orders and waits no longer for the one that runs, though a disk may still owe it a file; for when nobody is left who
    /// would notice that it came into force.
    package func giveUp() {
        queue.finish()
        impatience.finish()
    }

    // MARK: One reload

    private func carryOut(
        _ trigger: ReloadTrigger, _ apply: (Settings) async throws(SettingsError) -> Void
    ) async throws(ConfigurationRefusal) -> ConfigurationState {
        // Before the reading: a change in between is then seen by the next look.
        let contentHash = await source.contentHash()
        state.withLock { $0.contentHash = contentHash }
        do throws(SettingsError) {
            let next = try await source.load()
            let (settings, fixed) = settings.reloaded(with: next)
            try await apply(settings)
            return taken(settings, fixed, trigger)
        } catch {
            throw refused(error, trigger)
        }
    }

    private func taken(_ settings: Settings, _ fixed: [Settings.FixedChange], _ trigger: ReloadTrigger) -> ConfigurationState {
        let configuration = state.withLock { state in
            state.settings = settings
            state.configuration = ConfigurationState(
                generation: state.configuration.generation + 1, loadedAt: WallTime.now, trigger: trigger, file: settings.file,
                settingsJSON: settings.effective.json, warnings: settings.warnings,
                needsRestart: fixed.map { RestartNeed(path: $0.path, inForce: $0.inForce, wanted: $0.wanted) },
                reloadsTaken: state.configuration.reloadsTaken + 1, reloadsRefused: state.configuration.reloadsRefused)
            return state.configuration
        }
        logger.notice(
            "configuration reloaded",
            metadata: ["generation": "\(configuration.generation)", "trigger": "\(trigger.rawValue)", "models.count": "\(settings.models.count)"])
        for warning in settings.warnings { logger.warning("configuration warning", metadata: ["warning": "\(warning)"]) }
        for need in fixed {
            logger.warning(
                "a changed value needs a restart",
                metadata: ["path": "\(need.path)", "in_force": "\(need.inForce ?? "none")", "wanted": "\(need.wanted ?? "none")"])
        }
        return configuration
    }

    private func refused(_ error: SettingsError, _ trigger: ReloadTrigger) -> ConfigurationRefusal {
        var problems = error.problems.prefix(Reloader.problemsMax).map(ConfigurationProblem.init)
        if error.problems.count > problems.count {
            problems.append(ConfigurationProblem(path: "", reason: "and \(error.problems.count - problems.count) more mistakes"))
        }
        let refusal = ConfigurationRefusal(at: WallTime.now, trigger: trigger, problems: problems)
        state.withLock { state in
            state.configuration.lastRefusal = refusal
            state.configuration.reloadsRefused += 1
        }
        logger.error(
            "configuration refused; the one before stays in force",
            metadata: ["trigger": "\(trigger.rawValue)", "problems": .array(error.problems.prefix(Reloader.problemsMax).map { "\($0)" })])
        return refusal
    }
}

extension ConfigurationProblem {
    fileprivate init(_ problem: SettingsError.Problem) {
        self.init(
            file: problem.file, line: problem.line, column: problem.column, variable: problem.variable, path: problem.path,
            reason: problem.reason)
    }
}
