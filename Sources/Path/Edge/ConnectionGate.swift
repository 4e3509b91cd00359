import Synchronization
package import Vocabulary

/// A place among the connections, as it was taken.
struct GatePlace {
    /// `nil` when the address does not count.
    var address: IPAddress?
}

/// Counts the connections of the process over all of its loops, and says which are too many.
///
/// Asked once a connection, never a request. The table of addresses holds only those that are connected, so it is bounded by the first limit.
package final class ConnectionGate: Sendable {
    /// Which limit a connection went over.
    package enum Refusal: Sendable, Hashable {
        case connections
        case connectionsOfAddress
    }

    /// How many connections there may be.
    package let connectionsMax: Int
    /// How many of them one address may have; 0 for any number. Of IPv6 the network of 64 bits counts: that is what one subscriber has.
    package let connectionsPerAddressMax: Int
    private let open = Atomic<Int>(0)
    private let addresses = Mutex<[IPAddress: Int]>([:])

    package init(connectionsMax: Int = .max, connectionsPerAddressMax: Int = 0) {
        self.connectionsMax = connectionsMax
        self.connectionsPerAddressMax = connectionsPerAddressMax
    }

    /// How many connections hold a place.
    package var openCount: Int { open.load(ordering: .relaxed) }

    /// Takes a place.
    ///
    /// - Parameter address: `nil` for connections of which the address does not count: a trusted proxy, a socket in the file system.
    /// - Returns: `nil` when the place is taken; it has to be given back with ``leave(_:)`` and the same address.
    package func enter(_ address: IPAddress?) -> Refusal? {
        guard open.wrappingAdd(1, ordering: .relaxed).newValue <= connectionsMax else {
            open.wrappingSubtract(1, ordering: .relaxed)
            return .connections
        }
        guard connectionsPerAddressMax > 0, let address = address?.subscriber else { return nil }
        let isRoom = addresses.withLock { addresses in
            let count = addresses[address, default: 0]
            guard count < connectionsPerAddressMax else { return false }
            addresses[address] = count + 1
            return true
        }
        if isRoom { return nil }
        open.wrappingSubtract(1, ordering: .relaxed)
        return .connectionsOfAddress
    }

    /// Gives a place back.
    package func leave(_ address: IPAddress?) {
        open.wrappingSubtract(1, ordering: .relaxed)
        guard connectionsPerAddressMax > 0, let address = address?.subscriber else { return }
        addresses.withLock { addresses in
            guard let count = addresses[address] else { return }
            addresses[address] = count > 1 ? count - 1 : nil
        }
    }
}
