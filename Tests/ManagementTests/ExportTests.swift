import Contracts
import Foundation
import Management
import MartletTestKit
import NIOConcurrencyHelpers
import NIOCore
import Testing
import Vocabulary

@Suite struct `Exports of usage` {
    let fixture = Fixture()

    private func add(_ count: Int, _ change: (Int, inout UsageRecord) -> Void = { _, _ in }) {
        fixture.usage.add(
            (0..<count).map { number in
                var record = UsageStoreContract.call(number)
                change(number, &record)
                return record
            })
    }

    @Test(arguments: [0, 1, 499, 500, 501, 1000, 1234])
    func `have every row once, a page at a time`(count: Int) async throws {
        add(count)
        let json = try await fixture.get("/api/v1/usage/export?format=json")
        #expect(json.status == 200)
        #expect(json.header("content-disposition") == "attachment; filename=\"martlet-usage.json\"")
        #expect(json.recorded.contentLength == nil)
        #expect(try json.data.map { $0["request_id"] as? String } == (0..<count).reversed().map { "req-\($0)" })
        let csv = try await fixture.get("/api/v1/usage/export?format=csv")
        let lines = csv.text.components(separatedBy: "\r\n")
        #expect(lines.count == count + 2)
        #expect(lines.last == "")
        #expect(lines[0].hasPrefix("id,request_id,time,count,"))
        let ids = lines.dropFirst().dropLast().map { $0.split(separator: ",", omittingEmptySubsequences: false)[1] }
        #expect(ids == (0..<count).reversed().map { "req-\($0)" })
        #expect(csv.header("content-type")?.hasPrefix("text/csv") == true)
        #expect(fixture.usage.state.withLockedValue { $0.largestPage } == 500)
    }

    @Test func `quote cells, and take the sting out of formulas`() async throws {
        add(1) { _, record in
            record.requestID = "=HYPERLINK(\"http://evil\",\"x\")"
            record.endUser = "+1\r\n2"
            record.session = "-1"
            record.tags = "@SUM(A1)"
            record.user = "plain, with comma"
            record.team = "say \"hi\""
            record.cost = Money(nanodollars: -5)
            record.status = 0
        }
        let text = try await fixture.get("/api/v1/usage/export?format=csv").text
        #expect(text.contains(#","'=HYPERLINK(""http://evil"",""x"")","#))
        #expect(text.contains(",\"'+1\r\n2\",'-1,'@SUM(A1)\r\n"))
        #expect(text.contains(#","plain, with comma","#))
        #expect(text.contains(#","say ""hi""","#))
        #expect(text.contains(",-5,-0.000000005,"), "a negative number stays a number")
    }

    @Test func `have as many cells as the header in every line`() async throws {
        add(3)
        let lines = try await fixture.get("/api/v1/usage/export?format=csv").text.split(separator: "\r\n")
        #expect(Set(lines.map { $0.split(separator: ",", omittingEmptySubsequences: false).count }) == [42])
    }

    @Test func `take filters, and no other parameters`() async throws {
        add(10) { number, record in if number < 4 { record.tenant = "acme" } }
        #expect(try await fixture.get("/api/v1/usage/export?tenant=acme").data.count == 4)
        for query in ["format=xml", "format=", "cursor=u1", "x=1"] {
            #expect(try await fixture.get("/api/v1/usage/export?" + query).status == 400)
        }
    }

    @Test func `break off when the store leaves in their middle`() async throws {
        add(1200)
        fixture.usage.state.withLockedValue { $0.pagesUntilFailure = 2 }
        let recorder = AnswerRecorder()
        await #expect(throws: StoreError.self) {
            try await fixture.plane.answer(
                ControlRequest(
                    method: "GET", uri: "/api/v1/usage/export", headers: [("authorization", "Bearer admin")], body: ByteBuffer(),
                    clientAddress: "", requestID: "r"), to: recorder)
        }
        #expect(recorder.answer.status == 200)
        #expect(recorder.answer.ends == 0, "an answer that ends well would pass for the whole")
    }
}
