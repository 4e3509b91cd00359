import Contracts
import HTTPTypes
import Hummingbird
import NIOCore
import Vocabulary

/// Reading usage (PRODUCT C7). A key without the right `usage` sees the rows of its own calls.
struct UsageRoutes: Sendable {
    let usage: any UsageStore
    let shipping: any UsageShipping
    let access: Access

    func add(to routes: RouteTable) {
        routes.add("/api/v1/usage", get: { request, _ in try await page(request) })
        routes.add("/api/v1/usage/totals", get: { request, _ in try await totals(request) })
        routes.add("/api/v1/usage/export", get: { request, _ in try await export(request) })
        routes.add("/api/v1/usage/flush", post: { request, _ in try await flush(request) })
        routes.add("/api/v1/usage/{id}", get: { request, context in try await show(request, context) })
    }

    private func page(_ request: Request) async throws -> Response {
        let caller = try access.caller(request)
        let query = try QueryParameters(request, known: UsageFilterReader.names + ["limit", "cursor"])
        let filter = try visible(UsageFilterReader.read(query), to: caller)
        let limit = try UsageFilterReader.limit(query)
        let cursor = try UsageFilterReader.cursor(query)
        // Before the rows, so that it promises nothing that they do not keep.
        let asOf = shipping.asOf
        let rows = try await usage.rows(filter, before: cursor, limit: limit + 1)
        let page = rows.prefix(limit)
        let hasMore = rows.count > limit
        return .json { json in
            json.member("object", "list")
            json.name("data")
            json.array { json in
                for row in page { row.record.write(to: &json) }
            }
            json.member("has_more", hasMore)
            json.member("next_cursor", hasMore ? page.last.map(UsageFilterReader.cursor(after:)) : nil)
            json.member("as_of", asOf)
        }
    }

    private func totals(_ request: Request) async throws -> Response {
        let caller = try access.caller(request)
        let query = try QueryParameters(request, known: UsageFilterReader.names)
        let filter = try visible(UsageFilterReader.read(query), to: caller)
        let asOf = shipping.asOf
        let totals = try await usage.totals(filter)
        return .json { json in
            json.member("object", "usage.totals")
            json.member("calls", totals.calls)
            totals.tokens.write(to: &json)
            totals.cost.write(to: &json)
            json.member("as_of", asOf)
        }
    }

    /// How long one look for a record that is not there yet may wait.
    private static let lookTimeout = Duration.seconds(2)

    private func show(_ request: Request, _ context: ManagementContext) async throws -> Response {
        let caller = try access.caller(request)
        var filter = UsageFilter()
        let id = try context.decodedParameter("id")
        filter.requestID = id
        filter = try visible(filter, to: caller)
        var found = try await usage.rows(filter, before: nil, limit: 1).first
        if found == nil {
            // An answer is out before its record is in the store. When it cannot be brought there, "not found" would be a guess.
            _ = try await shipping.flush(timeout: UsageRoutes.lookTimeout)
            found = try await usage.rows(filter, before: nil, limit: 1).first
        }
        guard let row = found else { throw APIError.notFound(code: "usage_not_found", "There is no usage of a request '\(id)'.") }
        var json = JSONWriter()
        row.record.write(to: &json)
        return .json(json)
    }

    private func export(_ request: Request) async throws -> Response {
        let caller = try access.caller(request)
        let query = try QueryParameters(request, known: UsageFilterReader.names + ["format"])
        let filter = try visible(UsageFilterReader.read(query), to: caller)
        let (name, value) = try query.first("format") ?? ("format", "json")
        guard let format = UsageExport.Format(rawValue: value) else { throw APIError.invalid(name, "formats are json and csv") }
        let export = try await UsageExport(usage: usage, filter: filter, format: format, asOf: shipping.asOf)
        return Response(
            status: .ok,
            headers: [
                .contentType: format.contentType, .contentDisposition: "attachment; filename=\"martlet-usage.\(format.rawValue)\"",
            ],
            body: ResponseBody(asyncSequence: export))
    }

    private static let flushTimeoutDefault = 10.0
    private static let flushTimeoutMax = 60.0

    private func flush(_ request: Request) async throws -> Response {
        try access.caller(request, with: .usage)
        let query = try QueryParameters(request, known: ["timeout"])
        let members = try JSONValue.members(of: try await request.body.collect(upTo: ManagementPlane.bodyMaxBytes))
        if let unknown = members.keys.sorted().first(where: { $0 != "timeout" }) { throw APIError.unknown(unknown, known: ["timeout"]) }
        var seconds: Double? = UsageRoutes.flushTimeoutDefault
        switch (try query.first("timeout")?.value, members["timeout"]) {
        case (nil, nil): break
        case (let text?, nil), (nil, .string(let text)?): seconds = secondsOfPeriod(text)
        case (nil, .number(let number)?): seconds = number
        case (nil, _?): throw GatewayError.wrongType(field: "timeout", expected: "a string or a number")
        case (_?, _?): throw GatewayError.duplicateField("timeout")
        }
        guard let seconds, seconds > 0, seconds <= UsageRoutes.flushTimeoutMax else {
            throw APIError.invalid("timeout", "seconds, or a period such as 500ms or 5s, of at most 60 s are expected")
        }
        let asOf = try await shipping.flush(timeout: .milliseconds(Int64((seconds * 1000).rounded(.up))))
        return .json { json in
            json.member("object", "usage.flush")
            json.member("as_of", asOf)
        }
    }

    /// Narrows a filter to what the caller may see.
    private func visible(_ filter: UsageFilter, to caller: Principal) throws -> UsageFilter {
        guard !caller.rights.contains(.usage) else { return filter }
        guard filter.keyID == nil || filter.keyID == caller.keyID else { throw GatewayError.missingRight("usage") }
        var own = filter
        own.keyID = caller.keyID
        return own
    }
}
