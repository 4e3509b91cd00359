import Assembly
import Contracts
import Dispatch
import Logging
import Settings
import Testing

@Suite struct ReloaderTests {
    private func settings() throws -> Settings {
        let yaml = """
            providers: [{ id: sim, base_url: "http://127.0.0.1:9900/v1" }]
            models: [{ name: m, deployments: [{ provider: sim }] }]
            """
        return try Settings.load(yaml: yaml, file: "t.yaml", environment: [:], overrides: [])
    }

    private func reloader() throws -> Reloader {
        let settings = try settings()
        return Reloader(
            settings: settings, source: ConfigurationSource(file: nil) { () throws(SettingsError) in settings },
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    /// `taken`, or why not.
    private static func outcome(_ reloader: Reloader) async -> String {
        do throws(ConfigurationRefusal) {
            _ = try await reloader.reload(.api)
            return "taken"
        } catch {
            return error.problems.map(\.reason).joined()
        }
    }

    @Test func `who waits for a reload when the gateway ends at once is told so`() async throws {
        let reloader = try reloader()
        let (began, begin) = AsyncStream.makeStream(of: Void.self)
        // Begun on the spot: all three wait before the first is carried out.
        let waiting = (0..<3).map { _ in Task.immediate { await ReloaderTests.outcome(reloader) } }
        let running = Task {
            await reloader.run { _ in
                begin.yield()
                // Ends when it is cancelled.
                try? await Task.sleep(for: .seconds(3600))
            }
        }
        for await _ in began { break }
        running.cancel()
        await running.value
        var outcomes: [String] = []
        for task in waiting { outcomes.append(await task.value) }
        #expect(outcomes == ["taken", "the gateway is shutting down", "the gateway is shutting down"])
        #expect(await ReloaderTests.outcome(reloader) == "the gateway is shutting down")
        #expect(reloader.configuration.reloadsTaken == 1)
    }

    @Test func `a file that never comes keeps nobody from ending`() async throws {
        let settings = try settings()
        let (reading, begins) = AsyncStream.makeStream(of: Void.self)
        let never = DispatchSemaphore(value: 0)
        let source = ConfigurationSource(file: nil) { () throws(SettingsError) in
            begins.yield()
            never.wait()
            return settings
        }
        let reloader = Reloader(settings: settings, source: source, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        let waiting = (0..<2).map { _ in Task.immediate { await ReloaderTests.outcome(reloader) } }
        let running = Task { await reloader.run { _ in } }
        for await _ in reading { break }
        reloader.giveUp()
        await running.value
        for task in waiting { #expect(await task.value == "the gateway is shutting down") }
        #expect(reloader.configuration.reloadsTaken == 0)
        never.signal()
    }

    @Test func `an orderly end still carries out what waits`() async throws {
        let reloader = try reloader()
        let waiting = (0..<3).map { _ in Task.immediate { await ReloaderTests.outcome(reloader) } }
        reloader.finish()
        await reloader.run { _ in }
        for task in waiting { #expect(await task.value == "taken") }
        #expect(await ReloaderTests.outcome(reloader) == "the gateway is shutting down")
    }
}
