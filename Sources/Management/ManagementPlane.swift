package import Contracts
import Foundation
import HTTPTypes
import Hummingbird
package import Logging
import NIOCore
package import Vocabulary

/// The management API, health and metrics: Hummingbird's router behind the edge, without a server of its own (ARCHITECTURE §1).
package final class ManagementPlane: ControlPlane {
    /// The largest body that is read; nothing here needs more.
    package static let bodyMaxBytes = 65_536

    private let responder: RouterResponder<ManagementContext>
    private let logger: Logger

    /// - Parameters:
    ///   - isPrivate: whether only operators reach the listener that this answers on; metrics and the detail of health are open there.
    ///   - now: the wall clock.
    package init(
        keys: any KeyDirectory, credentials: any CredentialChecking, usage: any UsageStore, shipping: any UsageShipping,
        health: any HealthReporting, metrics: any MetricsReporting, snapshots: SnapshotSource,
        configuration: any ConfigurationControlling, logger: Logger, version: String,
        isPrivate: Bool = false, now: @escaping @Sendable () -> WallTime = { ManagementPlane.systemTime() }
    ) {
        let access = Access(credentials: credentials, isPrivate: isPrivate)
        let routes = RouteTable()
        KeyRoutes(keys: keys, access: access, now: now).add(to: routes)
        UsageRoutes(usage: usage, shipping: shipping, access: access).add(to: routes)
        CatalogRoutes(snapshots: snapshots, access: access, version: version).add(to: routes)
        ConfigurationRoutes(configuration: configuration, access: access).add(to: routes)
        HealthRoutes(health: health, metrics: metrics, access: access, version: version).add(to: routes)
        responder = routes.responder()
        self.logger = logger
    }

    package func answer(_ request: ControlRequest, to writer: any ControlResponseWriter) async throws {
        var logger = logger
        logger[metadataKey: "request.id"] = .string(request.requestID)
        let response = try await response(to: request, logger: logger)

        var headers = response.headers.filter { $0.name != .contentLength }.map { (name: $0.name.canonicalName, value: $0.value) }
        headers.append(("x-request-id", request.requestID))
        headers.append(("cache-control", "no-store"))
        headers.append(("x-content-type-options", "nosniff"))
        try await writer.head(status: response.status.code, headers: headers, contentLength: response.body.contentLength)
        if request.method != "HEAD" {
            do {
                try await response.body.write(ControlBodyWriter(writer: writer))
            } catch let error as StoreError {
                // The status is out: all that is left is to break off, so that nobody takes a part for the whole.
                logger.warning("Export broken off", metadata: ["error.reason": "\(error)"])
                throw error
            }
        }
        try await writer.end()
    }

    private func response(to request: ControlRequest, logger: Logger) async throws -> Response {
        guard let path = ManagementPlane.path(of: request.uri) else {
            return APIError(.malformedRequest("the request target is neither a path nor a URL")).response
        }
        guard request.body.readableBytes <= ManagementPlane.bodyMaxBytes else {
            return APIError(.bodyTooLarge(limitBytes: ManagementPlane.bodyMaxBytes)).response
        }
        var fields = HTTPFields()
        for (name, value) in request.headers {
            if let name = HTTPField.Name(name) { fields.append(HTTPField(name: name, value: value)) }
        }
        if let encoding = fields[.contentEncoding], encoding.lowercased() != "identity", request.body.readableBytes > 0 {
            return APIError(.unsupportedEncoding(encoding)).response
        }
        let head = HTTPRequest(
            method: ManagementPlane.method(request.method), scheme: nil, authority: nil, path: path, headerFields: fields)
        let context = ManagementContext(source: ManagementSource(logger: logger, requestID: request.requestID))
        return try await responder.respond(to: Request(head: head, body: RequestBody(buffer: request.body)), context: context)
    }

    private static func method(_ name: String) -> HTTPRequest.Method {
        switch name {
        case "GET", "HEAD": .get
        case "POST": .post
        case "DELETE": .delete
        default: RouteTable.otherMethod
        }
    }

    /// Path and query of a request target in origin form or absolute form.
    private static func path(of target: String) -> String? {
        if target.hasPrefix("/") { return target }
        guard let authority = target.range(of: "://") else { return nil }
        let rest = target[authority.upperBound...]
        return rest.firstIndex(of: "/").map { String(rest[$0...]) } ?? "/"
    }

    /// The system's wall clock.
    package static func systemTime() -> WallTime {
        WallTime(microseconds: Int64((Date().timeIntervalSince1970 * 1_000_000).rounded(.down)))
    }
}

/// Lets Hummingbird's bodies write to the edge.
private struct ControlBodyWriter: ResponseBodyWriter {
    let writer: any ControlResponseWriter

    func write(_ buffer: ByteBuffer) async throws {
        if buffer.readableBytes > 0 { try await writer.write(buffer) }
    }

    /// The plane ends the answer itself; trailers are not used.
    consuming func finish(_ trailingHeaders: HTTPFields?) async throws {}
}
