import HTTPTypes
import Hummingbird
import Vocabulary

/// The routes of the management API, each with an answer to every method.
struct RouteTable {
    typealias Handler = @Sendable (Request, ManagementContext) async throws -> Response

    /// Stands for every method that no route has, so that these too reach their path and learn what it allows.
    ///
    /// `*` may be in a method but is none that is registered; `HTTPRequest.Method` takes any token.
    static let otherMethod = HTTPRequest.Method("*") ?? .trace

    private let router = Router(context: ManagementContext.self)

    init() {
        router.add(middleware: ErrorMiddleware())
    }

    /// Adds a path. HEAD comes with GET: whoever writes the answer leaves its body out.
    func add(_ path: RouterPath, get: Handler? = nil, post: Handler? = nil, delete: Handler? = nil) {
        let handlers = [(HTTPRequest.Method.get, get), (.post, post), (.delete, delete)]
        var allowed: [String] = []
        for case (let method, .some) in handlers {
            allowed.append(method.rawValue)
            if method == .get { allowed.append(HTTPRequest.Method.head.rawValue) }
        }
        let allow = allowed.joined(separator: ", ")
        for (method, handler) in handlers + [(RouteTable.otherMethod, nil)] {
            router.on(path, method: method) { request, context in
                guard let handler else { throw GatewayError.wrongMethod(allowed: allow) }
                return try await handler(request, context)
            }
        }
    }

    func responder() -> RouterResponder<ManagementContext> {
        router.buildResponder()
    }
}
