import Contracts
import Logging
import Settings
import Synchronization
import Vocabulary

/// Log lines about calls, off the path of a call: which calls get one is the configuration's choice, and a flood is counted instead.
///
/// Never a prompt, an answer or a key: only what a usage row has.
final class CallLog: CallLogging {
    private let lines: AsyncStream<UsageRecord>
    private let queue: AsyncStream<UsageRecord>.Continuation
    private let logger: Logger
    private let policyIndex: Atomic<Int>

    /// Lines that may wait to be written; more are dropped and counted.
    private static let waitingMax = 8_192

    init(logger: Logger, policy: Settings.CallLogging) {
        self.logger = logger
        policyIndex = Atomic(CallLog.index(of: policy))
        (lines, queue) = AsyncStream.makeStream(bufferingPolicy: .bufferingOldest(CallLog.waitingMax))
    }

    /// Which calls get a line; may be changed at any time.
    var policy: Settings.CallLogging {
        get { Settings.CallLogging.allCases[policyIndex.load(ordering: .relaxed)] }
        set { policyIndex.store(CallLog.index(of: newValue), ordering: .relaxed) }
    }

    /// Every policy is one of `allCases`.
    private static func index(of policy: Settings.CallLogging) -> Int { Settings.CallLogging.allCases.firstIndex(of: policy) ?? 0 }

    func ended(_ record: UsageRecord) {
        switch policy {
        case .none: return
        case .failures where record.outcome == .success: return
        case .failures, .all: queue.yield(record)
        }
    }

    /// Writes lines until ``finish()``.
    func run() async {
        for await record in lines {
            let level: Logger.Level =
                switch record.outcome {
                case .success, .refused, .clientGone: .info
                case .upstreamError, .timeout, .streamCut, .drained: .warning
                }
            logger.log(level: level, "call ended", metadata: metadata(of: record))
        }
    }

    func finish() { queue.finish() }

    private func metadata(of record: UsageRecord) -> Logger.Metadata {
        [
            "request.id": "\(record.requestID)",
            "record.id": "\(record.id.text)",
            "endpoint": "\(record.endpoint.name)",
            "model": "\(record.requestedModel)",
            "provider": "\(record.provider)",
            "outcome": "\(record.outcome.name)",
            "status": .stringConvertible(record.status),
            "error.code": "\(record.errorCode)",
            "caller.id": "\(record.keyID)",
            "tenant": "\(record.tenant)",
            "latency.us": .stringConvertible(record.latencyMicroseconds),
            "attempts": .stringConvertible(record.attempts),
            "usage.input": .stringConvertible(record.tokens.input),
            "usage.output": .stringConvertible(record.tokens.output),
            "cost.nano_usd": .stringConvertible(record.cost.nanodollars),
        ]
    }
}
