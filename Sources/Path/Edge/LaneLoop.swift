package import Contracts
internal import Dialects
import Glibc
package import NIOCore
internal import Vocabulary

/// Everything that the lanes of one event loop share: the steps, the snapshot, the clock, and the list of lanes for timers and drains.
///
/// Confined to its loop, so nothing in it needs a lock.
package final class LaneLoop {
    let loop: any EventLoop
    private(set) var options: EdgeOptions
    let snapshots: SnapshotSource
    let identifier: any Identifying
    let admission: any Admitting
    let router: any CandidateChoosing
    let caller: any UpstreamCalling
    let settler: any CallSettling
    let control: ControlDispatcher
    let budget: BodyBudget
    /// The memory for answers that are kept whole, beyond a first part of each. Not that of the bodies: readers that are slow must not keep
    /// others from sending.
    let answerBudget: BodyBudget
    let counters: EdgeCounters
    /// `nil` where connections are not counted.
    let gate: ConnectionGate?
    let drainState: DrainState
    let scanner = OpenAIRequestScanner()
    /// Connections that were refused and still hear why.
    var refusedLingering = 0
    private(set) var snapshot: Snapshot
    private var lanes: [ObjectIdentifier: Lane] = [:]
    private var ticker: RepeatedTask?
    private let onSecond: () -> Void
    private var ticks = 0
    private var requestCounter: UInt64 = 0
    private let requestPrefix = UInt64.random(in: 0...UInt64.max) >> 24
    private var date = (second: Int64(-1), line: ByteBuffer())

    /// How exact the timers of the lanes are. One timer for all of them costs a call nothing.
    private static let tick = TimeAmount.milliseconds(100)

    /// - Parameter onSecond: run about once a second on the loop while it has connections, and once at the end.
    package init(
        loop: any EventLoop, options: EdgeOptions, snapshots: SnapshotSource, identifier: any Identifying, admission: any Admitting,
        router: any CandidateChoosing, caller: any UpstreamCalling, settler: any CallSettling, control: ControlDispatcher,
        budget: BodyBudget, answerBudget: BodyBudget, counters: EdgeCounters, gate: ConnectionGate?, drainState: DrainState,
        onSecond: @escaping () -> Void
    ) {
        self.loop = loop
        self.options = options
        self.snapshots = snapshots
        self.identifier = identifier
        self.admission = admission
        self.router = router
        self.caller = caller
        self.settler = settler
        self.control = control
        self.budget = budget
        self.answerBudget = answerBudget
        self.counters = counters
        self.gate = gate
        self.drainState = drainState
        self.onSecond = onSecond
        snapshot = snapshots.snapshot
    }

    /// The snapshot in force, for a call that begins now.
    func currentSnapshot() -> Snapshot {
        if snapshots.generation != snapshot.generation { snapshot = snapshots.snapshot }
        return snapshot
    }

    /// Sets other bounds; they hold for calls in flight, too.
    package func apply(_ options: EdgeOptions) {
        self.options = options
    }

    /// A request id for a client that sent none.
    func makeRequestID() -> String {
        requestCounter &+= 1
        return String(unsafeUninitializedCapacity: 22) { bytes in
            bytes[0] = UInt8(ascii: "r")
            bytes[1] = UInt8(ascii: "e")
            bytes[2] = UInt8(ascii: "q")
            bytes[3] = UInt8(ascii: "_")
            writeHexadecimal(requestPrefix, digits: 10, to: UnsafeMutableBufferPointer(rebasing: bytes[4..<14]))
            writeHexadecimal(requestCounter, digits: 8, to: UnsafeMutableBufferPointer(rebasing: bytes[14..<22]))
            return 22
        }
    }

    // MARK: Lanes

    /// How many clients are connected.
    package var connectionCount: Int { lanes.count }

    func add(_ lane: Lane) {
        lanes[ObjectIdentifier(lane)] = lane
        guard ticker == nil else { return }
        let bound = NIOLoopBound(self, eventLoop: loop)
        ticker = loop.scheduleRepeatedTask(initialDelay: LaneLoop.tick, delay: LaneLoop.tick) { _ in bound.value.onTick() }
    }

    func remove(_ lane: Lane) {
        lanes.removeValue(forKey: ObjectIdentifier(lane))
    }

    private func onTick() {
        ticks += 1
        let now = NIODeadline.now()
        for lane in lanes.values { lane.tick(now) }
        if ticks % 10 == 0 { onSecond() }
        if lanes.isEmpty {
            ticker?.cancel()
            ticker = nil
            onSecond()
        }
    }

    // MARK: Drain

    /// Closes the connections that carry nothing.
    package func closeIdle() {
        for lane in lanes.values { lane.closeIfIdle() }
    }

    /// Ends what is still running: streams with an error event, everything else with an error answer.
    package func endRunningCalls() {
        for lane in lanes.values { lane.endRunningCall() }
    }

    /// Whether any connection is left.
    package var isEmpty: Bool { lanes.isEmpty }

    /// The last turn of the once-a-second work.
    package func finish() {
        ticker?.cancel()
        ticker = nil
        onSecond()
    }

    // MARK: The clock

    /// The `date` header as a line, made once a second.
    func dateLine(at time: WallTime) -> ByteBuffer {
        let second = time.microseconds / 1_000_000
        if date.second != second { date = (second, ByteBuffer(string: "date: " + httpDate(second) + "\r\n")) }
        return date.line
    }
}

private func writeHexadecimal(_ number: UInt64, digits: Int, to bytes: UnsafeMutableBufferPointer<UInt8>) {
    var rest = number
    var place = digits
    while place > 0 {
        place -= 1
        let digit = UInt8(truncatingIfNeeded: rest) & 15
        bytes[place] = digit < 10 ? digit + 0x30 : digit - 10 + UInt8(ascii: "a")
        rest >>= 4
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`, RFC 9110 §5.6.7.
private func httpDate(_ second: Int64) -> String {
    var time = time_t(second)
    var parts = tm()
    gmtime_r(&time, &parts)
    let days = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
    func two(_ number: Int32) -> String { number < 10 ? "0\(number)" : "\(number)" }
    return "\(days[Int(parts.tm_wday)]), \(two(parts.tm_mday)) \(months[Int(parts.tm_mon)]) \(parts.tm_year + 1900) "
        + "\(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec)) GMT"
}
