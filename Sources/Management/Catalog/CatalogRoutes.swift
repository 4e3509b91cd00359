import Contracts
import Hummingbird
import Vocabulary

/// What is configured: models, providers, and where everything is. Never a secret.
struct CatalogRoutes: Sendable {
    let snapshots: SnapshotSource
    let access: Access
    let version: String

    func add(to routes: RouteTable) {
        routes.add("/", get: { _, _ in index() })
        routes.add("/api/v1/models", get: { request, _ in try models(request) })
        routes.add("/api/v1/providers", get: { request, _ in try providers(request) })
    }

    private func index() -> Response {
        .json { json in
            json.member("name", "martlet")
            json.member("version", version)
            json.name("endpoints")
            json.object { json in
                json.member("openai", "/v1")
                json.member("keys", "/api/v1/keys")
                json.member("usage", "/api/v1/usage")
                json.member("models", "/api/v1/models")
                json.member("providers", "/api/v1/providers")
                json.member("config", "/api/v1/config")
                json.member("health", "/health")
                json.member("metrics", "/metrics")
            }
        }
    }

    /// The models that the caller may use.
    private func models(_ request: Request) throws -> Response {
        let caller = try access.caller(request)
        let models = snapshots.snapshot.models.filter { caller.mayUse(model: $0.name) }
        return .list { json in
            for model in models {
                json.object { json in
                    json.member("id", model.name)
                    json.member("object", "model")
                    json.member("created", model.createdAt.microseconds / 1_000_000)
                    json.member("owned_by", model.deployments.first?.provider.id ?? "martlet")
                    json.name("deployments")
                    json.array { json in
                        for deployment in model.deployments {
                            json.object { json in
                                json.member("name", deployment.name)
                                json.member("provider", deployment.provider.id)
                                json.member("model", deployment.model)
                            }
                        }
                    }
                    json.name("price")
                    json.object { json in price(model, &json) }
                }
            }
        }
    }

    private func price(_ model: Model, _ json: inout JSONWriter) {
        let price = model.price
        func amount(_ name: String, _ nanodollars: Int64?) {
            json.member(name, literal: nanodollars.map { Money(nanodollars: $0).dollars } ?? "null")
        }
        amount("input", price.input)
        amount("output", price.output)
        amount("cached_input", price.cachedInput)
        amount("reasoning", price.reasoning)
        json.member("currency", "USD")
        json.member("unit", "million_tokens")
        json.member("known", price.isKnown)
        json.member("version", model.priceVersion)
    }

    private func providers(_ request: Request) throws -> Response {
        _ = try access.caller(request)
        let snapshot = snapshots.snapshot
        return .list { json in
            for provider in snapshot.providers {
                let models = snapshot.models.filter { model in model.deployments.contains { $0.provider.id == provider.id } }
                json.object { json in
                    json.member("id", provider.id)
                    json.member("object", "provider")
                    json.member("kind", provider.kind)
                    json.member("base_url", provider.baseURL)
                    json.member("models", models.map(\.name))
                    json.name("limits")
                    json.object { json in
                        json.member("max_concurrency", Int64(provider.concurrencyMax))
                        json.member("max_queue", Int64(provider.queueMax))
                    }
                    json.name("timeouts")
                    json.object { json in
                        json.member("connect_ms", provider.timeouts.connectMilliseconds)
                        json.member("first_byte_ms", provider.timeouts.firstByteMilliseconds)
                        json.member("idle_ms", provider.timeouts.idleMilliseconds)
                    }
                }
            }
        }
    }
}

extension Response {
    /// A list that is whole: `data` and no further page.
    static func list(_ elements: (inout JSONWriter) -> Void) -> Response {
        .json { json in
            json.member("object", "list")
            json.name("data")
            json.array(elements)
            json.member("has_more", false)
        }
    }
}

extension Provider {
    /// Where the provider is, put together from its parts, which hold no credentials.
    fileprivate var baseURL: String {
        let name = host.contains(":") ? "[\(host)]" : host
        let isDefaultPort = port == (isTLS ? 443 : 80)
        return (isTLS ? "https://" : "http://") + name + (isDefaultPort ? "" : ":\(port)") + basePath
    }
}
