import Contracts
import Foundation
import Logging
import Management
import MartletTestKit
import NIOCore
import Testing
import Vocabulary

/// A plane on fakes, and what one needs to talk to it.
struct Fixture {
    static let now = WallTime(microseconds: 1_760_000_000_000_000)

    let keys = FakeKeys()
    let usage = FakeUsage(matches: UsageStoreContract.matches)
    let health = FakeHealth()
    let configuration = FakeConfiguration()
    let plane: ManagementPlane

    init(isPrivate: Bool = false) {
        let provider = Provider(
            id: "sim", kind: "openai", host: "::1", port: 9900, isTLS: false, caFile: nil, basePath: "/v1",
            timeouts: ProviderTimeouts(connectMilliseconds: 1, firstByteMilliseconds: 2, idleMilliseconds: 3), concurrencyMax: 4, queueMax: 5,
            acceptsStreamOptions: true, retriesStaleConnections: true,
            requestHeads: [Array("authorization: Bearer sk-very-secret\r\n".utf8)])
        func model(_ name: String, _ price: Price) -> Model {
            Model(
                name: name, nameJSON: Array("\"\(name)\"".utf8),
                deployments: [Deployment(provider: provider, model: name, modelJSON: Array("\"\(name)\"".utf8))], price: price,
                createdAt: Fixture.now)
        }
        let snapshot = Snapshot(
            generation: 1, keys: KeyTable(),
            models: [
                model("gpt-4o-mini", Price(input: 150_000_000, output: 600_000_000, cachedInput: 75_000_000)),
                model("other", Price(input: 10_000_000_000, output: 30_000_000_000, isKnown: false)),
            ], providers: [provider])
        plane = ManagementPlane(
            keys: keys, credentials: keys, usage: usage, shipping: usage, health: health, metrics: health,
            snapshots: SnapshotSource(snapshot), configuration: configuration,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }, version: "1.2.3",
            isPrivate: isPrivate, now: { Fixture.now })
    }

    /// One answer of the plane.
    struct Reply {
        let recorded: AnswerRecorder.Answer

        var status: Int { recorded.status }
        var text: String { String(buffer: recorded.body) }

        func header(_ name: String) -> String? {
            recorded.headers.first { $0.name.lowercased() == name }?.value
        }

        /// The body as Foundation reads it.
        var json: [String: Any] {
            get throws {
                try #require(try JSONSerialization.jsonObject(with: Data(recorded.body.readableBytesView)) as? [String: Any])
            }
        }

        var data: [[String: Any]] {
            get throws { try #require(try json["data"] as? [[String: Any]]) }
        }

        var error: [String: Any] {
            get throws { try #require(try json["error"] as? [String: Any]) }
        }

        var errorCode: String? {
            get throws { try error["code"] as? String }
        }
    }

    /// Sends one request.
    ///
    /// - Parameter key: sent as a bearer token; `nil` sends none.
    func send(
        _ method: String, _ uri: String, key: String? = "admin", headers: [(name: String, value: String)] = [], body: String = ""
    ) async throws -> Reply {
        var headers = headers
        if let key { headers.append(("Authorization", "Bearer \(key)")) }
        let recorder = AnswerRecorder()
        try await plane.answer(
            ControlRequest(
                method: method, uri: uri, headers: headers, body: ByteBuffer(string: body), clientAddress: "127.0.0.1", requestID: "req-1"),
            to: recorder)
        let answer = recorder.answer
        #expect(answer.heads == 1 && answer.ends == 1)
        #expect(answer.contentLength == nil || method == "HEAD" || answer.contentLength == answer.body.readableBytes)
        let reply = Reply(recorded: answer)
        #expect(reply.header("x-request-id") == "req-1")
        #expect(reply.header("cache-control") == "no-store")
        #expect(reply.header("x-content-type-options") == "nosniff")
        return reply
    }

    func get(_ uri: String, key: String? = "admin") async throws -> Reply {
        try await send("GET", uri, key: key)
    }
}
