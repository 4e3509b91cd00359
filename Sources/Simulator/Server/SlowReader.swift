import NIOCore

/// How a request is read when it is read slowly: little at a time, from a socket that holds little.
struct SlowReader {
    private static let readBytes = 1024
    private static let usualBytes = 65_536

    /// Between two reads.
    var pause: TimeAmount

    static func begin(_ channel: any Channel) {
        set(channel, FixedSizeRecvByteBufferAllocator(capacity: readBytes))
        // The kernel must not take the rest in our place. It rounds this up to what it can do with.
        channel.setOption(.socketOption(.so_rcvbuf), value: 4096).whenComplete { _ in }
    }

    static func end(_ channel: any Channel) { set(channel, AdaptiveRecvByteBufferAllocator(minimum: readBytes, initial: 2048, maximum: usualBytes)) }

    private static func set(_ channel: any Channel, _ allocator: any RecvByteBufferAllocator) {
        // It fails on a channel that is closed, where nothing is read any more.
        channel.setOption(.recvAllocator, value: allocator).whenComplete { _ in }
    }
}
