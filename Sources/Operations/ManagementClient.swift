import AsyncHTTPClient
import Foundation
package import NIOCore
import NIOHTTP1
import NIOSSL
package import Settings
import Vocabulary

/// Talks to the management API of a gateway; only the command line uses it.
package struct ManagementClient: Sendable {
    /// The largest answer that is read into memory, in bytes; exports are streamed instead.
    private static let answerMaxBytes = 64 << 20

    /// One for the life of the process, which is one command.
    ///
    /// Besides the system's authorities it trusts those in the file that `MARTLET_CA_FILE` names, for gateways with a certificate of one's own.
    /// It tries a connection once (a person waits for the answer) and follows no redirect (the key is for one gateway).
    private static let http: HTTPClient = {
        var configuration = HTTPClient.Configuration()
        configuration.connectionPool.retryConnectionEstablishment = false
        configuration.redirectConfiguration = .disallow
        if let file = ProcessInfo.processInfo.environment["MARTLET_CA_FILE"], !file.isEmpty {
            var tls = TLSConfiguration.makeClientConfiguration()
            tls.additionalTrustRoots = [.file(file)]
            configuration.tlsConfiguration = tls
        }
        return HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    }()

    private let base: BaseURL
    private let key: Secret
    private let timeout: Duration

    /// - Parameters:
    ///   - base: where the gateway is; the API is at `/api/v1` below it.
    ///   - key: an administrator's key, or one with the rights that the calls need.
    ///   - timeout: for a whole call, but for exports, which may take as long as they move.
    package init(base: BaseURL, key: Secret, timeout: Duration = .seconds(60)) {
        self.base = base
        self.key = key
        self.timeout = timeout
    }

    /// Makes a call and reads its whole answer.
    ///
    /// - Parameters:
    ///   - path: below `/api/v1`, each part already percent-encoded where it must be.
    ///   - query: parameters; those that are `nil` are left out.
    ///   - body: JSON.
    /// - Returns: the answer's JSON.
    package func call(
        _ method: Method, _ path: String, query: [(name: String, value: String?)] = [], body: [UInt8]? = nil
    ) async throws(ManagementError) -> [UInt8] {
        let request = request(method, path, query, body)
        do {
            let response = try await ManagementClient.http.execute(request, timeout: .nanoseconds(timeout.nanoseconds))
            let answer = try await response.body.collect(upTo: ManagementClient.answerMaxBytes)
            let bytes = Array(answer.readableBytesView)
            try check(response, bytes)
            return bytes
        } catch let error as ManagementError {
            throw error
        } catch {
            throw unreachable(error)
        }
    }

    /// Makes a call and hands the parts of its answer on as they come.
    package func export(
        _ path: String, query: [(name: String, value: String?)], to output: (ByteBuffer) throws -> Void
    ) async throws(ManagementError) {
        let request = request(.get, path, query, nil)
        do {
            let response = try await ManagementClient.http.execute(request, timeout: .hours(24))
            guard (200..<300).contains(response.status.code) else {
                let answer = try await response.body.collect(upTo: ManagementClient.answerMaxBytes)
                try check(response, Array(answer.readableBytesView))
                return
            }
            for try await part in response.body {
                do {
                    try output(part)
                } catch {
                    throw ManagementError.output("\(error)")
                }
            }
        } catch let error as ManagementError {
            throw error
        } catch {
            throw unreachable(error)
        }
    }

    /// The verbs of the management API.
    package enum Method: String, Sendable {
        case get = "GET"
        case post = "POST"
        case delete = "DELETE"
    }

    private func request(_ method: Method, _ path: String, _ query: [(name: String, value: String?)], _ body: [UInt8]?) -> HTTPClientRequest {
        let parameters = query.compactMap { parameter in
            parameter.value.map { "\(ManagementClient.encoded(parameter.name))=\(ManagementClient.encoded($0))" }
        }
        var request = HTTPClientRequest(url: base.text + "/api/v1" + path + (parameters.isEmpty ? "" : "?" + parameters.joined(separator: "&")))
        request.method = HTTPMethod(rawValue: method.rawValue)
        request.headers.add(name: "authorization", value: "Bearer \(key.value)")
        request.headers.add(name: "accept", value: "application/json, text/csv")
        if let body {
            request.headers.add(name: "content-type", value: "application/json")
            request.body = .bytes(body, length: .known(Int64(body.count)))
        }
        return request
    }

    private func check(_ response: HTTPClientResponse, _ bytes: [UInt8]) throws(ManagementError) {
        let status = Int(response.status.code)
        guard !(200..<300).contains(status) else { return }
        guard let message = APIValue(json: bytes)?["error"]?["message"]?.text else {
            throw .unexpectedAnswer(url: base.text, reason: "status \(status) without an error message")
        }
        throw status == 401 || status == 403 ? .refused(status: status, message: message) : .failed(status: status, message: message)
    }

    private func unreachable(_ error: any Error) -> ManagementError {
        let reason =
            if let error = error as? HTTPClientError {
                error.shortDescription
            } else if let error = error as? IOError {
                // The description of this one is about the call that failed, which tells a person nothing.
                String(cString: strerror(error.errnoCode))
            } else {
                tlsWords(in: String(describing: error))
            }
        return .unreachable(url: base.text, reason: reason.prefix(200).filter { !$0.isNewline })
    }

    /// A text as it may stand in a part of a path or in a parameter.
    package static func encoded(_ text: String) -> String {
        var output: [UInt8] = []
        let digits = Array("0123456789ABCDEF".utf8)
        for byte in text.utf8 {
            let isPlain = (0x30...0x39).contains(byte) || (0x61...0x7a).contains(byte | 0x20) || "-._~".utf8.contains(byte)
            output += isPlain ? [byte] : [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 0xf)]]
        }
        return String(decoding: output, as: UTF8.self)
    }
}

extension Duration {
    fileprivate var nanoseconds: Int64 { components.seconds * 1_000_000_000 + components.attoseconds / 1_000_000_000 }
}
