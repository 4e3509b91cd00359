package import Vocabulary

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Where finished log lines go, and the clock that stamps them.
package struct LogSink: Sendable {
    /// Takes one line, its line break included.
    package let write: @Sendable ([UInt8]) -> Void
    /// The time of an event.
    package let now: @Sendable () -> WallTime

    package init(write: @escaping @Sendable ([UInt8]) -> Void, now: @escaping @Sendable () -> WallTime = { LogSink.wallTime() }) {
        self.write = write
        self.now = now
    }

    /// The standard error of the process.
    package static let standardError = LogSink(write: { write($0, to: STDERR_FILENO) })

    /// Writes a line with one `write(2)`; lines up to `PIPE_BUF` (4 KiB on Linux) cannot be mixed with those of other threads.
    ///
    /// What the system takes only in part is continued. A line that it refuses is lost: there is nowhere to say so.
    package static func write(_ line: [UInt8], to descriptor: Int32) {
        line.withUnsafeBytes { bytes in
            var rest = bytes[...]
            while !rest.isEmpty {
                let part = UnsafeRawBufferPointer(rebasing: rest)
                #if canImport(Darwin)
                    let count = Darwin.write(descriptor, part.baseAddress, part.count)
                #elseif canImport(Musl)
                    let count = Musl.write(descriptor, part.baseAddress, part.count)
                #else
                    let count = Glibc.write(descriptor, part.baseAddress, part.count)
                #endif
                if count > 0 {
                    rest = rest.dropFirst(count)
                } else if errno != EINTR {
                    return
                }
            }
        }
    }

    /// The system's clock, in whole microseconds.
    package static func wallTime() -> WallTime {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return WallTime(microseconds: Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1000)
    }
}
