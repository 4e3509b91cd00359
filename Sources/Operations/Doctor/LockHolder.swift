import Foundation
import NIOCore
import Settings

/// The process that holds a lock on a file, by what the kernel tells of it. To try the lock would mean to hold it for a moment.
struct LockHolder {
    private let processes: [String]

    /// - Returns: `nil` when nobody holds the lock.
    init?(ofLock path: String) {
        guard let lock = FileState(path), let list = LockHolder.table("/proc/locks") else { return nil }
        // `1: FLOCK  ADVISORY  WRITE 4711 08:01:1234 0 EOF` (proc_locks(5)).
        let wanted = ":\(lock.inode)"
        let holders = list.split(separator: "\n").map { $0.split(separator: " ") }.filter { line in
            // `->` is in front of those who only wait for it.
            line.contains("FLOCK") && !line.contains("->") && line.contains { $0.hasSuffix(wanted) && $0.count(where: { $0 == ":" }) == 2 }
        }
        guard !holders.isEmpty else { return nil }
        // A number of an inode is that of other files on other disks, too; so it must be seen to have this one open.
        processes = holders.compactMap { line in line.firstIndex(of: "WRITE").flatMap { $0 + 1 < line.count ? String(line[$0 + 1]) : nil } }
            .filter { process in
                LockHolder.files(of: process).contains { name in
                    FileState(name).map { $0.inode == lock.inode && $0.device == lock.device } ?? false
                }
            }
    }

    /// Whether the other end of a connection on this machine is surely the holder's. Not so where the kernel does not let us see it: the
    /// holder is another user's, or in another container.
    ///
    /// The other end must have said something: before it is accepted, a connection is nobody's.
    func has(otherEndOf channel: any Channel) -> Bool {
        guard let ours = channel.localAddress, let theirs = channel.remoteAddress, let inode = LockHolder.socket(from: theirs, to: ours) else {
            return false
        }
        return processes.contains { process in
            LockHolder.files(of: process).contains { (try? FileManager.default.destinationOfSymbolicLink(atPath: $0)) == "socket:[\(inode)]" }
        }
    }

    /// Reads a table of the kernel's to its end. It has no size, for which Foundation takes the first few kilobytes for all of it.
    private static func table(_ path: String) -> String? {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return nil }
        defer { close(file) }
        var bytes: [UInt8] = []
        var part = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = read(file, &part, part.count)
            guard count >= 0 else { return nil }
            guard count > 0 else { return String(decoding: bytes, as: UTF8.self) }
            bytes += part[..<count]
        }
    }

    private static func files(of process: String) -> [String] {
        let folder = "/proc/\(process)/fd"
        return ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).map { "\(folder)/\($0)" }
    }

    /// The inode of the socket of a connection; `nil` when it is not on this machine, or not accepted yet.
    private static func socket(from local: SocketAddress, to remote: SocketAddress) -> String? {
        let wanted = notations(of: local).flatMap { local in notations(of: remote).map { " \(local) \($0) " } }
        for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
            guard let text = LockHolder.table(table) else { continue }
            for line in text.split(separator: "\n") where wanted.contains(where: { line.contains($0) }) {
                // `sl local_address rem_address st queues timer retransmits uid timeout inode …` (proc_pid_net(5)).
                let fields = line.split(separator: " ").map(String.init)
                guard fields.count > 9, fields[9] != "0" else { continue }
                return fields[9]
            }
        }
        return nil
    }

    /// How the kernel's tables may write an address: words of 32 bits in the order of this machine; IPv4 inside IPv6, too.
    private static func notations(of address: SocketAddress) -> [String] {
        func text(_ bytes: UnsafeRawBufferPointer) -> String {
            stride(from: 0, to: bytes.count, by: 4).map { hexadecimal(bytes.loadUnaligned(fromByteOffset: $0, as: UInt32.self), digits: 8) }.joined()
        }
        let port = ":" + hexadecimal(UInt32(address.port ?? 0), digits: 4)
        switch address {
        case .v4(let address):
            let own = withUnsafeBytes(of: address.address.sin_addr, text)
            let mapped: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]
            let prefix = mapped.withUnsafeBytes(text)
            return [own + port, prefix + own + port]
        case .v6(let address): return [withUnsafeBytes(of: address.address.sin6_addr, text) + port]
        case .unixDomainSocket: return []
        }
    }

    private static func hexadecimal(_ value: UInt32, digits: Int) -> String {
        let text = String(value, radix: 16, uppercase: true)
        return String(repeating: "0", count: max(0, digits - text.count)) + text
    }
}
