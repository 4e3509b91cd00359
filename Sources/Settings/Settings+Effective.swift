import Vocabulary

extension Settings {
    /// The settings in force, in the shape of the file, with every default written out and every secret masked.
    package var effective: EffectiveValue {
        .mapping([
            .init("server", effectiveServer),
            .init("data", text("data", data)),
            .init("log", .mapping([.init("level", text("log.level", log.level.rawValue)), .init("calls", text("log.calls", log.calls.rawValue))])),
            .init("journal", effectiveJournal),
            .init(
                "reload",
                .mapping([
                    .init("watch", literal("reload.watch", reload.watch)), .init("interval", duration("reload.interval", reload.interval)),
                ])),
            .init("network", effectiveNetwork),
            .init("providers", .list(providers.map(effective))),
            .init("models", .list(models.map(effective))),
            .init("pricing", .mapping([.init("unknown", effective(pricing.unknown, "pricing.unknown"))])),
        ])
    }

    private func text(_ path: String, _ value: String) -> EffectiveValue { .text(value, origins[path]) }

    private func literal(_ path: String, _ value: some CustomStringConvertible) -> EffectiveValue { .literal(value.description, origins[path]) }

    private func duration(_ path: String, _ value: Duration) -> EffectiveValue { text(path, Quantity.text(of: value)) }

    /// A size that no binary unit divides is a plain number of bytes.
    private func size(_ path: String, _ bytes: Int) -> EffectiveValue {
        let shown = Quantity.text(ofBytes: bytes)
        return Int(shown) == nil ? text(path, shown) : literal(path, shown)
    }

    private var effectiveServer: EffectiveValue {
        var entries: [EffectiveValue.Entry] = [
            .init("host", text("server.host", server.host)),
            .init("port", literal("server.port", server.port)),
        ]
        entries += effectivePlaces
        if let loops = server.loops { entries.append(.init("loops", literal("server.loops", loops))) }
        entries += [
            .init("max_body", size("server.max_body", server.bodyMaxBytes)),
            .init("max_buffered", size("server.max_buffered", server.bufferedMaxBytes)),
            .init("total_timeout", duration("server.total_timeout", server.totalTimeout)),
            .init("head_timeout", duration("server.head_timeout", server.headTimeout)),
            .init("body_timeout", duration("server.body_timeout", server.bodyTimeout)),
            .init("keep_alive", duration("server.keep_alive", server.keepAliveTimeout)),
            .init("write_stall", duration("server.write_stall", server.writeStallTimeout)),
            .init("body_min_rate", size("server.body_min_rate", server.bodyRateMin)),
            .init("write_min_rate", size("server.write_min_rate", server.writeRateMin)),
        ]
        if let most = server.connectionsMax { entries.append(.init("max_connections", literal("server.max_connections", most))) }
        entries += [
            .init("max_connections_per_address", literal("server.max_connections_per_address", server.connectionsPerAddressMax)),
            .init("trusted_proxies", effectiveProxies),
            .init("client_address_header", text("server.client_address_header", server.clientAddressHeader.rawValue)),
            .init("proxy_protocol", text("server.proxy_protocol", server.proxyProtocol.rawValue)),
            .init(
                "drain",
                .mapping([
                    .init("delay", duration("server.drain.delay", server.drainDelay)),
                    .init("deadline", duration("server.drain.deadline", server.drainDeadline)),
                ])),
        ]
        return .mapping(entries)
    }

    private var effectivePlaces: [EffectiveValue.Entry] {
        var entries: [EffectiveValue.Entry] = [.init("tcp", literal("server.tcp", server.listensOnTCP))]
        if let path = server.unixSocket {
            let mode = String(server.unixSocketMode, radix: 8)
            entries += [
                .init("unix_socket", text("server.unix_socket", path)),
                .init("unix_socket_mode", text("server.unix_socket_mode", "0" + mode)),
            ]
        }
        if let tls = server.tls {
            entries.append(
                .init(
                    "tls",
                    .mapping([
                        .init("cert", text("server.tls.cert", tls.certificateFile)), .init("key", text("server.tls.key", tls.keyFile)),
                        .init("min_version", text("server.tls.min_version", tls.minimumVersion.rawValue)),
                    ])))
        }
        if let listener = server.privateListener {
            entries.append(
                .init(
                    "private",
                    .mapping([
                        .init("host", text("server.private.host", listener.host)), .init("port", literal("server.private.port", listener.port)),
                        .init("tls", literal("server.private.tls", listener.isTLS)),
                    ])))
        }
        return entries
    }

    private var effectiveProxies: EffectiveValue {
        let origin = origins["server.trusted_proxies"]
        let ranges = server.trustedProxies.map { EffectiveValue.text($0.description, origin) }
        return .list(ranges + (server.trustsUnixSocket ? [.text("unix", origin)] : []))
    }

    private var effectiveJournal: EffectiveValue {
        .mapping([
            .init("dir", text("journal.dir", journal.directory)),
            .init("on_failure", text("journal.on_failure", journal.onFailure.rawValue)),
            .init("sync_interval", duration("journal.sync_interval", journal.syncInterval)),
            .init("segment_size", size("journal.segment_size", journal.segmentSizeBytes)),
            .init("max_size", size("journal.max_size", journal.sizeMaxBytes)),
            .init("min_free", size("journal.min_free", journal.freeMinBytes)),
        ])
    }

    private var effectiveNetwork: EffectiveValue {
        var entries: [EffectiveValue.Entry] = [
            .init("proxy", text("network.proxy", network.proxy.text)),
            .init("no_proxy", .list(network.noProxy.map { .text($0.text, nil) })),
        ]
        if let file = network.caFile { entries.append(.init("ca_file", text("network.ca_file", file))) }
        entries += [
            .init("allow_link_local", literal("network.allow_link_local", network.allowsLinkLocal)),
            .init("deny", .list(network.denied.map { .text($0.description, nil) })),
        ]
        return .mapping(entries)
    }

    private func effective(_ provider: Provider) -> EffectiveValue {
        let path = "providers.\(provider.id)"
        var entries: [EffectiveValue.Entry] = [
            .init("id", text("\(path).id", provider.id)),
            .init("kind", text("\(path).kind", provider.kind.rawValue)),
            .init("base_url", text("\(path).base_url", provider.baseURL.text)),
        ]
        if let key = provider.apiKey { entries.append(.init("api_key", text("\(path).api_key", key.masked))) }
        if !provider.headers.isEmpty {
            let headers = provider.headers.map { EffectiveValue.Entry($0.name, text("\(path).headers.\($0.name)", $0.value.masked)) }
            entries.append(.init("headers", .mapping(headers)))
        }
        entries.append(.init("proxy", text("\(path).proxy", provider.proxy?.text ?? "off")))
        if let file = provider.caFile { entries.append(.init("ca_file", text("\(path).ca_file", file))) }
        if let file = provider.clientCertificateFile { entries.append(.init("client_cert", text("\(path).client_cert", file))) }
        if let file = provider.clientKeyFile { entries.append(.init("client_key", text("\(path).client_key", file))) }
        if let name = provider.serverName { entries.append(.init("server_name", text("\(path).server_name", name))) }
        entries += [
            .init(
                "timeouts",
                .mapping([
                    .init("connect", duration("\(path).timeouts.connect", provider.connectTimeout)),
                    .init("first_byte", duration("\(path).timeouts.first_byte", provider.firstByteTimeout)),
                    .init("idle", duration("\(path).timeouts.idle", provider.idleTimeout)),
                ])),
            .init("max_concurrency", literal("\(path).max_concurrency", provider.concurrencyMax)),
            .init("max_queue", literal("\(path).max_queue", provider.queueMax)),
            .init("stream_options", literal("\(path).stream_options", provider.acceptsStreamOptions)),
            .init("retry_stale", literal("\(path).retry_stale", provider.retriesStaleConnections)),
        ]
        return .mapping(entries)
    }

    private func effective(_ model: Model) -> EffectiveValue {
        let path = "models.\(model.name)"
        let deployments = model.deployments.enumerated().map { index, deployment in
            EffectiveValue.mapping([
                .init("provider", text("\(path).deployments[\(index)].provider", deployment.provider)),
                .init("model", text("\(path).deployments[\(index)].model", deployment.model)),
            ])
        }
        var entries: [EffectiveValue.Entry] = [.init("name", text("\(path).name", model.name)), .init("deployments", .list(deployments))]
        if let price = model.price { entries.append(.init("price", effective(price, "\(path).price"))) }
        return .mapping(entries)
    }

    private func effective(_ price: Price, _ path: String) -> EffectiveValue {
        func amount(_ key: String, _ nanodollars: Int64?) -> EffectiveValue.Entry? {
            nanodollars.map { EffectiveValue.Entry(key, literal("\(path).\(key)", Money(nanodollars: $0).dollars)) }
        }
        return .mapping(
            [
                amount("input", price.input), amount("output", price.output), amount("cached_input", price.cachedInput),
                amount("reasoning", price.reasoning),
            ].compactMap { $0 })
    }
}
