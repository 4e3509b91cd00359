import HTTPTypes
import Hummingbird
import NIOCore

extension Response {
    /// A whole JSON text.
    static func json(_ json: JSONWriter, status: HTTPResponse.Status = .ok) -> Response {
        Response(
            status: status, headers: [.contentType: "application/json; charset=utf-8"],
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: json.bytes)))
    }

    /// A JSON object of these members.
    static func json(status: HTTPResponse.Status = .ok, _ members: (inout JSONWriter) throws -> Void) rethrows -> Response {
        var json = JSONWriter()
        try json.object(members)
        return .json(json, status: status)
    }
}

extension APIError {
    /// The error as it goes over the wire.
    var response: Response {
        var json = JSONWriter()
        json.object { json in
            json.name("error")
            json.object { json in
                json.member("message", message)
                json.member("type", type)
                json.member("param", parameter)
                json.member("code", code)
            }
        }
        var response = Response.json(json, status: HTTPResponse.Status(code: status))
        for (name, value) in headers { response.headers[name] = value }
        return response
    }
}
