import Edge
import Foundation
import Testing

@Suite struct UnixSocketTests {
    private func inFolder(_ work: (String) throws -> Void) throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("u\(UInt32.random(in: 0...UInt32.max))").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try work(folder)
    }

    private func mode(_ path: String) -> mode_t {
        var found = stat()
        return lstat(path, &found) == 0 ? found.st_mode & 0o7777 : 0
    }

    @Test(arguments: [0o600, 0o660, 0o666, 0o777] as [mode_t])
    func `a socket has the permissions that were asked for, whatever the umask`(wanted: mode_t) throws {
        try inFolder { folder in
            let socket = try UnixSocket.bind(folder + "/s", mode: wanted)
            #expect(mode(folder + "/s") == wanted)
            close(socket.descriptor)
            socket.remove()
            #expect(!FileManager.default.fileExists(atPath: folder + "/s"))
        }
    }

    @Test func `what has taken the place of a socket keeps its permissions`() throws {
        try inFolder { folder in
            let (victim, other) = (folder + "/victim", folder + "/other")
            #expect(FileManager.default.createFile(atPath: victim, contents: nil, attributes: [.posixPermissions: 0o600]))
            let socket = try UnixSocket.bind(other, mode: 0o600)
            defer { close(socket.descriptor) }
            #expect(symlink(victim, folder + "/to-a-file") == 0)
            #expect(symlink(other, folder + "/to-a-socket") == 0)
            #expect(link(other, folder + "/second-name") == 0)
            for name in ["to-a-file", "to-a-socket", "second-name", "victim", "missing"] {
                #expect(throws: UnixSocketError.self, "\(name)") { try UnixSocket.setMode(0o666, ofSocketAt: "\(folder)/\(name)") }
            }
            #expect(mode(victim) == 0o600 && mode(other) == 0o600)
        }
    }
}
