import Hummingbird
import Logging

/// What Hummingbird makes a context from: here a request that came over the edge instead of over a channel.
struct ManagementSource: RequestContextSource {
    let logger: Logger
    let requestID: String
}

/// What the routes know of a request besides the request.
struct ManagementContext: RequestContext {
    typealias Source = ManagementSource

    var coreContext: CoreRequestContextStorage
    let requestID: String

    init(source: ManagementSource) {
        coreContext = CoreRequestContextStorage(source: source)
        requestID = source.requestID
    }
}
