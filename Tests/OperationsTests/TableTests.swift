import Foundation
import NIOCore
import Operations
import Testing

@Suite struct `A table` {
    @Test func `is aligned, with numbers to the right and exact`() throws {
        let rows = try #require(
            APIValue(
                json: Array(
                    #"[{"id":"a","n":0.00000135,"list":["x","y"]},{"id":"longer","n":12,"price":{"input":0.15}},{"id":"","n":null,"on":true}]"#.utf8))
        )
        let table = Table(
            [.init("ID", "missing", "id"), .init("N", "n", isNumber: true), .init("IN", "price.input", isNumber: true), .init("LIST", "list", "on")],
            rows: rows.items)
        #expect(
            table.text == """
                ID               N    IN  LIST
                a       0.00000135     -  x, y
                longer          12  0.15  -
                -                -     -  yes

                """)
    }

    @Test func `shows no control characters, which a client may have sent`() throws {
        let row = try #require(APIValue(json: Array(#"{"id":"a\u001b[2J\nb\u202ec"}"#.utf8)))
        let text = Table([.init("ID", "id")], rows: [row]).text
        #expect(text == "ID\na\u{FFFD}[2J\u{FFFD}b\u{FFFD}c\n")
        #expect(!Table.fields(of: row).unicodeScalars.contains("\u{1b}"))
    }

    @Test func `of one object has its fields under each other`() throws {
        let value = try #require(APIValue(json: Array(#"{"tokens":{"input":1,"output":2},"id":"x","user":null}"#.utf8)))
        #expect(Table.fields(of: value) == "id             x\ntokens.input   1\ntokens.output  2\nuser           -\n")
    }

    @Test func `names deployments by provider and model`() throws {
        let row = try #require(
            APIValue(json: Array(#"{"id":"m","deployments":[{"provider":"sim","model":"x"}],"price":{"input":"0.15","output":"0.6"}}"#.utf8)))
        #expect(Table(Table.modelColumns, rows: [row]).text.contains("\nm      sim/x         0.15       -     0.6          -\n"))
    }
}

@Suite struct `The order of a key` {
    @Test func `holds only what was given`() {
        let order = KeyOrder(
            name: "a \"b\"", tenant: nil, team: nil, agent: nil, user: nil, rights: ["inference, usage", "keys"], models: ["gpt-*"], expiresAt: nil,
            expiresInSeconds: 60)
        #expect(
            String(decoding: order.json, as: UTF8.self)
                == #"{"name":"a \"b\"","rights":["inference","usage","keys"],"models":["gpt-*"],"expires_in":60}"#)
    }

    @Test func `takes its life in days, hours, minutes or seconds`() {
        #expect(["30d", "12h", "90m", "45s", "7"].map(KeyOrder.seconds) == [2_592_000, 43_200, 5400, 45, 7])
        #expect(["", "0", "-1d", "5y", "d", "1.5h", "99999999999999999999d", "40000d"].allSatisfy { KeyOrder.seconds($0) == nil })
    }
}

@Suite struct `The file of an export` {
    @Test func `has its name only once it is whole, and can be read by its owner alone`() throws {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("martlet-export-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        let file = try ExportFile(path: path)
        try file.write(ByteBuffer(string: "rows"))
        #expect(!FileManager.default.fileExists(atPath: path))
        try file.finish()
        #expect(try String(contentsOfFile: path, encoding: .utf8) == "rows")
        #expect(try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int == 0o600)
        let second = try ExportFile(path: path)
        try second.write(ByteBuffer(string: "half"))
        second.discard()
        #expect(try String(contentsOfFile: path, encoding: .utf8) == "rows")
        #expect(!FileManager.default.fileExists(atPath: path + ".part"))
        #expect(throws: ManagementError.self) { try ExportFile(path: "/nonexistent/x") }
    }
}
