import NIOCore
import Testing

@testable import Simulator

@Suite struct FaultTests {
    @Test func `every fault has a name of its own, a line, and reads back`() throws {
        #expect(Set(FaultKind.allCases.map(\.rawValue)).count == FaultKind.allCases.count)
        for kind in FaultKind.allCases {
            #expect(kind.rawValue.allSatisfy { $0.isLowercase || $0.isNumber || $0 == "-" || $0 == "." }, "\(kind.rawValue)")
            #expect(!kind.summary.isEmpty && kind.line.contains(kind.summary) && !kind.line.contains("\n"))
            let fault = try Fault(kind.rawValue)
            #expect(fault.kind == kind && fault.number == kind.argument?.usual ?? 0)
            #expect(try Fault(fault.text) == fault)
            if let argument = kind.argument { #expect(argument.bounds.contains(argument.usual)) }
        }
    }

    @Test func `lists, numbers and mistakes`() throws {
        #expect(try Fault.list("no-done, reset-at=17,crlf").map(\.text) == ["no-done", "reset-at=17", "crlf"])
        for wrong in ["", "nothing", "no-done=1", "reset-at=x", "reset-at=-1", "html-error=200", "no-done,", "no-done,,crlf"] {
            #expect(throws: Fault.Mistake.self, "\(wrong)") { try Fault.list(wrong) }
        }
    }

    private func rendering(_ body: String) -> Rendering {
        let head = ByteBuffer(string: "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: \(body.utf8.count)\r\n\r\n")
        return Rendering(head: head, pieces: [Rendering.Piece(body, .body)], isStream: false, isOld: false)
    }

    /// All bytes that steps write, and the name of what comes last.
    private func sent(_ rendering: Rendering) -> (bytes: String, last: String) {
        var bytes = ""
        var last = ""
        for step in rendering.steps() {
            switch step {
            case .bytes(let part, _): (bytes, last) = (bytes + String(buffer: part), "bytes")
            case .close: last = "close"
            case .reset: last = "reset"
            case .stall: last = "stall"
            case .back: last = "back"
            case .rest, .waitUntil: break
            }
        }
        return (bytes, last)
    }

    @Test func `an answer without faults is put together as it was`() {
        #expect(sent(rendering("{}")).bytes == "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}")
    }

    @Test func `a cut at any byte leaves exactly the bytes before it`() throws {
        let whole = sent(rendering("{\"a\":1}")).bytes
        for place in 0...whole.utf8.count {
            for (name, end) in [("reset-at", "reset"), ("fin-at", "close")] {
                var cut = rendering("{\"a\":1}")
                cut.apply(try Fault("\(name)=\(place)"))
                let found = sent(cut)
                #expect(found.bytes == String(whole.prefix(utf8: place)) && found.last == end, "\(name)=\(place)")
            }
        }
        var late = rendering("{\"a\":1}")
        late.apply(try Fault("reset-at=\(whole.utf8.count + 1)"))
        #expect(sent(late).bytes == whole && sent(late).last == "bytes")
    }

    @Test func `faults of the frame change the frame alone`() throws {
        func spoiled(_ fault: String) throws -> String {
            var rendering = rendering("{}")
            rendering.apply(try Fault(fault))
            return sent(rendering).bytes
        }
        #expect(try spoiled("two-lengths").hasSuffix("content-length: 2\r\ncontent-length: 3\r\n\r\n{}"))
        #expect(try spoiled("length-long").contains("content-length: 102\r\n"))
        #expect(try spoiled("chunk-extensions").hasSuffix("\r\n\r\n2;name=value;flag\r\n{}\r\n0;name=value;flag\r\n\r\n"))
        #expect(try spoiled("trailers").hasSuffix("0\r\nx-checksum: 0123456789abcdef\r\nx-late: yes\r\n\r\n"))
        #expect(try spoiled("bare-line-feeds").hasPrefix("HTTP/1.1 200 OK\ncontent-type"))
        #expect(try spoiled("no-content") == "HTTP/1.1 204 No Content\r\n\r\n")
        #expect(try spoiled("stall-head").isEmpty)
    }

    @Test func `the gzip that it sends can be checked`() {
        let gzip = storedGzip(Array("hello".utf8))
        #expect(gzip.getBytes(at: 0, length: 3) == [0x1F, 0x8B, 8])
        // The checksum of RFC 1952 and the length, both least byte first.
        #expect(gzip.getBytes(at: gzip.readableBytes - 8, length: 8) == [0x86, 0xA6, 0x10, 0x36, 5, 0, 0, 0])
    }
}

extension String {
    fileprivate func prefix(utf8 count: Int) -> Substring.UTF8View { utf8.prefix(count) }

    fileprivate init(_ bytes: Substring.UTF8View) { self = Substring(bytes).description }
}
