import Contracts
import Edge
import NIOCore
import NIOPosix
import Testing
import Vocabulary

/// An edge on a real socket, with every step behind it in the hands of the test.
struct Bench: Sendable {
    let group: MultiThreadedEventLoopGroup
    let loop: any EventLoop
    let books = Books()
    let plane: FakePlane
    let drainState = DrainState()
    let budget: BodyBudget
    let counters = EdgeCounters()
    private let dispatcher: ControlDispatcher
    private let listener: Listener
    private let laneLoop: NIOLoopBound<LaneLoop>
    private let caller: NIOLoopBound<FakeCaller>

    var port: Int { listener.port }

    /// Runs a test against an edge of its own and checks at its end that nothing was left behind.
    static func run(
        _ options: EdgeOptions = EdgeOptions(), budget: Int = 1 << 20, answerBudget: Int = 64 << 20, timeouts: ProviderTimeouts? = nil,
        gate: ConnectionGate? = nil, readsProxyProtocol: Bool = false, script: (@Sendable (Int, FakeAttempt) -> Void)? = nil,
        _ test: @Sendable (Bench) async throws -> Void
    ) async throws {
        let bench = try await Bench(
            options, budget: budget, answerBudget: answerBudget, timeouts: timeouts, gate: gate,
            readsProxyProtocol: readsProxyProtocol, script: script)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await bench.dispatcher.run() }
            do {
                try await test(bench)
            } catch {
                bench.plane.open()
                bench.dispatcher.finish()
                throw error
            }
            bench.plane.open()
            bench.plane.arrived.succeed()
            bench.dispatcher.finish()
        }
        try await bench.close()
    }

    private init(
        _ options: EdgeOptions, budget: Int, answerBudget: Int, timeouts: ProviderTimeouts?, gate: ConnectionGate?,
        readsProxyProtocol: Bool, script: (@Sendable (Int, FakeAttempt) -> Void)?
    ) async throws {
        group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let loop = group.next()
        self.loop = loop
        self.budget = BodyBudget(bytes: budget)
        plane = FakePlane(loop: loop)
        dispatcher = ControlDispatcher(plane: plane)
        let snapshots = SnapshotSource(Bench.snapshot(timeouts))
        (laneLoop, caller) = try await loop.submit { [books, dispatcher, drainState, counters, bodyBudget = self.budget] in
            let caller = FakeCaller(loop: loop)
            if let script { caller.script = { script($0, $1) } }
            let laneLoop = LaneLoop(
                loop: loop, options: options, snapshots: snapshots, identifier: FakeIdentifier(), admission: FakeAdmission(books: books),
                router: FakeRouter(), caller: caller, settler: FakeSettler(books: books), control: dispatcher, budget: bodyBudget,
                answerBudget: BodyBudget(bytes: answerBudget), counters: counters, gate: gate, drainState: drainState, onSecond: {})
            return (NIOLoopBound(laneLoop, eventLoop: loop), NIOLoopBound(caller, eventLoop: loop))
        }.get()
        listener = try await Listener.bind(
            .tcp(host: "127.0.0.1", port: 0), group: group, loops: LaneLoops([laneLoop]),
            options: Listener.Options(readsProxyProtocol: readsProxyProtocol, counters: counters))
    }

    /// One model at two providers, and one at a single one.
    private static func snapshot(_ timeouts: ProviderTimeouts?) -> Snapshot {
        let providers = ["one", "two"].map { id in
            Provider(
                id: id, kind: "openai", host: "h", port: 1, isTLS: false, caFile: nil, basePath: "/v1",
                timeouts: timeouts ?? ProviderTimeouts(connectMilliseconds: 60_000, firstByteMilliseconds: 60_000, idleMilliseconds: 60_000),
                concurrencyMax: 9, queueMax: 9, acceptsStreamOptions: true, retriesStaleConnections: true, requestHeads: [[], [], []])
        }
        func model(_ name: String, _ count: Int) -> Model {
            Model(
                name: name, nameJSON: Array("\"\(name)\"".utf8),
                deployments: providers.prefix(count).map { Deployment(provider: $0, model: "m@" + $0.id, modelJSON: Array("\"m@\($0.id)\"".utf8)) },
                price: Price(input: 1_000_000_000, output: 2_000_000_000), createdAt: WallTime(microseconds: 0))
        }
        return Snapshot(generation: 1, keys: KeyTable(), models: [model("m", 1), model("both", 2)], providers: providers)
    }

    func client(reads: Bool = true) async throws -> RawClient { try await RawClient.connect(port, reads: reads) }

    /// The attempt of that number, once it has been started.
    func attempt(_ index: Int) async throws {
        try await bounded { [caller] in caller.value.started(index) }
    }

    /// Does something with an attempt, on its loop, once it has been started.
    @discardableResult
    func attempt<Value: Sendable>(_ index: Int, _ work: @escaping @Sendable (FakeAttempt) -> Value) async throws -> Value {
        try await attempt(index)
        return try await loop.submit { [caller] in work(caller.value.attempts[index]) }.get()
    }

    /// Waits until the attempt is cancelled.
    func cancelled(_ index: Int) async throws {
        try await attempt(index)
        try await bounded { [caller] in caller.value.attempts[index].cancelled.futureResult }
    }

    func attemptCount() async throws -> Int { try await loop.submit { [caller] in caller.value.attempts.count }.get() }

    @discardableResult
    func onLoop<Value: Sendable>(_ work: @escaping @Sendable (LaneLoop) -> Value) async throws -> Value {
        try await loop.submit { [laneLoop] in work(laneLoop.value) }.get()
    }

    /// How many clients are connected.
    func connections() async throws -> Int { try await onLoop { $0.connectionCount } }

    /// Waits until that many clients are connected.
    func connected(_ count: Int) async throws {
        try await until { try await connections() >= count }
    }

    /// Waits until something is so; throws when it is not in twenty seconds.
    func until(_ condition: () async throws -> Bool) async throws {
        for _ in 0..<10_000 {
            if try await condition() { return }
            try await loop.scheduleTask(in: .milliseconds(2)) {}.futureResult.get()
        }
        throw NeverCame()
    }

    /// The value of a future that the test would otherwise wait for in vain.
    private func bounded<Value: Sendable>(_ make: @escaping @Sendable () -> EventLoopFuture<Value>) async throws -> Value {
        try await loop.flatSubmit { [loop] in
            let promise = loop.makePromise(of: Value.self)
            let limit = loop.scheduleTask(in: .seconds(20)) { promise.fail(NeverCame()) }
            promise.futureResult.whenComplete { _ in limit.cancel() }
            make().cascade(to: promise)
            return promise.futureResult
        }.get()
    }

    struct NeverCame: Error {}

    func records(_ count: Int) async throws -> [UsageRecord] {
        try await bounded { [books, loop] in books.written(count, on: loop) }
        return books.now.records
    }

    /// Waits until a request for `/wait` is with the control plane.
    func waitingRequest() async throws { try await bounded { [plane] in plane.arrived.futureResult } }

    private func close() async throws {
        await listener.close()
        try await onLoop { $0.endRunningCalls() }
        try await onLoop { $0.closeIdle() }
        let now = books.now
        #expect(now.began == now.ended && now.holdsOpen == 0 && now.holdsDropped == 0, "\(now)")
        try await group.shutdownGracefully()
    }
}

/// A chat request.
func chat(_ model: String = "m", stream: Bool = false, key: String = "good", text: String = "hi", headers: String = "", version: String = "1.1")
    -> String
{
    let body = #"{"model":"\#(model)","stream":\#(stream),"messages":[{"role":"user","content":"\#(text)"}]}"#
    return
        "POST /v1/chat/completions HTTP/\(version)\r\nhost: x\r\nauthorization: Bearer \(key)\r\n\(headers)content-length: \(body.utf8.count)\r\n\r\n\(body)"
}

func get(_ path: String, method: String = "GET", headers: String = "") -> String {
    "\(method) \(path) HTTP/1.1\r\nhost: x\r\nauthorization: Bearer good\r\n\(headers)\r\n"
}

extension String {
    /// The status lines of all answers in it.
    var statuses: [Int] {
        split(separator: "\r\n").compactMap {
            $0.hasPrefix("HTTP/1.1 ") || $0.contains("HTTP/1.1 ")
                ? Int($0.suffix(from: $0.firstRange(of: "HTTP/1.1 ")?.upperBound ?? $0.startIndex).prefix(3)) : nil
        }
    }
}
