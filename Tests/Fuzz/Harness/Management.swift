import Contracts
import Foundation
import NIOCore
import Vocabulary

@testable import Management

private let now = WallTime(microseconds: 1_795_224_244_000_000)

/// What the management API reads: bodies of key requests, queries, periods.
func fuzzManagement(_ input: FuzzInput) {
    body(input)
    query(input.text)
    if let seconds = secondsOfPeriod(input.text) { check(seconds >= 0, "a period of \(seconds) s") }
}

private func body(_ input: FuzzInput) {
    do {
        let request = try KeyRequestReader(now: now).read(input.buffer)
        check(!request.tenant.isEmpty && request.models.count <= 256, "a key without a tenant, or with too many models")
        if let expiry = request.expiresAt { check(expiry > now, "a key that has expired already") }
        for text in [request.name, request.tenant, request.team, request.agent, request.user] + request.models {
            check(text.unicodeScalars.count <= 64 && !text.unicodeScalars.contains { $0.value < 0x20 }, "a name that breaks tables: \(text)")
        }
    } catch let error as APIError {
        check((400..<500).contains(error.status) && !error.message.isEmpty, "\(error)")
    } catch let error as GatewayError {
        check((400..<500).contains(error.status) && !error.message.isEmpty, "\(error)")
    } catch {
        fatalError("an error of another kind: \(error)")
    }
}

private func query(_ text: String) {
    do {
        let query = try QueryParameters(text, known: UsageFilterReader.names + ["limit", "cursor"])
        let filter = try UsageFilterReader.read(query)
        if let status = filter.status { check((0...599).contains(status), "the status \(status)") }
        let limit = try UsageFilterReader.limit(query)
        check((1...1000).contains(limit), "a page without end")
        if let cursor = try UsageFilterReader.cursor(query) { check(cursor > 0, "a cursor at \(cursor)") }
    } catch let error as APIError {
        check((400..<500).contains(error.status), "\(error)")
    } catch let error as GatewayError {
        check((400..<500).contains(error.status), "\(error)")
    } catch {
        fatalError("an error of another kind: \(error)")
    }
}
