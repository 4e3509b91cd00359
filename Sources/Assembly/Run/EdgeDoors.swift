import Edge
import Logging
import Settings

/// Every place at which a gateway listens, opened.
struct EdgeDoors: Sendable {
    private(set) var listeners: [Listener] = []
    /// Where calls can be sent to.
    private(set) var addresses: [String] = []

    /// Binds all of them. Before any service runs, so that a port that is taken ends the start with that reason and nothing else.
    ///
    /// - Throws: ``GatewayStartError``.
    init(_ parts: GatewayParts, _ server: Settings.Server, logger: Logger) async throws {
        let loops = LaneLoops(parts.publicLoops)
        let opener = Opener(parts: parts, logger: logger)
        if server.listensOnTCP {
            let options = opener.options(tls: parts.edge.tls, readsProxyProtocol: server.proxyProtocol == .required)
            listeners.append(try await opener.bind(.tcp(host: server.host, port: server.port), loops, options))
            let host = server.host.contains(":") ? "[\(server.host)]" : server.host
            addresses.append("\(server.tls == nil ? "http" : "https")://\(host):\(listeners[0].port)")
        }
        if let path = server.unixSocket {
            listeners.append(try await opener.bind(.unix(path: path, mode: UInt32(server.unixSocketMode)), loops, opener.options(tls: nil)))
            addresses.append("unix:\(path)")
        }
        if let place = server.privateListener {
            let options = opener.options(tls: place.isTLS ? parts.edge.tls : nil)
            listeners.append(try await opener.bind(.tcp(host: place.host, port: place.port), LaneLoops(parts.privateLoops), options))
        }
    }
}

/// What opening a door takes.
private struct Opener {
    let parts: GatewayParts
    let logger: Logger

    func options(tls: ServerTLS?, readsProxyProtocol: Bool = false) -> Listener.Options {
        Listener.Options(tls: tls, readsProxyProtocol: readsProxyProtocol, counters: parts.edge.counters) { [logger] reason in
            logger.warning("connections cannot be accepted for now", metadata: ["reason": "\(reason)"])
        }
    }

    func bind(_ place: Listener.Place, _ loops: LaneLoops, _ options: Listener.Options) async throws -> Listener {
        do throws(ListenError) {
            return try await Listener.bind(place, group: parts.group, loops: loops, options: options)
        } catch {
            switch place {
            case .tcp(let host, let port): throw GatewayStartError("cannot listen on \(host):\(port): \(error)")
            case .unix(let path, _): throw GatewayStartError("cannot listen on \(path): \(error)")
            }
        }
    }
}
