import NIOCore
import NIOHTTP1
internal import Vocabulary

/// Limits of time: looked at a few times a second for all lanes of a loop, so a request arms no timer.
extension Lane {
    func tick(_ now: NIODeadline) {
        if isStalled(now) {
            call?.clientStalled()
            context?.close(promise: nil)
            return
        }
        switch phase {
        case .idle:
            if let headBegan {
                if now - headBegan > loop.options.headTimeout { timeOutHead() }
            } else if now - lastProgress > loop.options.keepAlive {
                context?.close(promise: nil)
            }
        case .callBody:
            tryBudget(now)
            if budgetWaitSince == nil, now - lastProgress > loop.options.bodyTimeout {
                giveUpInput()
                call?.bodyIsLate()
            } else {
                call?.tick(now)
            }
        case .dropBody(let then):
            guard now - lastProgress > loop.options.bodyTimeout else { return }
            giveUpInput()
            send(then)
        case .controlBody:
            tryBudget(now)
            // The whole of it, not only the pause between two bytes: these bodies are small, and anybody may send one.
            guard case .controlBody = phase, now - requestBegan > loop.options.bodyTimeout else { return }
            giveUpInput()
            refuse(.requestTimeout)
        case .call: call?.tick(now)
        case .lingering(let until): if now > until { context?.close(promise: nil) }
        case .control, .closed: break
        }
    }

    /// Whether the client has taken nothing for too long. One that takes little, but takes it, is only slow.
    func isStalled(_ now: NIODeadline) -> Bool {
        guard let since = unwritableSince, let context else { return false }
        let unwritten = (try? context.channel.syncOptions?.getOption(.bufferedWritableBytes)) ?? 0
        if unwritten < unwrittenBytes { unwritableSince = now }
        unwrittenBytes = unwritten
        return now - since > loop.options.writeStall && unwritableSince == since
    }

    func timeOutHead() {
        requestID = loop.makeRequestID()
        facts = RequestFacts(HTTPRequestHead(version: .http1_1, method: .GET, uri: "/"))
        giveUpInput()
        phase = .controlBody
        send(.refusal(.requestTimeout, attempts: 0))
    }
}
