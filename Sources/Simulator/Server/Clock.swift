#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Wall time and the texts made from it.
enum Clock {
    static func unixMilliseconds() -> Int {
        let now = wall()
        return now.tv_sec * 1000 + now.tv_nsec / 1_000_000
    }

    static func unixSeconds() -> Int { wall().tv_sec }

    /// The second in the form of the `Date` header.
    static func httpDate(_ unixSeconds: Int) -> String {
        var time = time_t(unixSeconds)
        var parts = tm()
        gmtime_r(&time, &parts)
        let days = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
        let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        func two(_ number: Int32) -> String { number < 10 ? "0\(number)" : "\(number)" }
        let day = "\(days[Int(parts.tm_wday)]), \(two(parts.tm_mday)) \(months[Int(parts.tm_mon)]) \(1900 + Int(parts.tm_year))"
        return "\(day) \(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec)) GMT"
    }

    private static func wall() -> timespec {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        return now
    }
}

/// Ignores SIGPIPE for the process: a client that is gone is an error of its write, not the end of everybody.
func ignoreBrokenPipes() {
    signal(SIGPIPE, SIG_IGN)
}

/// The error numbers of a port that cannot be had.
let addressInUse = EADDRINUSE
let accessDenied = EACCES

/// What makes closing a socket a reset.
let noLinger = linger(l_onoff: 1, l_linger: 0)
