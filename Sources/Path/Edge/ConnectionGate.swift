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
    package var connectionsMax: Int { connectionLimit.load(ordering: .relaxed) }
    /// How many of them one address may have; 0 for any number. Of IPv6 the network of 64 bits counts: that is what one subscriber has.
    package var connectionsPerAddressMax: Int { perAddressLimit.load(ordering: .relaxed) }
    private let connectionLimit: Atomic<Int>
    private let perAddressLimit: Atomic<Int>
    private let open = Atomic<Int>(0)
    private let addresses = Mutex<[IPAddress: Int]>([:])

    package init(connectionsMax: Int = .max, connectionsPerAddressMax: Int = 0) {
        connectionLimit = Atomic(connectionsMax)
        perAddressLimit = Atomic(connectionsPerAddressMax)
    }

    /// Sets other limits for connections that come from now on; those that hold a place keep it.
    package func resize(connectionsMax: Int, connectionsPerAddressMax: Int) {
        connectionLimit.store(connectionsMax, ordering: .relaxed)
        perAddressLimit.store(connectionsPerAddressMax, ordering: .relaxed)
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
        // Addresses are counted without a limit, too, for one that is set later.
        guard let address = address?.subscriber else { return nil }
        let addressMax = connectionsPerAddressMax
        let isRoom = addresses.withLock { addresses in
            let count = addresses[address, default: 0]
            guard addressMax == 0 || count < addressMax else { return false }
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
        guard let address = address?.subscriber else { return }
        addresses.withLock { addresses in
            guard let count = addresses[address] else { return }
            addresses[address] = count > 1 ? count - 1 : nil
        }
    }
}
