/// A configuration before it has types: what the file, the environment and the flags say, laid over each other.
struct ConfigNode {
    /// What stands at this place.
    indirect enum Content {
        /// No value: `key:`, `key: ~`, `key: null`.
        case null
        /// The text exactly as it was written, quotes and escapes resolved.
        case scalar(String)
        case sequence([ConfigNode])
        case mapping([Entry])
    }

    /// One key of a mapping.
    struct Entry {
        var key: String
        /// Where the key stands; the value's own origin is behind it.
        var keyOrigin: Origin
        var value: ConfigNode
    }

    /// One step down: the key of a mapping or the index of a sequence.
    enum Step: Hashable {
        case key(String)
        case index(Int)
    }

    var content: Content
    var origin: Origin

    init(_ content: Content, origin: Origin = Origin(.embedded)) {
        self.content = content
        self.origin = origin
    }

    /// What the node is, in words for a person.
    var kindName: String {
        switch content {
        case .null: "nothing"
        case .scalar: "a single value"
        case .sequence: "a list"
        case .mapping: "a mapping"
        }
    }

    /// Puts a single value at an address, making the mappings on the way.
    ///
    /// Where something else than a mapping is in the way nothing happens: reading reports that place in any case.
    mutating func set(_ text: String, at address: ArraySlice<Step>, origin: Origin) {
        guard let step = address.first else {
            self = ConfigNode(.scalar(text), origin: origin)
            return
        }
        switch (step, content) {
        case (.key(let key), .mapping(var entries)):
            if let index = entries.firstIndex(where: { $0.key == key }) {
                entries[index].value.set(text, at: address.dropFirst(), origin: origin)
            } else {
                var value = ConfigNode(.null, origin: origin)
                value.set(text, at: address.dropFirst(), origin: origin)
                entries.append(Entry(key: key, keyOrigin: origin, value: value))
            }
            content = .mapping(entries)
        case (.key, .null):
            content = .mapping([])
            set(text, at: address, origin: origin)
        case (.index(let index), .sequence(var items)) where items.indices.contains(index):
            items[index].set(text, at: address.dropFirst(), origin: origin)
            content = .sequence(items)
        case (.key, .scalar), (.key, .sequence), (.index, _):
            break
        }
    }
}

extension ConfigNode: ExpressibleByStringLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral {
    init(stringLiteral text: String) {
        self.init(.scalar(text))
    }

    init(arrayLiteral items: ConfigNode...) {
        self.init(.sequence(items))
    }

    init(dictionaryLiteral entries: (String, ConfigNode)...) {
        self.init(.mapping(entries.map { Entry(key: $0.0, keyOrigin: Origin(.embedded), value: $0.1) }))
    }
}

extension ConfigNode {
    /// Whether this is a list of nothing, or nothing where a list could be.
    var isEmptyList: Bool {
        switch content {
        case .null: true
        case .sequence(let items): items.isEmpty
        case .scalar, .mapping: false
        }
    }

    /// Whether this is a mapping of nothing, or nothing where a mapping could be.
    var isEmptyMapping: Bool {
        switch content {
        case .null: true
        case .mapping(let entries): entries.isEmpty
        case .scalar, .sequence: false
        }
    }
}
