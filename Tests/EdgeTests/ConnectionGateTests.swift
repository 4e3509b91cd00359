import Edge
import Testing
import Vocabulary

@Suite struct ConnectionGateTests {
    @Test func `places are counted, given back and bounded`() {
        let gate = ConnectionGate(connectionsMax: 2)
        #expect(gate.enter(nil) == nil && gate.enter(IPAddress("192.0.2.1")) == nil)
        #expect(gate.enter(nil) == .connections && gate.openCount == 2)
        gate.leave(nil)
        #expect(gate.enter(nil) == nil && gate.openCount == 2)
    }

    @Test func `an address has its share, and a refusal takes no place`() {
        let gate = ConnectionGate(connectionsMax: 10, connectionsPerAddressMax: 1)
        #expect(gate.enter(IPAddress("192.0.2.1")) == nil)
        #expect(gate.enter(IPAddress("192.0.2.1")) == .connectionsOfAddress)
        #expect(gate.enter(IPAddress("::ffff:192.0.2.1")) == .connectionsOfAddress, "the same address in other clothes")
        #expect(gate.enter(IPAddress("192.0.2.2")) == nil && gate.openCount == 2)
        gate.leave(IPAddress("192.0.2.1"))
        #expect(gate.enter(IPAddress("192.0.2.1")) == nil)
    }

    @Test func `a network of IPv6 is one subscriber`() {
        let gate = ConnectionGate(connectionsMax: 10, connectionsPerAddressMax: 1)
        #expect(gate.enter(IPAddress("2001:db8:0:1::1")) == nil)
        #expect(gate.enter(IPAddress("2001:db8:0:1:ffff::2")) == .connectionsOfAddress)
        #expect(gate.enter(IPAddress("2001:db8:0:2::1")) == nil)
    }

    @Test func `connections without an address of their own have no share`() {
        let gate = ConnectionGate(connectionsMax: 3, connectionsPerAddressMax: 1)
        #expect(gate.enter(nil) == nil && gate.enter(nil) == nil && gate.enter(nil) == nil && gate.enter(nil) == .connections)
    }

    @Test func `threads that come and go leave nothing behind`() async {
        let gate = ConnectionGate(connectionsMax: 50, connectionsPerAddressMax: 20)
        await withTaskGroup(of: Void.self) { group in
            for number in 0..<8 {
                group.addTask {
                    let address = IPAddress("192.0.2.\(number % 3)")
                    for _ in 0..<2_000 where gate.enter(address) == nil { gate.leave(address) }
                }
            }
        }
        #expect(gate.openCount == 0)
        for _ in 0..<20 { #expect(gate.enter(IPAddress("192.0.2.1")) == nil) }
        #expect(gate.enter(IPAddress("192.0.2.1")) == .connectionsOfAddress)
    }
}
