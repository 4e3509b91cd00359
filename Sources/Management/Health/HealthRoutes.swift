import Contracts
import HTTPTypes
import Hummingbird
import NIOCore

/// Health and metrics (PRODUCT J1, J2). States are open to everyone; what they are made of is for operators.
struct HealthRoutes: Sendable {
    let health: any HealthReporting
    let metrics: any MetricsReporting
    let access: Access
    let version: String

    func add(to routes: RouteTable) {
        for path in ["/health", "/healthz", "/api/v1/health"] {
            routes.add(RouterPath(path), get: { _, _ in await overall() })
        }
        for path in ["/health/live", "/livez"] {
            // Answering is the proof: a restart cures nothing that anything else could tell.
            routes.add(RouterPath(path), get: { _, _ in .json { $0.member("status", "alive") } })
        }
        for path in ["/health/ready", "/readyz"] { routes.add(RouterPath(path), get: { _, _ in ready() }) }
        for path in ["/health/startup", "/startupz"] { routes.add(RouterPath(path), get: { _, _ in startup() }) }
        routes.add("/health/dependencies", get: { request, _ in try await dependencies(request) })
        routes.add("/metrics", get: { request, _ in try await exposition(request) })
    }

    private func overall() async -> Response {
        let state = await state(of: health.dependencies())
        return .json(status: status(of: state)) { json in
            json.member("status", state.rawValue)
            json.member("version", version)
            if let reason = unreadyReason { json.member("reason", reason) }
        }
    }

    private func ready() -> Response {
        guard let reason = unreadyReason else { return .json { $0.member("status", "ready") } }
        return .json(status: .serviceUnavailable) { json in
            json.member("status", "not_ready")
            json.member("reason", reason)
        }
    }

    private func startup() -> Response {
        .json(status: health.isStarted ? .ok : .serviceUnavailable) { json in
            json.member("status", health.isStarted ? "started" : "starting")
        }
    }

    private func dependencies(_ request: Request) async throws -> Response {
        try access.requireOperator(request)
        let dependencies = await health.dependencies()
        let state = state(of: dependencies)
        return .json(status: status(of: state)) { json in
            json.member("status", state.rawValue)
            json.member("version", version)
            json.member("reason", unreadyReason)
            json.name("dependencies")
            json.array { json in
                for dependency in dependencies {
                    json.object { json in
                        json.member("name", dependency.name)
                        json.member("status", dependency.state.rawValue)
                        let latency = dependency.latencyMilliseconds.flatMap { Int64(exactly: ($0 * 1000).rounded()) }
                        json.member("latency_ms", literal: latency.map(milliseconds(ofMicroseconds:)) ?? "null")
                        json.member("message", dependency.message)
                    }
                }
            }
        }
    }

    private func exposition(_ request: Request) async throws -> Response {
        try access.requireOperator(request)
        return Response(
            status: .ok, headers: [.contentType: "text/plain; version=0.0.4; charset=utf-8"],
            body: ResponseBody(byteBuffer: ByteBuffer(string: await metrics.prometheusText())))
    }

    private var unreadyReason: String? {
        health.notReadyReason ?? (health.isStarted ? nil : "starting")
    }

    /// Only what keeps calls from being served makes Martlet itself unhealthy; it lives on while something it uses is down.
    private func state(of dependencies: [DependencyHealth]) -> HealthState {
        if unreadyReason != nil { return .unhealthy }
        return dependencies.allSatisfy { $0.state == .healthy } ? .healthy : .degraded
    }

    private func status(of state: HealthState) -> HTTPResponse.Status {
        switch state {
        case .healthy, .degraded: .ok
        case .unhealthy: .serviceUnavailable
        }
    }
}
