import Files
import Glibc
import Testing

@Suite struct PlainFileTests {
    private static func failure(_ path: String) -> FileReadError? {
        do throws(FileReadError) {
            _ = try PlainFile.read(path, upTo: 100)
            return nil
        } catch {
            return error
        }
    }

    @Test func `a pipe that nobody writes to is refused at once`() throws {
        let path = "/tmp/martlet-pipe-\(getpid())-\(UInt64.random(in: 0 ... .max))"
        try #require(mkfifo(path, 0o600) == 0)
        defer { unlink(path) }
        #expect(PlainFileTests.failure(path)?.description == "is a pipe, not a file")
    }

    @Test func `what is no file is named`() {
        #expect(PlainFileTests.failure("/tmp")?.description == "is a directory, not a file")
        #expect(PlainFileTests.failure("/dev/zero")?.description == "is a device, not a file")
        #expect(PlainFileTests.failure("/nowhere/at/all")?.isMissing == true)
        #expect(PlainFileTests.failure("/nowhere/at/all")?.description == "cannot be read: No such file or directory")
    }

    @Test func `a file is read up to the bound, also where it has no size`() throws {
        // Files of the kernel say that they are empty.
        let whole = try PlainFile.read("/proc/self/stat", upTo: 1 << 20)
        #expect(!whole.isEmpty)
        #expect(try PlainFile.read("/proc/self/stat", upTo: 3).count == 3)
    }
}
