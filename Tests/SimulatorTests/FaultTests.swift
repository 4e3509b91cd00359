import Simulator
import Testing

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
}
