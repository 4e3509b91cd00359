internal import Contracts
internal import Dialects
import NIOCore
internal import Vocabulary
internal import Walk

/// The record of a call: what it used, what it cost, how it ended.
extension ModelCall {
    func writeRecord(_ outcome: Outcome, _ error: GatewayError?) {
        let now = NIODeadline.now()
        var outcome = outcome
        var error = error
        if outcome == .success, case .events = passing, stream.hasError {
            // The provider ended its stream with an error of its own, which the client has seen.
            outcome = .upstreamError
            error = .streamCut(provider: deployment?.provider.id ?? "")
        }
        let tokens = usage(outcome)
        let latency = (now - began).nanoseconds / 1000
        let record = UsageRecord(
            id: loop.settler.nextRecordID(), startedAt: startedAt, requestID: requestID,
            tenant: principal?.tenant ?? "", team: principal?.team ?? "", agent: principal?.agent ?? "", user: principal?.user ?? "",
            keyID: principal?.keyID ?? "", endpoint: endpoint, isStream: request?.isStream ?? false, requestedModel: request?.model ?? "",
            servedModel: deployment?.model ?? "", provider: deployment?.provider.id ?? "", deployment: deployment?.name ?? "",
            tokens: tokens, cost: model?.price.cost(of: tokens) ?? .zero, priceVersion: model?.priceVersion ?? "",
            priceIsKnown: model?.price.isKnown ?? true, latencyMicroseconds: latency,
            firstByteMicroseconds: firstByteAt.map { ($0 - began).nanoseconds / 1000 } ?? -1,
            overheadMicroseconds: max(0, latency - waitedNanoseconds / 1000), attempts: Int64(walk.attempts), outcome: outcome,
            status: Int64(status(outcome, error)), errorCode: error?.code ?? leaveReason, fallbackReason: fallbackReason,
            promptBytes: Int64(bodyBytes), clientAddress: lane.clientAddress, endUser: request?.endUser ?? "", session: facts.session,
            tags: facts.tags)
        recorded = Recorded(cost: record.cost, tokens: tokens, latencyMicroseconds: latency, overheadMicroseconds: record.overheadMicroseconds)
        if let hold = hold.take() {
            loop.settler.callEnded()
            report(loop.settler.settle(record, hold: hold) ? .journaled : .journalFailed)
        } else {
            loop.settler.refuse(record, isAuthenticated: principal != nil)
            report(.journaled)
        }
    }

    /// What the provider counted; where it did not, an estimate of what it has produced.
    private func usage(_ outcome: Outcome) -> TokenUsage {
        // An error under the status of a success is no begun answer either.
        guard providersError == nil else { return TokenUsage() }
        switch passing {
        case .nothing: return TokenUsage()
        case .whole:
            guard let status = answerHead?.status, status < 400 else { return TokenUsage() }
            if let usage = meter.usage { return usage }
            return estimatedUsage(promptBytes: Int64(bodyBytes), contentBytes: meter.contentBytes, contentEvents: 0)
        case .raw:
            if let usage = meter.usage { return usage }
            return estimatedUsage(promptBytes: Int64(bodyBytes), contentBytes: meter.contentBytes, contentEvents: 0)
        case .events:
            if let usage = stream.usage { return usage }
            return estimatedUsage(promptBytes: Int64(bodyBytes), contentBytes: stream.contentBytes, contentEvents: stream.contentEvents)
        }
    }

    /// The status that the client sees, or 0 when it sees none.
    private func status(_ outcome: Outcome, _ error: GatewayError?) -> Int {
        if walk.hasForwardedHead { return answerHead?.status ?? 200 }
        if outcome == .clientGone { return 0 }
        if let error { return error.status }
        return answerHead?.status ?? 0
    }
}
