import Foundation
import Telemetry
import Vocabulary

/// What the kernel says of this process, under Prometheus' standard names.
struct ProcessFigures {
    private var cpuSeconds = 0.0
    private var residentBytes: Int64 = 0
    private var openFiles: Int64 = 0
    private var openFilesMax: Int64 = 0
    private var threads: Int64 = 0
    private var startedAt: WallTime

    private init(startedAt: WallTime) {
        self.startedAt = startedAt
    }

    /// Reads `/proc/self`; what cannot be read stays zero.
    static func read(startedAt: WallTime) -> ProcessFigures {
        var figures = ProcessFigures(startedAt: startedAt)
        // The second field, the name, is in parentheses and may hold spaces: everything is counted from behind it (proc(5)).
        if let stat = try? String(contentsOfFile: "/proc/self/stat", encoding: .utf8), let end = stat.lastIndex(of: ")") {
            let fields = stat[stat.index(after: end)...].split(separator: " ")
            if fields.count > 21, let user = Double(fields[11]), let system = Double(fields[12]) {
                figures.cpuSeconds = (user + system) / Double(sysconf(Int32(_SC_CLK_TCK)))
                figures.threads = Int64(fields[17]) ?? 0
                figures.residentBytes = (Int64(fields[21]) ?? 0) * Int64(sysconf(Int32(_SC_PAGESIZE)))
            }
        }
        figures.openFiles = Int64((try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count) ?? 0)
        var limit = rlimit()
        if getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 { figures.openFilesMax = Int64(clamping: limit.rlim_cur) }
        return figures
    }

    func write(to text: inout PrometheusText) {
        text.counter(name: "process_cpu_seconds_total", help: "User and system CPU time.", samples: [([], cpuSeconds)])
        text.gauge(name: "process_resident_memory_bytes", help: "Resident memory.", samples: [([], residentBytes)])
        text.gauge(name: "process_open_fds", help: "Open file descriptors.", samples: [([], openFiles)])
        text.gauge(name: "process_max_fds", help: "The limit of open file descriptors.", samples: [([], openFilesMax)])
        text.gauge(name: "process_threads", help: "Threads.", samples: [([], threads)])
        text.gauge(
            name: "process_start_time_seconds", help: "When the process started, in Unix time.",
            samples: [([], Double(startedAt.microseconds) / 1_000_000)])
    }
}
