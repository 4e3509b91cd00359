/// One function to be counted: how to set it up, and one operation of it.
struct Case: Sendable {
    let name: String
    /// What one operation is, for the table's reader.
    let what: String
    /// Sets everything up that is not to be counted, and returns the operation.
    let prepare: @Sendable () throws -> () -> Void

    init(_ name: String, _ what: String, _ prepare: @escaping @Sendable () throws -> () -> Void) {
        self.name = name
        self.what = what
        self.prepare = prepare
    }
}

/// Why a case could not be set up.
struct SetUpError: Error, CustomStringConvertible {
    let description: String
}

/// Where results go, so that no work can be left out as useless. Written by one thread only.
nonisolated(unsafe) private var sink = 0

/// Uses a result.
@inline(never)
func use(_ value: Int) {
    sink &+= value
}
