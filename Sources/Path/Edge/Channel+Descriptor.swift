import Glibc
import NIOCore

/// What NIO has no option for, asked of the socket itself. On the channel's loop only.
extension Channel {
    /// What the kernel holds for the other side, unsent or unacknowledged, in bytes; 0 where it does not say.
    var kernelUnsentBytes: Int {
        withDescriptor { descriptor in
            var count: CInt = 0
            return ioctl(descriptor, UInt(TIOCOUTQ), &count) == 0 ? Int(count) : 0
        } ?? 0
    }

    /// Has the coming close reset the connection and drop what is unsent (socket(7), `SO_LINGER` of zero).
    func closesByReset() {
        _ = withDescriptor { descriptor in
            var option = linger(l_onoff: 1, l_linger: 0)
            // On failure the close is an orderly one, which is only slower to free the memory.
            return setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
        }
    }

    /// Acknowledges what has come, without the usual wait of 40 ms for something to send along.
    func acknowledges() {
        _ = withDescriptor { descriptor in
            var isOn: CInt = 1
            // On failure the acknowledgement comes a moment later.
            return setsockopt(descriptor, CInt(IPPROTO_TCP), TCP_QUICKACK, &isOn, socklen_t(MemoryLayout<CInt>.size))
        }
    }

    private func withDescriptor<Result>(_ work: (CInt) -> Result) -> Result? {
        // The channel may be closed already; then there is nothing to ask.
        try? pipeline.syncOperations.withUnsafeTransportIfAvailable(of: NIOBSDSocket.Handle.self) { work($0) }
    }
}
