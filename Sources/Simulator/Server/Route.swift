/// What a request's path means.
enum Route: Equatable {
    /// The name of a route in `/sim/stats`; never a path that a client can choose.
    enum Label: Int, CaseIterable {
        case chatCompletions, completions, embeddings, models, model, other

        var path: String {
            switch self {
            case .chatCompletions: "/v1/chat/completions"
            case .completions: "/v1/completions"
            case .embeddings: "/v1/embeddings"
            case .models: "/v1/models"
            case .model: "/v1/models/{id}"
            case .other: "other"
            }
        }
    }

    case chatCompletions
    case completions
    case embeddings
    case models
    /// The id as it stood in the path, percent-decoded.
    case model(String)
    case statistics
    case reset
    case calls
    case script
    case faults
    case unknown

    init(uri: String) {
        if uri == "/v1/chat/completions" {
            self = .chatCompletions
            return
        }
        let path = uri.utf8.firstIndex(of: UInt8(ascii: "?")).map { String(uri[..<$0]) } ?? uri
        switch path {
        case "/v1/chat/completions": self = .chatCompletions
        case "/v1/completions": self = .completions
        case "/v1/embeddings": self = .embeddings
        case "/v1/models": self = .models
        case "/sim/stats": self = .statistics
        case "/sim/reset": self = .reset
        case "/sim/calls": self = .calls
        case "/sim/script": self = .script
        case "/sim/faults": self = .faults
        default:
            let prefix = "/v1/models/"
            if path.hasPrefix(prefix), path.utf8.count > prefix.utf8.count, let id = Self.percentDecoded(path.dropFirst(prefix.count)) {
                self = .model(id)
            } else {
                self = .unknown
            }
        }
    }

    var label: Label {
        switch self {
        case .chatCompletions: .chatCompletions
        case .completions: .completions
        case .embeddings: .embeddings
        case .models: .models
        case .model: .model
        case .statistics, .reset, .calls, .script, .faults, .unknown: .other
        }
    }

    /// The methods of the route.
    var methods: [String] {
        switch self {
        case .chatCompletions, .completions, .embeddings, .reset: ["POST"]
        case .models, .model, .statistics, .calls, .faults, .unknown: ["GET"]
        case .script: ["GET", "PUT", "DELETE"]
        }
    }

    /// Whether this is about the simulator itself: no key needed, no faults, not counted.
    var isControl: Bool {
        switch self {
        case .statistics, .reset, .calls, .script, .faults: true
        case .chatCompletions, .completions, .embeddings, .models, .model, .unknown: false
        }
    }

    /// The query of a URI, names and values decoded; what cannot be decoded stays as it is.
    static func query(_ uri: String) -> [(name: String, value: String)] {
        guard let mark = uri.firstIndex(of: "?") else { return [] }
        return uri[uri.index(after: mark)...].split(separator: "&").map { pair in
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let value = parts.count == 2 ? parts[1] : ""
            return (percentDecoded(parts[0]) ?? String(parts[0]), percentDecoded(value) ?? String(value))
        }
    }

    private static func percentDecoded(_ text: Substring) -> String? {
        var units: [UInt8] = []
        var bytes = Array(text.utf8)[...]
        while let byte = bytes.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                units.append(byte)
                continue
            }
            guard bytes.count >= 2, let unit = UInt8(String(decoding: bytes.prefix(2), as: UTF8.self), radix: 16) else { return nil }
            units.append(unit)
            bytes = bytes.dropFirst(2)
        }
        return String(validating: units, as: UTF8.self)
    }
}
