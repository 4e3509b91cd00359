internal import Files
import Foundation
import Vocabulary

/// Reads what of `server` is about the outside: places to listen at, certificates, proxies, and limits of connections.
struct EdgeReader {
    let section: SectionReader
    let report: ReadingReport

    func readPlaces(_ server: inout Settings.Server) {
        server.listensOnTCP = section.boolean("tcp", server.listensOnTCP)
        server.unixSocket = unixSocket()
        server.unixSocketMode = mode(server.unixSocketMode)
        server.tls = tls()
        if !server.listensOnTCP, section.node("unix_socket") == nil { section.fail("tcp", "cannot be off without server.unix_socket") }
    }

    func readLimits(_ server: inout Settings.Server) {
        server.bodyRateMin = section.size("body_min_rate", server.bodyRateMin, in: 0...1 << 30)
        server.writeRateMin = section.size("write_min_rate", server.writeRateMin, in: 0...1 << 30)
        server.connectionsMax = section.integer("max_connections", in: 1...10_000_000)
        server.connectionsPerAddressMax = section.integer("max_connections_per_address", server.connectionsPerAddressMax, in: 0...10_000_000)
        readProxies(&server)
        server.clientAddressHeader = section.choice("client_address_header", server.clientAddressHeader)
        server.proxyProtocol = section.choice("proxy_protocol", server.proxyProtocol)
        if server.proxyProtocol == .required, server.trustedProxies.isEmpty {
            section.fail("proxy_protocol", "needs server.trusted_proxies, the addresses of the load balancers that are to be believed")
        }
    }

    private func unixSocket() -> String? {
        guard let path = section.name("unix_socket") else { return nil }
        // `sun_path` less its zero at the end (unix(7)).
        guard path.utf8.count <= 107 else {
            section.fail("unix_socket", "must not be longer than 107 bytes; the system takes no longer path for a socket")
            return nil
        }
        return path
    }

    /// Permissions as everybody writes them: in octal.
    private func mode(_ standard: Int) -> Int {
        guard let text = section.text("unix_socket_mode") else { return standard }
        guard (3...4).contains(text.utf8.count), let mode = Int(text, radix: 8), (0...0o777).contains(mode) else {
            section.fail("unix_socket_mode", "must be permissions in octal, such as 0660")
            return standard
        }
        return mode
    }

    private func tls() -> Settings.TLS? {
        let tls = section.section("tls", keys: ["cert", "key", "min_version"])
        let certificate = file(tls, "cert")
        let key = file(tls, "key")
        let version = tls.choice("min_version", Settings.TLSVersion.tls12)
        switch (tls.node("cert") == nil, tls.node("key") == nil) {
        case (false, true): tls.fail("key", "is missing; a certificate needs its private key")
        case (true, false): tls.fail("cert", "is missing; a private key needs its certificate")
        case (true, true), (false, false): break
        }
        if tls.node("min_version") != nil, certificate == nil, key == nil { report.warn("server.tls.min_version has no use without server.tls.cert") }
        guard let certificate, let key else { return nil }
        var settings = Settings.TLS(certificateFile: certificate, keyFile: key)
        settings.minimumVersion = version
        return settings
    }

    private func file(_ tls: SectionReader, _ key: String) -> String? {
        guard let path = tls.name(key) else { return nil }
        // Only whether there is something: what it is the gateway finds out when it starts.
        do throws(FileReadError) {
            if try !PlainFile.read(path, upTo: 1).isEmpty { return path }
            tls.fail(key, "\(tls.shownFile(key, path)) is empty")
        } catch {
            tls.fail(key, "\(tls.shownFile(key, path)) \(error)")
        }
        return nil
    }

    private func readProxies(_ server: inout Settings.Server) {
        let key = "trusted_proxies"
        for (text, origin) in section.items(key) {
            if text == "unix" {
                server.trustsUnixSocket = true
            } else if let range = CIDR(text) {
                server.trustedProxies.append(range)
            } else {
                report.report(
                    "\(section.shown(key, text)) is no address, no range such as 10.0.0.0/8 and not 'unix'", at: section.subpath(key), origin)
            }
        }
    }
}
