import NIOCore

/// What the responder decided for one request.
struct Answer {
    enum Content {
        case whole(ByteBuffer)
        case stream(any FrameSource)
    }

    var status: Int
    var content: Content
    /// The tokens that a plain answer takes its time for.
    var tokens = 0
    /// The tokens of the prompt, where there is one.
    var promptTokens = 0
    var retryAfter: String?
    var retryAfterMilliseconds: String?
    /// Whether the `x-ratelimit-…` headers stand in the head.
    var sendsRateLimits = false
    /// What they say, where a limit is in force.
    var rateLimits: RateLimiter.State?
    /// What is kept of the call; `nil` for one that is not recorded.
    var entry: CallEntry?
    /// The method to name in `allow`, for a 405.
    var allow: String?
    /// Delays and cuts; `nil` where there are none to apply.
    var controls: RequestControls?
    /// How the call is counted; `nil` when it is not.
    var label: Route.Label?
    var closesConnection = false

    init(status: Int = 200, _ content: Content) {
        self.status = status
        self.content = content
    }

    init(_ error: APIError) { self.init(status: error.status, .whole(error.body())) }
}
