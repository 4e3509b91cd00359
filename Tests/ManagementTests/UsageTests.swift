import Contracts
import Foundation
import MartletTestKit
import NIOConcurrencyHelpers
import Testing
import Vocabulary

@Suite struct `Usage over the management API` {
    let fixture = Fixture()

    private func add(_ count: Int, _ change: (Int, inout UsageRecord) -> Void = { _, _ in }) {
        fixture.usage.add(
            (1...count).map { number in
                var record = UsageStoreContract.call(number)
                change(number, &record)
                return record
            })
    }

    @Test func `a row has every field, and its cost exactly`() async throws {
        add(1) { _, record in
            record.cost = Money(nanodollars: 1_350)
            record.tokens = TokenUsage(input: 10, cachedInput: 3, output: 5, reasoning: 2, isEstimate: true)
            record.latencyMicroseconds = 1_234_567
            record.overheadMicroseconds = 40
            record.firstByteMicroseconds = 2000
            record.tags = "a\"b\u{2028}"
        }
        let reply = try await fixture.get("/api/v1/usage")
        #expect(reply.status == 200)
        #expect(try reply.json["as_of"] as? String == "2025-10-09T08:53:20.000000Z")
        let row = try #require(try reply.data.first)
        #expect(
            row.keys.sorted()
                == [
                    "attempts", "cached", "cached_input_tokens", "client_address", "completion_tokens", "cost_nano_usd", "cost_usd", "count",
                    "deployment", "end_user", "endpoint", "error_code", "estimated", "fallback_reason", "id", "input_tokens", "key_id", "latency_ms",
                    "model", "outcome", "output_tokens", "overhead_ms", "price_known", "price_version", "prompt_bytes", "prompt_tokens", "provider",
                    "reasoning_tokens", "request_id", "requested_model", "served_model", "session", "status", "stream", "tags", "team", "tenant",
                    "time",
                    "total_tokens", "ttft_ms", "user", "agent",
                ].sorted())
        #expect(reply.text.contains(#""cost_nano_usd":1350,"cost_usd":0.00000135,"#))
        #expect(reply.text.contains(#""latency_ms":1234.567,"ttft_ms":2,"overhead_ms":0.04,"#))
        #expect(row["total_tokens"] as? Int == 15)
        #expect(row["prompt_tokens"] as? Int == 10)
        #expect(row["estimated"] as? Bool == true)
        #expect(row["tags"] as? String == "a\"b\u{2028}")
        #expect(row["error_code"] is NSNull)
        #expect(row["time"] as? String == "2025-10-09T08:54:00.000001Z")
    }

    @Test func `what a call did not have is null`() async throws {
        add(1) { _, record in
            record.status = 0
            record.firstByteMicroseconds = -1
        }
        let row = try #require(try await fixture.get("/api/v1/usage").data.first)
        #expect(row["status"] is NSNull)
        #expect(row["ttft_ms"] is NSNull)
    }

    @Test func `pages follow each other by their cursors`() async throws {
        add(25)
        var seen: [String?] = []
        var path = "/api/v1/usage?limit=10"
        var sizes: [Int] = []
        while true {
            let reply = try await fixture.get(path)
            seen += try reply.data.map { $0["request_id"] as? String }
            sizes.append(try reply.data.count)
            guard let cursor = try reply.json["next_cursor"] as? String else {
                #expect(try reply.json["has_more"] as? Bool == false)
                break
            }
            #expect(try reply.json["has_more"] as? Bool == true)
            path = "/api/v1/usage?limit=10&cursor=\(cursor)"
        }
        #expect(sizes == [10, 10, 5])
        #expect(seen == (1...25).reversed().map { "req-\($0)" })
    }

    @Test func `a page that ends exactly has no further one`() async throws {
        add(10)
        let reply = try await fixture.get("/api/v1/usage?limit=10")
        #expect(try reply.json["has_more"] as? Bool == false)
        #expect(try reply.json["next_cursor"] is NSNull)
        #expect(try await fixture.get("/api/v1/usage").data.count == 10)
    }

    @Test(arguments: [
        ("request_id=req-3", 1), ("tenant=acme", 5), ("team=red", 5), ("agent=coder", 5), ("user=ann%20b", 5), ("key=key_7", 5),
        ("key_id=key_7", 5), ("model=org%2Fm:1", 5), ("provider=other", 5), ("endpoint=embeddings", 5), ("outcome=timeout", 5), ("status=504", 5),
        ("stream=true", 5), ("stream=0", 5), ("from=2025-10-09T08:54:00.000006Z", 5), ("since=2025-10-09T10:54:00.000006+02:00", 5),
        ("until=2025-10-09T08:54:00.000006Z", 5), ("to=2025-10-10", 10), ("tenant=acme&status=504", 5), ("tenant=acme&status=200", 0),
        ("team=", 5), ("request_id=", 0), ("", 10),
    ])
    func `filters choose rows`(query: String, count: Int) async throws {
        add(10) { number, record in
            guard number > 5 else { return }
            record.tenant = "acme"
            record.team = "red"
            record.agent = "coder"
            record.user = "ann b"
            record.keyID = "key_7"
            record.servedModel = "org/m:1"
            record.provider = "other"
            record.endpoint = .embeddings
            record.outcome = .timeout
            record.status = 504
            record.isStream = true
        }
        let reply = try await fixture.get("/api/v1/usage?" + query)
        #expect(reply.status == 200)
        #expect(try reply.data.count == count)
        #expect(try await fixture.get("/api/v1/usage/totals?" + query).json["calls"] as? Int == count)
    }

    @Test(arguments: [
        ("limit=0", "limit"), ("limit=1001", "limit"), ("limit=ten", "limit"), ("limit=", "limit"), ("cursor=x", "cursor"), ("cursor=u-1", "cursor"),
        ("cursor=", "cursor"), ("cursor=uzzzzzzzzzzzzzzzzzzzz", "cursor"), ("status=abc", "status"), ("status=99", "status"),
        ("stream=maybe", "stream"), ("outcome=fine", "outcome"), ("endpoint=/chat", "endpoint"), ("from=yesterday", "from"),
        ("until=2025-13-01", "until"), ("colour=red", "colour"), ("from=2025-01-01&since=2025-01-01", "since"), ("team=a&team=b", "team"),
        ("key=a&key_id=a", "key_id"),
    ])
    func `a bad parameter is named`(query: String, parameter: String) async throws {
        let reply = try await fixture.get("/api/v1/usage?" + query)
        #expect(reply.status == 400)
        #expect(try reply.error["param"] as? String == parameter)
    }

    @Test func `a query that is not UTF-8 is refused`() async throws {
        #expect(try await fixture.get("/api/v1/usage?team=%ff").status == 400)
        #expect(try await fixture.get("/api/v1/usage?team=%zz").status == 400)
    }

    @Test(arguments: ["/api/v1/usage?", "/api/v1/usage/export?"])
    func `a key without the right sees its own rows only`(path: String) async throws {
        add(10) { number, record in if number > 7 { record.keyID = "key_plain" } }
        #expect(try await fixture.get(path, key: "plain").data.count == 3)
        #expect(try await fixture.get(path + "key=key_plain", key: "plain").data.count == 3)
        #expect(try await fixture.get(path + "key=key_1", key: "plain").status == 403)
        #expect(try await fixture.get(path, key: "reader").data.count == 10)
    }

    @Test func `totals and single rows are private too`() async throws {
        add(10) { number, record in if number > 7 { record.keyID = "key_plain" } }
        #expect(try await fixture.get("/api/v1/usage/totals", key: "plain").json["calls"] as? Int == 3)
        #expect(try await fixture.get("/api/v1/usage/req-1", key: "plain").status == 404)
        #expect(try await fixture.get("/api/v1/usage/req-9", key: "plain").status == 200)
    }

    @Test func `totals add up exactly`() async throws {
        add(3) { _, record in record.cost = Money(nanodollars: 100_000_001) }
        let reply = try await fixture.get("/api/v1/usage/totals")
        #expect(reply.text.contains(#""cost_nano_usd":300000003,"cost_usd":0.300000003"#))
        #expect(try reply.json["input_tokens"] as? Int == 30)
    }

    @Test func `the newest row of a request id is shown, encoded slashes and all`() async throws {
        add(2) { _, record in record.requestID = "a/b c" }
        let reply = try await fixture.get("/api/v1/usage/a%2Fb%20c")
        #expect(reply.status == 200)
        #expect(try reply.json["id"] as? String == "0123456789abcdef-1-2")
        #expect(fixture.usage.state.withLockedValue { $0.timeouts } == [])
    }

    @Test func `a row that is still in the journal is waited for`() async throws {
        fixture.usage.state.withLockedValue { $0.journal = [UsageStoreContract.call(1)] }
        #expect(try await fixture.get("/api/v1/usage/req-1").status == 200)
        #expect(fixture.usage.state.withLockedValue { $0.timeouts } == [.seconds(2)])
        #expect(try await fixture.get("/api/v1/usage/req-2").status == 404)
        fixture.usage.state.withLockedValue { $0.flushFailure = .unavailable("locked") }
        #expect(try await fixture.get("/api/v1/usage/req-2").status == 503)
    }

    @Test func `a flush says how far it came`() async throws {
        fixture.usage.state.withLockedValue { $0.journal = [UsageStoreContract.call(1)] }
        let reply = try await fixture.send("POST", "/api/v1/usage/flush")
        #expect(reply.status == 200)
        #expect(try reply.json["as_of"] as? String == "2025-10-09T08:53:20.000000Z")
        #expect(try await fixture.get("/api/v1/usage").data.count == 1)
        fixture.usage.state.withLockedValue { $0.flushFailure = .unavailable("locked") }
        #expect(try await fixture.send("POST", "/api/v1/usage/flush").status == 503)
    }

    @Test func `a flush takes its timeout from the query or the body`() async throws {
        for (query, body) in [("?timeout=500ms", ""), ("", #"{"timeout":"2s"}"#), ("", #"{"timeout":1.5}"#), ("", "")] {
            #expect(try await fixture.send("POST", "/api/v1/usage/flush" + query, body: body).status == 200)
        }
        #expect(fixture.usage.state.withLockedValue { $0.timeouts } == [.milliseconds(500), .seconds(2), .milliseconds(1500), .seconds(10)])
        for (query, body) in [
            ("?timeout=0", ""), ("?timeout=61", ""), ("?timeout=x", ""), ("?when=now", ""), ("", #"{"timeout":true}"#), ("", #"{"timeout":-1}"#),
            ("", #"{"time":1}"#), ("?timeout=1", #"{"timeout":1}"#), ("", "["),
        ] {
            #expect(try await fixture.send("POST", "/api/v1/usage/flush" + query, body: body).status == 400, "\(query) \(body)")
        }
    }
}
