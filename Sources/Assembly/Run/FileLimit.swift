import Glibc

/// How many files this process may have open, which bounds its connections: a call is two of them, the client's and the provider's.
struct FileLimit: Sendable {
    /// In force.
    var current: Int
    /// As it was when the process began.
    var before: Int

    /// What everything but connections may need: journal, database, listeners, certificates, event loops.
    private static let reserve = 128
    /// More than this are no laptop's and no container's; who wants them says so.
    private static let connectionsStandardMax = 65_536

    /// Raises the limit to what the system allows.
    static func raise() -> FileLimit {
        let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        var limit = rlimit()
        guard getrlimit(resource, &limit) == 0 else { return FileLimit(current: 1024, before: 1024) }
        let before = Int(clamping: limit.rlim_cur)
        if limit.rlim_cur < limit.rlim_max {
            var raised = limit
            raised.rlim_cur = limit.rlim_max
            if setrlimit(resource, &raised) == 0 { limit = raised }
        }
        return FileLimit(current: Int(clamping: limit.rlim_cur), before: before)
    }

    /// Has the kernel make the table of open files as large as it may ever get here.
    ///
    /// It grows by doubling while files are opened, and in a process with several threads each step waits for every core to take notice
    /// (`expand_fdtable` calls `synchronize_rcu`): 8 to 20 ms, measured, in which the event loop that accepts the connection stands still, and all
    /// streams with it. Eight bytes a file are cheaper.
    func makeTable() {
        let highest = min(current, FileLimit.needed(forConnections: connectionsMax)) - 1
        let descriptor = open("/dev/null", O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return }
        // Only the largest number counts; where it may not be had, the table grows as it always did.
        let copy = fcntl(descriptor, F_DUPFD_CLOEXEC, Int32(clamping: highest))
        if copy >= 0 { close(copy) }
        close(descriptor)
    }

    /// What the limit can be raised to, without raising it.
    static var allowed: Int {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 1024 }
        return Int(clamping: limit.rlim_max)
    }

    /// How many connections of clients fit, each with one to a provider.
    var connectionsMax: Int { max(16, min(FileLimit.connectionsStandardMax, (current - FileLimit.reserve) / 2)) }

    /// How many files it takes to have that many connections of clients.
    static func needed(forConnections count: Int) -> Int { count * 2 + reserve }
}
