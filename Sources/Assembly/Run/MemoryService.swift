internal import CHeap
import Glibc
import Logging
import ServiceLifecycle

/// Gives memory back to the system once a burst is over.
///
/// glibc keeps what was freed for the next burst, in an arena for every few threads: after large prompts or a thousand streams that is tens of
/// megabytes which other processes of the machine could use. Trimming holds the lock of an arena for up to milliseconds, so it is done only
/// while the process is all but idle.
struct MemoryService: Service {
    let logger: Logger

    /// How often it is looked at.
    private static let intervalSeconds = 10.0
    /// Below this share of one core in an interval, nobody is in the way.
    private static let quietShare = 0.02
    /// Less than this is not worth the page faults of the next burst, in bytes.
    private static let worthwhileBytes = 4 << 20

    /// Has the event loops use an arena each and all other threads share a few.
    ///
    /// glibc would give every thread one, up to eight a core, and each keeps what its own bursts have freed: threads of the pools come and
    /// go, so the memory of an hour of mixed load was several times of what was in use.
    static func limitArenas(loops: Int) {
        _ = cheap_limit_arenas(Int32(clamping: loops + sharedArenas))
    }

    private static let sharedArenas = 3

    func run() async throws {
        await cancelWhenGracefulShutdown {
            var before = processorSeconds()
            // What is free stays free after a trim, only without pages: what counts is what came to it since.
            var trimmed = 0
            while (try? await Task.sleep(for: .seconds(MemoryService.intervalSeconds))) != nil {
                let now = processorSeconds()
                let share = (now - before) / MemoryService.intervalSeconds
                before = now
                guard share < MemoryService.quietShare else {
                    trimmed = 0
                    continue
                }
                let free = cheap_free_bytes()
                guard free > trimmed + MemoryService.worthwhileBytes else { continue }
                _ = cheap_trim()
                trimmed = free
                logger.debug("free memory was given back", metadata: ["memory.free_bytes": "\(free)"])
            }
        }
    }
}

/// The CPU time of the process so far, in seconds.
private func processorSeconds() -> Double {
    var usage = rusage()
    guard getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage) == 0 else { return 0 }
    func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) / 1_000_000 }
    return seconds(usage.ru_utime) + seconds(usage.ru_stime)
}
