import NIOCore
internal import Vocabulary

/// Limits of time and of rates: looked at a few times a second for all lanes of a loop, so a request arms no timer.
extension Lane {
    func tick(_ now: NIODeadline) {
        if let openingSince, now - openingSince > loop.options.headTimeout, !isRefused {
            loop.counters.count(entry.isTLS ? .handshakeTimeout : .headTimeout)
            return reset()
        }
        if endsSlowReader(now) { return }
        switch phase {
        case .idle:
            if let headBegan {
                if now - headBegan > loop.options.headTimeout { timeOutHead() }
            } else if now - lastProgress > loop.options.keepAlive, openingSince == nil {
                idleIsOver(now)
            }
        case .callBody:
            tryBudget(now)
            if budgetWaitSince == nil, isBodySlow(now) {
                giveUpInput()
                call?.bodyIsLate()
            } else {
                call?.tick(now)
            }
        case .dropBody(let then):
            guard isBodySlow(now) || now - requestBegan > loop.options.totalTimeout else { return }
            giveUpInput()
            send(then)
        case .controlBody:
            tryBudget(now)
            // The whole of it, not only the pause between two bytes: these bodies are small, and anybody may send one.
            guard case .controlBody = phase, now - requestBegan > loop.options.bodyTimeout else { return }
            loop.counters.count(.bodyTimeout)
            giveUpInput()
            refuse(.requestTimeout)
        case .call: call?.tick(now)
        case .lingering(let until): if now > until { context?.close(promise: nil) }
        case .control, .closed: break
        }
    }

    func timeOutHead() {
        loop.counters.count(.headTimeout)
        facts = nil
        refuseHead(.requestTimeout)
    }

    /// Whether a body makes no progress, or less than the least rate asks for in a window: one byte a second is progress, too.
    private func isBodySlow(_ now: NIODeadline) -> Bool {
        let timeout = loop.options.bodyTimeout
        if now - lastProgress > timeout {
            loop.counters.count(.bodyTimeout)
            return true
        }
        guard now - windowBegan > timeout else { return false }
        let isSlow = windowBytes < bytes(at: loop.options.bodyRateMin, for: timeout)
        windowBegan = now
        windowBytes = 0
        if isSlow { loop.counters.count(.bodyRate) }
        return isSlow
    }

    // MARK: Readers

    /// Ends the connection of a client that takes nothing of its answer, or next to nothing. One that takes little is only slow.
    private func endsSlowReader(_ now: NIODeadline) -> Bool {
        guard isUnsent else {
            writeWatch = nil
            return false
        }
        guard var watch = writeWatch else {
            writeWatch = WriteWatch(at: unwritableSince ?? now, taken: takenBytes)
            return false
        }
        // A look costs system calls, so not at every tick.
        guard now - watch.lookedAt >= min(.seconds(1), .nanoseconds(loop.options.writeStall.nanoseconds / 4)) else { return false }
        let verdict = watch.look(taken: takenBytes, at: now, stall: loop.options.writeStall, leastRate: loop.options.writeRateMin)
        writeWatch = watch
        switch verdict {
        case .fine: return false
        case .stalled: loop.counters.count(.writeStall)
        case .slow: loop.counters.count(.writeRate)
        }
        // First, since the call closes the connection when it hears of this.
        context?.channel.closesByReset()
        call?.clientStalled()
        context?.close(promise: nil)
        return true
    }

    /// Whether more waits for the client than may, or anything at all where only the client's reading can end the wait: a last answer, or one of
    /// the control plane, whose end may be too little to make the channel unwritable.
    private var isUnsent: Bool {
        if unwritableSince != nil { return true }
        switch phase {
        case .control, .closed: return bufferedBytes > 0
        case .idle, .callBody, .call, .dropBody, .lingering, .controlBody: return false
        }
    }

    private var bufferedBytes: Int { (try? context?.channel.syncOptions?.getOption(.bufferedWritableBytes)) ?? 0 }

    /// What the client has taken of all that was ever written, but for a constant and for what encryption adds.
    var takenBytes: Int { writtenBytes - unsentBytes }

    /// What has been written and not been taken by the client: what waits here, and what waits in the kernel.
    ///
    /// The kernel tells of progress in steps of a good part of its buffer only, and a slow reader may need minutes for one; so it is asked.
    var unsentBytes: Int {
        guard let channel = context?.channel else { return 0 }
        return bufferedBytes + channel.kernelUnsentBytes
    }

    /// The connection has carried nothing for long. Where the client still takes its last answer, it may finish; where it does not, the kernel
    /// is told to forget the rest, since it would keep it for as long as the client likes.
    private func idleIsOver(_ now: NIODeadline) {
        let unsent = unsentBytes
        guard unsent > 0 else {
            context?.close(promise: nil)
            return
        }
        if let before = idleUnsentBytes, before - unsent < max(1, bytes(at: loop.options.writeRateMin, for: loop.options.keepAlive)) {
            loop.counters.count(.writeRate)
            return reset()
        }
        idleUnsentBytes = unsent
        lastProgress = now
    }
}
