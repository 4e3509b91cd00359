internal import Dialects
import NIOCore
internal import Vocabulary

/// Bodies of requests, and the memory that all of them share.
extension Lane {
    func takeBody(_ bytes: ByteBuffer) {
        windowBytes += bytes.readableBytes
        switch phase {
        case .callBody:
            guard takeRoom(for: bytes) else { return }
            guard body.readableBytes + bytes.readableBytes <= loop.options.bodyMaxBytes else {
                call?.refuse(.bodyTooLarge(limitBytes: loop.options.bodyMaxBytes))
                return
            }
            append(bytes)
        case .controlBody:
            guard takeRoom(for: bytes) else { return }
            guard body.readableBytes + bytes.readableBytes <= loop.options.controlBodyMaxBytes else {
                refuse(.bodyTooLarge(limitBytes: loop.options.controlBodyMaxBytes))
                return
            }
            append(bytes)
        case .dropBody, .lingering: drop(bytes)
        case .idle, .call, .control, .closed: break
        }
    }

    /// What comes behind a refusal is read, so that the client can read that, but not for ever.
    func drop(_ bytes: ByteBuffer) {
        droppedBytes += bytes.readableBytes
        if droppedBytes > Lane.dropMaxBytes { context?.close(promise: nil) }
    }

    func append(_ bytes: ByteBuffer) {
        // As it came, unless the few bytes would keep a large buffer for as long as the call takes.
        if body.readableBytes == 0, facts?.contentLength == bytes.readableBytes,
            bytes.storageCapacity <= max(Lane.keptBufferBytes, 4 * bytes.readableBytes)
        {
            body = bytes
            return
        }
        if body.capacity == 0, let length = facts?.contentLength {
            // All of it at once, and what the scanner wants to be readable behind it.
            body = ByteBufferAllocator().buffer(capacity: length + OpenAIRequestScanner.padding)
        }
        body.writeImmutableBuffer(bytes)
    }

    private static let keptBufferBytes = 8 << 10

    func endBody() {
        switch phase {
        case .callBody:
            phase = .call
            call?.bodyIsHere(body)
        case .controlBody: submitControl()
        case .dropBody(let then): send(then)
        case .idle, .call, .control, .lingering, .closed: break
        }
    }

    // MARK: The memory budget

    func reserveBody(_ facts: RequestFacts) {
        guard let length = facts.contentLength, length > 0 else { return }
        if loop.budget.take(length) { budgetHeld = length } else { waitForBudget() }
    }

    /// For bodies that do not say how long they are: room as they grow.
    func takeRoom(for bytes: ByteBuffer) -> Bool {
        let needed = body.readableBytes + bytes.readableBytes
        if needed <= budgetHeld { return true }
        if loop.budget.take(needed - budgetHeld) {
            budgetHeld = needed
            return true
        }
        // In front: what waits already came behind it.
        waiting.prepend(.body(bytes))
        waitForBudget()
        return false
    }

    func waitForBudget() {
        if budgetWaitSince == nil { budgetWaitSince = .now() }
    }

    func tryBudget(_ now: NIODeadline) {
        guard let since = budgetWaitSince else { return }
        let needed = facts?.contentLength ?? body.readableBytes + 65_536
        if loop.budget.take(needed - budgetHeld) {
            budgetHeld = needed
            budgetWaitSince = nil
            lastProgress = now
            windowBegan = now
            windowBytes = 0
            takeWaiting()
        } else if now - since > loop.options.budgetWait {
            budgetWaitSince = nil
            if let call { call.refuse(.overloaded) } else { refuse(.overloaded) }
            takeWaiting()
        }
    }

    /// Room for an answer that is kept whole, beyond what every call may have.
    ///
    /// - Parameter total: what is kept of it by now, in bytes.
    /// - Returns: whether it may be kept on.
    func holdAnswer(_ total: Int) -> Bool {
        guard total > answerHeld else { return true }
        let wanted = (total + Lane.answerStepBytes - 1) / Lane.answerStepBytes * Lane.answerStepBytes
        guard loop.answerBudget.take(wanted - answerHeld) else { return false }
        answerHeld = wanted
        return true
    }

    func releaseAnswer() {
        guard answerHeld > 0 else { return }
        loop.answerBudget.giveBack(answerHeld)
        answerHeld = 0
    }

    /// What every answer may take without asking, and by what the room for larger ones grows.
    static let answerStepBytes = 64 << 10

    func releaseBody() {
        body = ByteBuffer()
        if budgetHeld > 0 {
            loop.budget.giveBack(budgetHeld)
            budgetHeld = 0
        }
    }
}
