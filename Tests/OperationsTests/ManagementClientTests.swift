import NIOCore
import Operations
import Settings
import Testing

@Suite struct `A command that talks to a gateway` {
    private func withGateway(
        status: Int = 200, body: String = "{}", _ work: (ManagementClient, FakeGateway) async throws -> Void
    ) async throws {
        let gateway = try await FakeGateway.start(status: status, body: body)
        let base = BaseURL(isTLS: false, host: "127.0.0.1", port: gateway.port, path: "")
        try await work(ManagementClient(base: base, key: Secret("mk_admin")), gateway)
        try await gateway.stop()
    }

    @Test func `sends its key, its parameters and its body, each as it was given`() async throws {
        try await withGateway(body: #"{"data":[]}"#) { client, gateway in
            let answer = try await client.call(
                .post, "/keys/\(ManagementClient.encoded("a/b c"))", query: [("model", "a&b=c/ü"), ("left_out", nil), ("limit", "5")],
                body: Array(#"{"name":"x"}"#.utf8))
            #expect(String(decoding: answer, as: UTF8.self) == #"{"data":[]}"#)
            let request = try #require(gateway.requests.first)
            #expect(request.method == "POST")
            #expect(request.uri == "/api/v1/keys/a%2Fb%20c?model=a%26b%3Dc%2F%C3%BC&limit=5")
            #expect(request.authorization == "Bearer mk_admin")
            #expect(request.body == #"{"name":"x"}"#)
        }
    }

    @Test(arguments: [401, 403, 404, 503])
    func `tells a refusal from other failures, in the gateway's own words`(_ status: Int) async throws {
        try await withGateway(status: status, body: #"{"error":{"message":"No, because.","type":"t","param":null,"code":"c"}}"#) { client, _ in
            let expected: ManagementError =
                status == 401 || status == 403 ? .refused(status: status, message: "No, because.") : .failed(status: status, message: "No, because.")
            await #expect(throws: expected) { try await client.call(.get, "/keys") }
            await #expect(throws: expected) { try await client.export("/usage/export", query: []) { _ in } }
            #expect(expected.message.contains("No, because."))
        }
    }

    @Test func `knows when something else answers`() async throws {
        try await withGateway(status: 502, body: "<html>") { client, _ in
            await #expect {
                try await client.call(.get, "/keys")
            } throws: { error in
                if case .unexpectedAnswer(_, let reason)? = error as? ManagementError { reason.contains("502") } else { false }
            }
        }
    }

    @Test func `knows when nothing answers, and says what to do`() async throws {
        let gateway = try await FakeGateway.start()
        try await gateway.stop()
        let client = ManagementClient(base: BaseURL(isTLS: false, host: "127.0.0.1", port: gateway.port, path: ""), key: Secret("k"))
        await #expect {
            try await client.call(.get, "/keys")
        } throws: { error in
            guard case .unreachable(_, let reason)? = error as? ManagementError else { return false }
            return reason == "Connection refused" && (error as? ManagementError)?.message.contains("martlet serve") == true
        }
    }

    @Test func `hands an export on and notices when it cannot be written`() async throws {
        try await withGateway(body: "a,b\n1,2\n") { client, gateway in
            var text = ""
            try await client.export("/usage/export", query: [("format", "csv")]) { text += String(buffer: $0) }
            #expect(text == "a,b\n1,2\n")
            #expect(gateway.requests.first?.uri == "/api/v1/usage/export?format=csv")
            struct Full: Error {}
            await #expect(throws: ManagementError.output("Full()")) {
                try await client.export("/usage/export", query: []) { _ in throw Full() }
            }
        }
    }
}
