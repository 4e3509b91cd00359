import Glibc

/// SIGTERM, SIGINT and SIGHUP before a gateway is up.
package enum EarlySignals {
    /// Lets them end the process at once, with 0, as they end a gateway that is up: nothing has been promised to anybody yet. The gateway takes
    /// them over as soon as it runs. Without this, the first process of a container would not even hear them, and others would die of them.
    package static func endTheProcess() {
        // Who asks for a reload before anything was read has what was asked for.
        signal(SIGHUP, SIG_IGN)
        for number in [SIGTERM, SIGINT] { signal(number) { _ in _exit(0) } }
    }
}
