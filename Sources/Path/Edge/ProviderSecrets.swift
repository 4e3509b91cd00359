import Glibc
import NIOCore
internal import Vocabulary

extension Provider {
    /// Whether bytes hold a credential that we show this provider: some repeat in an error what they were sent, and errors go to clients.
    func hasSecret(in bytes: ByteBuffer) -> Bool {
        bytes.withUnsafeReadableBytes { bytes in secrets.contains { contains($0, in: bytes) } }
    }

    private func contains(_ secret: [UInt8], in bytes: UnsafeRawBufferPointer) -> Bool {
        guard let base = bytes.baseAddress, let first = secret.first, secret.count <= bytes.count else { return false }
        let last = bytes.count - secret.count
        var at = 0
        while at <= last, let found = memchr(base + at, CInt(first), last - at + 1) {
            if memcmp(found, secret, secret.count) == 0 { return true }
            at = UnsafeRawPointer(found) - base + 1
        }
        return false
    }
}
