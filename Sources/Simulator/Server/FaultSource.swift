import NIOConcurrencyHelpers
import Synchronization

/// Decides which calls fail: by rate from the flags, by scenario from the headers.
final class FaultSource: Sendable {
    private struct Scenarios {
        var counts: [String: Int] = [:]
        /// Names in order of arrival, so that the oldest can be forgotten.
        var order: [String] = []
    }

    /// Scenarios remembered at once; the oldest half is forgotten beyond that.
    private static let maximumScenarios = 65_536
    /// Where a call drawn by rate is cut or stalls when no count is given.
    private static let usualFrames = 8

    private let options: SimulatorOptions
    private let draws: Bool
    private let calls = Atomic<UInt64>(0)
    private let scenarios = NIOLockedValueBox(Scenarios())

    init(_ options: SimulatorOptions) {
        self.options = options
        let drawsFaults = options.faultRate < 1 && !options.faults.isEmpty
        draws = options.errorRate + options.rateLimitRate + options.stallRate + options.cutRate > 0 || drawsFaults
    }

    /// Adds this call's faults to its controls.
    ///
    /// The n-th call of a run has the same fate for the same `--seed`; a fault asked for by header wins over a drawn one.
    func decide(_ controls: inout RequestControls) {
        let call = calls.wrappingAdd(1, ordering: .relaxed).newValue
        controls.random = SeededRandom(seed: UInt64(bitPattern: Int64(controls.seed ?? 0)) &+ call &* 0xD129_0D3B_3F2A_9E67)
        controls.settleFaults()
        if let rate = controls.errorRate, controls.random.unit() >= rate { controls.errorStatus = nil }
        if let scenario = controls.scenario, let failFirst = controls.failFirst {
            controls.errorStatus = count(scenario) <= failFirst ? controls.errorStatus ?? 500 : nil
        } else if draws, controls.errorStatus == nil {
            draw(&controls, call)
        }
        if let flap = controls.faults.first(where: { $0.kind == .flap }) {
            let turn = (count("flap \(controls.scenario ?? "")") - 1) / flap.number
            if turn % 2 == 0 { controls.errorStatus = controls.errorStatus ?? 503 }
        }
        if controls.errorStatus == 429, controls.retryAfter == nil, !controls.hidesRetryAfter, controls.errorCode != "insufficient_quota" {
            controls.retryAfter = Self.seconds(options.retryAfterSeconds)
        }
    }

    func reset() {
        calls.store(0, ordering: .relaxed)
        scenarios.withLockedValue { $0 = Scenarios() }
    }

    private func draw(_ controls: inout RequestControls, _ call: UInt64) {
        var random = SeededRandom(seed: UInt64(bitPattern: Int64(options.seed ?? 0)) &+ call &* 0xD129_0D3B_3F2A_9E67)
        var left = random.unit()
        func takes(_ rate: Double) -> Bool {
            defer { left -= rate }
            return left >= 0 && left < rate
        }
        if takes(options.errorRate) {
            controls.errorStatus = options.errorStatus
        } else if takes(options.rateLimitRate) {
            controls.errorStatus = 429
        } else if takes(options.stallRate) {
            controls.stallAfter = controls.stallAfter ?? options.stallAfter ?? Self.usualFrames
        } else if takes(options.cutRate) {
            controls.cutAfter = controls.cutAfter ?? options.cutAfter ?? Self.usualFrames
        } else if options.faultRate < 1, takes(options.faultRate), controls.faults.isEmpty {
            controls.faults = options.faults
            controls.settleFaults()
        }
    }

    /// Which request of its scenario this is, from 1.
    private func count(_ scenario: String) -> Int {
        scenarios.withLockedValue { known in
            if let seen = known.counts[scenario] {
                known.counts[scenario] = seen + 1
                return seen + 1
            }
            if known.order.count >= Self.maximumScenarios {
                let forgotten = known.order.prefix(Self.maximumScenarios / 2)
                for name in forgotten { known.counts[name] = nil }
                known.order.removeFirst(forgotten.count)
            }
            known.counts[scenario] = 1
            known.order.append(scenario)
            return 1
        }
    }

    private static func seconds(_ number: Double) -> String {
        number == number.rounded() ? String(Int(number)) : String(number)
    }
}
