/// Where a value of the configuration came from.
package struct Origin: Sendable, Hashable {
    /// The kinds of places, weakest first.
    package enum Source: Sendable, Hashable {
        /// Built in.
        case embedded
        /// A place in a file; lines and columns count from 1.
        case file(String, line: Int, column: Int)
        /// A variable, by its name.
        case environment(String)
        /// A flag of the command line.
        case commandLine
    }

    package var source: Source
    /// The reference (`env://SIM_KEY`) that the value was read through, if it was.
    package var reference: String?

    package init(_ source: Source, reference: String? = nil) {
        self.source = source
        self.reference = reference
    }
}

extension Origin: CustomStringConvertible {
    /// `default`, `martlet.yaml:3`, `MARTLET_SERVER_PORT`, `command line`; with the reference behind it.
    package var description: String {
        let place =
            switch source {
            case .embedded: "default"
            case .file(let file, let line, _): "\(file):\(line)"
            case .environment(let name): name
            case .commandLine: "command line"
            }
        guard let reference else { return place }
        return "\(place), \(reference)"
    }
}
