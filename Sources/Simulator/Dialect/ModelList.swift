import NIOCore

/// The models the simulator says it has. Any other name works too, unless it begins with `unknown`.
enum ModelList {
    private static let names = [
        "gpt-4o-mini", "gpt-4o", "gpt-4.1", "gpt-4.1-mini", "gpt-5", "gpt-5-mini", "o3", "o4-mini", "gpt-3.5-turbo", "gpt-3.5-turbo-instruct",
        "text-embedding-3-small", "text-embedding-3-large", "text-embedding-ada-002",
    ]
    /// The same for all, so that lists are equal from run to run.
    private static let created = "1721172741"

    static func list() -> ByteBuffer {
        var buffer = ByteBuffer()
        buffer.writeJSON(.object([JSONMember("object", .string("list")), JSONMember("data", .array(names.map(entry)))]))
        return buffer
    }

    static func model(_ id: String) throws(APIError) -> ByteBuffer {
        if id.hasPrefix("unknown") { throw .unknownModel(id) }
        var buffer = ByteBuffer()
        buffer.writeJSON(entry(id))
        return buffer
    }

    private static func entry(_ id: String) -> JSONValue {
        .object([
            JSONMember("id", .string(id)), JSONMember("object", .string("model")), JSONMember("created", .number(created)),
            JSONMember("owned_by", .string("system")),
        ])
    }
}
