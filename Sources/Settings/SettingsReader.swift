import Vocabulary

/// Turns a tree into settings. Whatever is missing or wrong has its default; what is wrong is in the report.
struct SettingsReader {
    let report: ReadingReport
    /// How long anything may be set to take.
    private let longest: ClosedRange<Duration> = .milliseconds(1) ... .seconds(7 * 86_400)
    private let pause: ClosedRange<Duration> = .zero ... .seconds(86_400)

    static let rootKeys = ["server", "data", "log", "journal", "reload", "network", "providers", "models", "pricing"]

    func read(_ root: ConfigNode) -> Settings {
        let section = SectionReader(root, path: "", address: [], keys: SettingsReader.rootKeys, parentOrigin: root.origin, report: report)
        var settings = Settings()
        settings.server = server(section)
        settings.data = section.name("data", settings.data)
        settings.log = log(section)
        settings.journal = journal(section, data: settings.data)
        settings.reload = reload(section)
        settings.network = NetworkReader(report: report).read(section)
        let (providers, ids) = ProviderReader(report: report, network: settings.network).read(section)
        settings.providers = providers
        settings.models = ModelReader(report: report, providers: ids).read(section)
        let pricing = section.section("pricing", keys: ["unknown"])
        if let unknown = price(pricing, "unknown", over: settings.pricing.unknown) { settings.pricing.unknown = unknown }
        settings.warnings = report.warnings
        settings.origins = report.origins
        return settings
    }

    private func server(_ root: SectionReader) -> Settings.Server {
        let section = root.section(
            "server",
            keys: [
                "host", "port", "tcp", "unix_socket", "unix_socket_mode", "tls", "private", "loops", "max_body", "max_buffered", "total_timeout",
                "head_timeout", "body_timeout", "keep_alive", "write_stall", "body_min_rate", "write_min_rate", "max_connections",
                "max_connections_per_address", "trusted_proxies", "client_address_header", "proxy_protocol", "drain",
            ])
        var server = Settings.Server()
        server.host = host(section, server.host)
        server.port = section.integer("port", server.port, in: 0...65535)
        let edge = EdgeReader(section: section, report: report)
        edge.readPlaces(&server)
        server.privateListener = privateListener(section, server)
        edge.readLimits(&server)
        server.loops = section.integer("loops", in: 1...1024)
        server.bodyMaxBytes = section.size("max_body", server.bodyMaxBytes, in: 1 << 10...1 << 30)
        server.bufferedMaxBytes = section.size("max_buffered", server.bufferedMaxBytes, in: 1 << 20...1 << 40)
        server.totalTimeout = section.duration("total_timeout", server.totalTimeout, in: longest)
        server.headTimeout = section.duration("head_timeout", server.headTimeout, in: longest)
        server.bodyTimeout = section.duration("body_timeout", server.bodyTimeout, in: longest)
        server.keepAliveTimeout = section.duration("keep_alive", server.keepAliveTimeout, in: longest)
        server.writeStallTimeout = section.duration("write_stall", server.writeStallTimeout, in: longest)
        if server.bodyMaxBytes > server.bufferedMaxBytes {
            section.fail("max_body", "must not be larger than server.max_buffered, \(Quantity.text(ofBytes: server.bufferedMaxBytes))")
        }
        let drain = section.section("drain", keys: ["delay", "deadline"])
        server.drainDelay = drain.duration("delay", server.drainDelay, in: pause)
        server.drainDeadline = drain.duration("deadline", server.drainDeadline, in: pause)
        return server
    }

    private func privateListener(_ server: SectionReader, _ main: Settings.Server) -> Settings.Listener? {
        let section = server.section("private", keys: ["host", "port", "tls"])
        let host = host(section, "127.0.0.1")
        let isTLS = section.boolean("tls", false)
        if isTLS, main.tls == nil { section.fail("tls", "needs server.tls.cert and server.tls.key") }
        guard let port = section.integer("port", in: 0...65535) else {
            if section.node("host") != nil, section.node("port") == nil { section.fail("port", "is missing; a private listener needs one") }
            return nil
        }
        let everywhere = ["0.0.0.0", "::"]
        if port != 0, main.listensOnTCP, port == main.port, host == main.host || everywhere.contains(host) || everywhere.contains(main.host) {
            section.fail("port", "is the port of the public listener; give the private one another")
        }
        return Settings.Listener(host: host, port: port, isTLS: isTLS)
    }

    private func host(_ section: SectionReader, _ standard: String) -> String {
        let host = section.name("host", standard)
        let isAddress =
            host.utf8.count { $0 == UInt8(ascii: ":") } > 1
            && host.utf8.allSatisfy { isHostName(CollectionOfOne($0)) || $0 == UInt8(ascii: ":") || $0 == UInt8(ascii: "%") }
        if !isHostName(host.utf8), !isAddress {
            section.fail("host", "must be a host name or an address without a port, not \(section.shown("host", host))")
        }
        return host
    }

    private func log(_ root: SectionReader) -> Settings.Log {
        let section = root.section("log", keys: ["level", "calls"])
        var log = Settings.Log()
        log.level = section.choice("level", log.level)
        log.calls = section.choice("calls", log.calls)
        return log
    }

    private func reload(_ root: SectionReader) -> Settings.Reload {
        let section = root.section("reload", keys: ["watch", "interval"])
        var reload = Settings.Reload()
        reload.watch = section.boolean("watch", reload.watch)
        reload.interval = section.duration("interval", reload.interval, in: .milliseconds(50) ... .seconds(3600))
        return reload
    }

    private func journal(_ root: SectionReader, data: String) -> Settings.Journal {
        let section = root.section("journal", keys: ["dir", "on_failure", "sync_interval", "segment_size", "max_size", "min_free"])
        var journal = Settings.Journal()
        journal.directory = section.name("dir", data.hasSuffix("/") ? "\(data)journal" : "\(data)/journal")
        journal.onFailure = section.choice("on_failure", journal.onFailure)
        journal.syncInterval = section.duration("sync_interval", journal.syncInterval, in: .milliseconds(1) ... .seconds(60))
        journal.segmentSizeBytes = section.size("segment_size", journal.segmentSizeBytes, in: 4 << 10...1 << 30)
        journal.sizeMaxBytes = section.size("max_size", journal.sizeMaxBytes, in: 4 << 10...1 << 50)
        journal.freeMinBytes = section.size("min_free", journal.freeMinBytes, in: 0...1 << 50)
        if journal.segmentSizeBytes > journal.sizeMaxBytes {
            section.fail("segment_size", "must not be larger than journal.max_size, \(Quantity.text(ofBytes: journal.sizeMaxBytes))")
        }
        return journal
    }
}
