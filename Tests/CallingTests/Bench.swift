import Calling
import Contracts
import NIOCore
import NIOPosix
import Synchronization
import Vocabulary

/// What a listener has heard of one attempt.
struct Heard: Sendable, Equatable {
    var starts = 0
    var status: Int?
    var isEventStream = false
    var isJSON = false
    var length: Int64?
    var passedOn = ""
    var body = ""
    var ends = 0
    var fault: UpstreamFault?

    var isOver: Bool { ends > 0 || fault != nil }
}

/// Writes down what it hears, and does something at the first bytes. Confined to its loop.
final class Recorder: UpstreamListener {
    private(set) var heard = Heard()
    /// Done when the attempt has begun to answer with a body.
    let firstBytes: EventLoopPromise<Void>
    /// Done when the attempt is over.
    let over: EventLoopPromise<Heard>
    var attempt: (any UpstreamAttempt)?
    var onBytes: ((Recorder) -> Void)?

    init(loop: any EventLoop) {
        firstBytes = loop.makePromise()
        over = loop.makePromise()
    }

    func upstreamStarted() { heard.starts += 1 }

    func upstreamHead(_ head: UpstreamHead) {
        heard.status = head.status
        heard.isEventStream = head.isEventStream
        heard.isJSON = head.isJSON
        heard.length = head.contentLength
        heard.passedOn = String(buffer: head.contentType) + String(buffer: head.passedOn)
    }

    func upstreamBytes(_ bytes: ByteBuffer) {
        heard.body += String(buffer: bytes)
        firstBytes.succeed()
        onBytes?(self)
    }

    func upstreamReadComplete() {}

    func upstreamEnd() {
        heard.ends += 1
        finish()
    }

    func upstreamFailed(_ fault: UpstreamFault) {
        heard.fault = fault
        finish()
    }

    private func finish() {
        firstBytes.succeed()
        over.succeed(heard)
        attempt = nil
    }
}

/// Collects why connections could not be made.
final class Troubles: Sendable {
    private let reasons = Mutex<[String]>([])

    func add(_ provider: String, _ reason: String) { reasons.withLock { $0.append("\(provider): \(reason)") } }

    var all: [String] { reasons.withLock { $0 } }
}

/// A caller and the scripted provider that it calls, both on one loop.
struct Bench: Sendable {
    let loop: any EventLoop
    let server: ScriptedServer
    let shared: UpstreamShared
    /// Why connections could not be made.
    let troubles = Troubles()
    let provider: Provider
    private let caller: NIOLoopBound<UpstreamCaller>

    /// - Parameter idleMax: as long as a machine may take that has other things to do, where a test is not about it.
    init(
        concurrencyMax: Int = 64, queueMax: Int = 64, host: String = "127.0.0.1", port: Int? = nil, isTLS: Bool = false,
        connectMilliseconds: Int64 = 5_000,
        idleMax: TimeAmount = .seconds(120), egress: (Int) -> Egress = { _ in Egress() },
        _ script: @escaping @Sendable (Int, Int) -> [ScriptedServer.Step]
    ) async throws {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        self.loop = loop
        server = try await ScriptedServer(loop: loop, script: script)
        let port = port ?? server.port
        provider = Bench.provider(
            host: host, port: port, isTLS: isTLS, connectMilliseconds: connectMilliseconds, concurrencyMax: concurrencyMax, queueMax: queueMax,
            egress: egress(server.port))
        let shared = UpstreamShared { [troubles] in troubles.add($0, $1) }
        self.shared = shared
        caller = try await loop.submit { NIOLoopBound(UpstreamCaller(loop: loop, shared: shared, idleMax: idleMax), eventLoop: loop) }.get()
    }

    static func provider(
        id: String = "p", host: String = "127.0.0.1", port: Int, isTLS: Bool = false, connectMilliseconds: Int64 = 5_000, concurrencyMax: Int = 64,
        queueMax: Int = 64, egress: Egress = Egress()
    ) -> Provider {
        Provider(
            id: id, kind: "openai", host: host, port: port, isTLS: isTLS, caFile: nil, basePath: "/v1",
            timeouts: ProviderTimeouts(connectMilliseconds: connectMilliseconds, firstByteMilliseconds: 5_000, idleMilliseconds: 5_000),
            concurrencyMax: concurrencyMax, queueMax: queueMax, acceptsStreamOptions: true, retriesStaleConnections: true,
            requestHeads: Endpoint.allCases.map { Array("POST /v1\($0.path) HTTP/1.1\r\nhost: x\r\n".utf8) }, egress: egress)
    }

    /// A provider like the bench's own, as a reload would make it.
    func another(id: String = "p", concurrencyMax: Int = 64, queueMax: Int = 64) -> Provider {
        Bench.provider(id: id, port: server.port, concurrencyMax: concurrencyMax, queueMax: queueMax)
    }

    /// Starts an attempt; the recorder is to be touched on the loop only.
    func start(
        body: [String] = ["{}"], headers: String = "", fresh: Bool = false, cancelsAtOnce: Bool = false, at other: Provider? = nil,
        onBytes: (@Sendable (Recorder) -> Void)? = nil
    ) async throws -> NIOLoopBound<Recorder> {
        try await loop.submit { [loop, caller, provider] in
            let provider = other ?? provider
            let recorder = Recorder(loop: loop)
            recorder.onBytes = onBytes
            let order = UpstreamOrder(
                provider: provider, endpoint: .chatCompletions, extraHeaders: ByteBuffer(string: headers),
                body: body.map { ByteBuffer(string: $0) }, needsFreshConnection: fresh)
            let attempt = caller.value.start(order, for: recorder)
            if !recorder.heard.isOver { recorder.attempt = attempt }
            if cancelsAtOnce { attempt.cancel() }
            return NIOLoopBound(recorder, eventLoop: loop)
        }.get()
    }

    /// Waits for the end of an attempt; what was heard by then when it does not come in five seconds.
    func end(of recorder: NIOLoopBound<Recorder>) async throws -> Heard {
        try await loop.flatSubmit { [loop] in
            let limit = loop.assumeIsolated().scheduleTask(in: .seconds(5)) { recorder.value.over.succeed(recorder.value.heard) }
            let over = recorder.value.over.futureResult
            over.whenComplete { _ in limit.cancel() }
            return over
        }.get()
    }

    /// Waits for the first bytes of an answer, five seconds at most.
    func firstBytes(of recorder: NIOLoopBound<Recorder>) async throws {
        try await loop.flatSubmit { [loop] in
            let limit = loop.assumeIsolated().scheduleTask(in: .seconds(5)) { recorder.value.firstBytes.fail(NothingCame()) }
            let first = recorder.value.firstBytes.futureResult
            first.whenComplete { _ in limit.cancel() }
            return first
        }.get()
    }

    /// Waits until an attempt has begun.
    func started(_ recorder: NIOLoopBound<Recorder>) async throws {
        try await until { try await on(recorder) { $0.heard.starts } > 0 }
    }

    /// Waits until something is so; throws when it is not in ten seconds.
    func until(_ condition: () async throws -> Bool) async throws {
        for _ in 0..<10_000 {
            if try await condition() { return }
            try await loop.scheduleTask(in: .milliseconds(1)) {}.futureResult.get()
        }
        throw NothingCame()
    }

    struct NothingCame: Error {}

    func call(body: [String] = ["{}"], headers: String = "", fresh: Bool = false, at other: Provider? = nil) async throws -> Heard {
        try await end(of: start(body: body, headers: headers, fresh: fresh, at: other))
    }

    func poolCount() async throws -> Int {
        try await loop.submit { [caller] in caller.value.poolCount }.get()
    }

    /// What a reload of the configuration does, on this one loop.
    func reload(_ providers: [Provider]) async throws {
        shared.adopt(try shared.prepare(providers))
        try await loop.submit { [caller] in caller.value.retain(only: providers) }.get()
    }

    func on<Value: Sendable>(_ recorder: NIOLoopBound<Recorder>, _ work: @escaping @Sendable (Recorder) -> Value) async throws -> Value {
        try await loop.submit { work(recorder.value) }.get()
    }

    /// Lets the loop take some turns, so that everything that could happen by now has happened.
    func turn(_ count: Int = 20) async throws {
        for _ in 0..<count { try await loop.submit {}.get() }
    }

    func shutdown() async throws {
        try await loop.submit { [caller] in caller.value.shutdown() }.get()
        try await server.stop()
    }
}

/// A short answer that leaves the connection open.
let plainAnswer = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
