import Glibc
import NIOCore
import NIOPosix
import Synchronization
internal import Vocabulary

/// Resolves the name of a provider and leaves out every address that no connection may go to.
///
/// The check stands behind the resolution and in front of the connection, so neither a name that changes its address (DNS rebinding) nor an
/// odd way to write one (`http://2852039166`) gets around it. Single use, as NIO's own resolver.
final class GuardedResolver: Resolver, Sendable {
    private let rules: AddressRules
    private let ipv4: EventLoopPromise<[SocketAddress]>
    private let ipv6: EventLoopPromise<[SocketAddress]>

    init(rules: AddressRules, loop: any EventLoop) {
        self.rules = rules
        ipv4 = loop.makePromise()
        ipv6 = loop.makePromise()
    }

    func initiateAQuery(host: String, port: Int) -> EventLoopFuture<[SocketAddress]> { ipv4.futureResult }

    /// NIO asks for IPv6 first; `getaddrinfo` answers both in one go.
    func initiateAAAAQuery(host: String, port: Int) -> EventLoopFuture<[SocketAddress]> {
        if let numeric = resolve(host: host, port: port, flags: AI_NUMERICHOST) {
            publish(numeric)
        } else {
            Lookups.shared.resolve(host: host, port: port) { self.publish($0) }
        }
        return ipv6.futureResult
    }

    func cancelQueries() {}

    private func publish(_ found: [SocketAddress]?) {
        guard let found, !found.isEmpty else { return fail(.unresolved) }
        let allowed = found.filter { address in IPAddress(address).map(rules.allows) ?? false }
        guard !allowed.isEmpty else { return fail(.denied(found[0].ipAddress ?? "")) }
        ipv6.succeed(allowed.filter { $0.protocol == .inet6 })
        ipv4.succeed(allowed.filter { $0.protocol == .inet })
    }

    private func fail(_ trouble: ConnectTrouble) {
        ipv6.fail(trouble)
        ipv4.fail(trouble)
    }

    /// The address of a host that is written as a number in any way that the system understands; `nil` for a name.
    static func numericAddress(_ host: String) -> IPAddress? {
        Calling.resolve(host: host, port: 0, flags: AI_NUMERICHOST)?.first.flatMap { IPAddress($0) }
    }
}

extension IPAddress {
    init?(_ address: SocketAddress) {
        guard let text = address.ipAddress else { return nil }
        self.init(text)
    }
}

/// Lookups under way, one for each host: while a name server is slow, a thousand calls wait for one answer and not on a thousand threads,
/// and other providers' names still get a thread.
private final class Lookups: Sendable {
    static let shared = Lookups()

    private let threads: NIOThreadPool
    private let waiting = Mutex<[String: [@Sendable ([SocketAddress]?) -> Void]]>([:])

    private init() {
        threads = NIOThreadPool(numberOfThreads: 8)
        threads.start()
    }

    func resolve(host: String, port: Int, _ done: @escaping @Sendable ([SocketAddress]?) -> Void) {
        let key = "\(host) \(port)"
        let isFirst = waiting.withLock { waiting in
            waiting[key, default: []].append(done)
            return waiting[key]?.count == 1
        }
        guard isFirst else { return }
        threads.submit { _ in
            let found = Calling.resolve(host: host, port: port, flags: 0)
            let waiters = self.waiting.withLock { $0.removeValue(forKey: key) } ?? []
            for waiter in waiters { waiter(found) }
        }
    }
}

/// `getaddrinfo`, which blocks unless the flags say `AI_NUMERICHOST`; its order is that of RFC 6724. `nil` when it fails.
private func resolve(host: String, port: Int, flags: CInt) -> [SocketAddress]? {
    var hints = addrinfo()
    hints.ai_socktype = CInt(SOCK_STREAM.rawValue)
    hints.ai_flags = flags
    var list: UnsafeMutablePointer<addrinfo>?
    guard getaddrinfo(host, String(port), &hints, &list) == 0 else { return nil }
    defer { freeaddrinfo(list) }
    var found: [SocketAddress] = []
    var next = list
    while let entry = next?.pointee {
        if let address = entry.ai_addr {
            // The family says what the pointer leads to, and the system has filled it in whole.
            switch entry.ai_family {
            case AF_INET: address.withMemoryRebound(to: sockaddr_in.self, capacity: 1) { found.append(SocketAddress($0.pointee, host: host)) }
            case AF_INET6: address.withMemoryRebound(to: sockaddr_in6.self, capacity: 1) { found.append(SocketAddress($0.pointee, host: host)) }
            default: break
            }
        }
        next = entry.ai_next
    }
    return found
}
