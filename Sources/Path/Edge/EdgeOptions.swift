package import NIOCore

/// The bounds of the edge (PRODUCT A11).
package struct EdgeOptions: Sendable {
    /// The largest request body, in bytes.
    package var bodyMaxBytes: Int
    /// The largest body of a control-plane request, in bytes.
    package var controlBodyMaxBytes: Int
    /// The largest answer that is kept whole so that its headers can tell the cost, in bytes.
    package var plainAnswerMaxBytes: Int
    /// Bodies above this are scanned on another thread, in bytes.
    package var scanOnLoopMaxBytes: Int
    /// The time for a whole call.
    package var totalTimeout: TimeAmount
    /// The time for a head, from its first byte on.
    package var headTimeout: TimeAmount
    /// The time without a byte of a body.
    package var bodyTimeout: TimeAmount
    /// How long a connection may be idle.
    package var keepAlive: TimeAmount
    /// How long a client may take no byte of its answer.
    package var writeStall: TimeAmount
    /// What a body must bring in every window of ``bodyTimeout``, in bytes a second; 0 for no such limit.
    package var bodyRateMin: Int
    /// What a client must take in every window of ``writeStall`` while its answer waits for it, in bytes a second; 0 for no such limit.
    package var writeRateMin: Int
    /// Whose word counts for the address of a client.
    package var proxies: ProxyRules
    /// How long a body may wait for the process's budget.
    package var budgetWait: TimeAmount
    /// `journal.on_failure: continue`.
    package var continuesWithoutJournal: Bool

    package init(
        bodyMaxBytes: Int = 10 << 20, controlBodyMaxBytes: Int = 64 << 10, plainAnswerMaxBytes: Int = 1 << 20,
        scanOnLoopMaxBytes: Int = 256 << 10, totalTimeout: TimeAmount = .seconds(180), headTimeout: TimeAmount = .seconds(15),
        bodyTimeout: TimeAmount = .seconds(30), keepAlive: TimeAmount = .seconds(75), writeStall: TimeAmount = .seconds(30),
        bodyRateMin: Int = 1 << 10, writeRateMin: Int = 1 << 10, proxies: ProxyRules = ProxyRules(), budgetWait: TimeAmount = .seconds(5),
        continuesWithoutJournal: Bool = false
    ) {
        self.bodyMaxBytes = bodyMaxBytes
        self.controlBodyMaxBytes = controlBodyMaxBytes
        self.plainAnswerMaxBytes = plainAnswerMaxBytes
        self.scanOnLoopMaxBytes = scanOnLoopMaxBytes
        self.totalTimeout = totalTimeout
        self.headTimeout = headTimeout
        self.bodyTimeout = bodyTimeout
        self.keepAlive = keepAlive
        self.writeStall = writeStall
        self.bodyRateMin = bodyRateMin
        self.writeRateMin = writeRateMin
        self.proxies = proxies
        self.budgetWait = budgetWait
        self.continuesWithoutJournal = continuesWithoutJournal
    }
}
