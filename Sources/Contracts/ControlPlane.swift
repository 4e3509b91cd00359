package import NIOCore

/// A request for the control plane, read whole.
package struct ControlRequest: Sendable {
    package var method: String
    /// Path and query, as the client sent them.
    package var uri: String
    package var headers: [(name: String, value: String)]
    package var body: ByteBuffer
    /// The client's address without its port.
    package var clientAddress: String
    /// The client's id when it sent a usable one, else ours.
    package var requestID: String

    package init(
        method: String, uri: String, headers: [(name: String, value: String)], body: ByteBuffer, clientAddress: String, requestID: String
    ) {
        self.method = method
        self.uri = uri
        self.headers = headers
        self.body = body
        self.clientAddress = clientAddress
        self.requestID = requestID
    }
}

/// Where a control-plane answer goes. `head` once, `write` any number of times, `end` once.
package protocol ControlResponseWriter: Sendable {
    /// - Parameter contentLength: `nil` sends the body in chunks.
    func head(status: Int, headers: [(name: String, value: String)], contentLength: Int?) async throws
    /// Returns once the connection can take more.
    func write(_ bytes: ByteBuffer) async throws
    func end() async throws
}

/// Everything but model traffic: management, documentation, health, metrics (ARCHITECTURE §1).
///
/// The edge hands whole requests over and writes the answers, so one connection serves both planes and neither can overtake the other.
package protocol ControlPlane: Sendable {
    /// Answers one request. Errors become answers here; a throw means that the answer cannot be completed, and the connection is broken off.
    func answer(_ request: ControlRequest, to writer: any ControlResponseWriter) async throws
}
