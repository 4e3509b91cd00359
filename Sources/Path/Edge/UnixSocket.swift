package import Glibc

/// A socket in the file system that we listen on.
package struct UnixSocket {
    /// Bound, with its permissions, and not listening yet: nobody can connect before both are right.
    package let descriptor: CInt
    private let path: String
    private let device: UInt
    private let inode: UInt

    /// Takes the path. What a process that has ended left there is replaced.
    ///
    /// - Parameter mode: the permissions of the file; whoever may write to it may connect.
    /// - Throws: when something else than a socket is there, when somebody listens on it, or when it cannot be made.
    package static func bind(_ path: String, mode: mode_t) throws(UnixSocketError) -> UnixSocket {
        guard path.utf8.count <= UnixSocket.pathMaxBytes else { throw UnixSocketError("the path is longer than \(pathMaxBytes) bytes") }
        try removeDead(path)
        let descriptor = try open()
        do throws(UnixSocketError) {
            // The file gets the permissions that the socket has when it is bound, less those that our umask takes.
            guard fchmod(descriptor, mode) == 0, withAddress(of: path, { Glibc.bind(descriptor, $0, $1) }) == 0 else {
                throw UnixSocketError(errno: errno)
            }
            let found = try setMode(mode, ofSocketAt: path)
            return UnixSocket(descriptor: descriptor, path: path, device: UInt(found.st_dev), inode: UInt(found.st_ino))
        } catch {
            close(descriptor)
            throw error
        }
    }

    /// Gives a socket its permissions, and nothing else: what has taken its place meanwhile, a link above all, is left as it is.
    ///
    /// - Returns: what is there.
    /// - Throws: when that is no socket, somebody else's, or one with more names than this.
    @discardableResult
    package static func setMode(_ mode: mode_t, ofSocketAt path: String) throws(UnixSocketError) -> stat {
        // The descriptor stands for what was looked at, whatever the path leads to by then (open(2), O_PATH).
        let place = Glibc.open(path, pathOnly | O_NOFOLLOW | O_CLOEXEC)
        guard place >= 0 else { throw UnixSocketError(errno: errno) }
        defer { close(place) }
        var found = stat()
        guard fstat(place, &found) == 0 else { throw UnixSocketError(errno: errno) }
        guard found.st_mode & S_IFMT == S_IFSOCK, found.st_uid == geteuid(), found.st_nlink == 1 else {
            throw UnixSocketError("another file has taken the place of the socket; choose a folder that nobody else may write to")
        }
        guard found.st_mode & 0o7777 != mode else { return found }
        // Such a descriptor takes no fchmod(2); this name of it does, without the path.
        guard chmod("/proc/self/fd/\(place)", mode) == 0 else {
            throw UnixSocketError("its permissions cannot be set: \(String(cString: strerror(errno)))")
        }
        return found
    }

    /// Removes the file, unless another has taken its place.
    package func remove() {
        var found = stat()
        guard lstat(path, &found) == 0, UInt(found.st_dev) == device, UInt(found.st_ino) == inode else { return }
        unlink(path)
    }

    private static func removeDead(_ path: String) throws(UnixSocketError) {
        var found = stat()
        guard lstat(path, &found) == 0 else { return }
        guard found.st_mode & S_IFMT == S_IFSOCK else { throw UnixSocketError("there is a file that is no socket; remove it or choose another path") }
        let probe = try open()
        defer { close(probe) }
        if withAddress(of: path, { connect(probe, $0, $1) }) == 0 { throw UnixSocketError("another process listens there") }
        // A full queue means that somebody listens, too.
        guard errno == ECONNREFUSED else { throw errno == EAGAIN ? UnixSocketError("another process listens there") : UnixSocketError(errno: errno) }
        guard unlink(path) == 0 || errno == ENOENT else { throw UnixSocketError(errno: errno) }
    }

    private static func open() throws(UnixSocketError) -> CInt {
        let descriptor = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
        guard descriptor >= 0 else { throw UnixSocketError(errno: errno) }
        return descriptor
    }

    private static func withAddress(of path: String, _ work: (UnsafePointer<sockaddr>, socklen_t) -> CInt) -> CInt {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8.prefix(pathMaxBytes)) }
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { work($0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
        }
    }

    /// `O_PATH`, which the C library shows to GNU programs alone; the same on x86-64 and ARM64.
    private static let pathOnly: CInt = 0o10000000

    /// `sun_path` less its zero at the end (unix(7)).
    private static let pathMaxBytes = 107
}

/// Why we cannot listen on a path, in words for an operator.
package struct UnixSocketError: Error, CustomStringConvertible {
    package let description: String

    init(_ description: String) {
        self.description = description
    }

    init(errno code: CInt) {
        description = String(cString: strerror(code))
    }
}
