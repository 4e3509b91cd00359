import NIOConcurrencyHelpers
import NIOCore
import NIOHTTP1

/// Keeps the last calls that asked for it by `x-sim-record: 1`, so that a test can see what reached its upstream (`GET /sim/calls`).
final class CallRecorder: Sendable {
    private static let maximumCalls = 256

    private let calls = NIOLockedValueBox<[JSONValue]>([])

    func record(_ head: HTTPRequestHead, _ body: ByteBuffer) {
        let call = JSONValue.object([
            JSONMember("method", .string(head.method.rawValue)),
            JSONMember("uri", .string(head.uri)),
            JSONMember("headers", .array(head.headers.map { .array([.string($0.name), .string($0.value)]) })),
            JSONMember("body", .string(String(buffer: body))),
        ])
        calls.withLockedValue {
            if $0.count == Self.maximumCalls { $0.removeFirst() }
            $0.append(call)
        }
    }

    func reset() { calls.withLockedValue { $0 = [] } }

    /// The calls, oldest first.
    func body() -> ByteBuffer {
        var buffer = ByteBuffer()
        buffer.writeJSON(.object([JSONMember("calls", .array(calls.withLockedValue { $0 }))]))
        return buffer
    }
}
