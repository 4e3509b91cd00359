extension Table {
    /// The columns of `keys list`.
    package static let keyColumns: [Column] = [
        Column("ID", "id"), Column("NAME", "name"), Column("KEY", "masked"), Column("TENANT", "tenant"), Column("TEAM", "team"),
        Column("RIGHTS", "rights"), Column("MODELS", "models"), Column("CREATED", "created_at"), Column("EXPIRES", "expires_at"),
        Column("STATUS", "status"), Column("FORMER SECRET UNTIL", "previous_expires_at"),
    ]

    /// The columns of `usage list`; a row stands for several calls where refusals are counted together.
    package static let usageColumns: [Column] = [
        Column("TIME", "time"), Column("REQUEST", "request_id"), Column("TENANT", "tenant"), Column("MODEL", "served_model", "requested_model"),
        Column("PROVIDER", "provider"), Column("INPUT", "input_tokens", isNumber: true), Column("OUTPUT", "output_tokens", isNumber: true),
        Column("COST USD", "cost_usd", isNumber: true), Column("MS", "latency_ms", isNumber: true), Column("STATUS", "status", isNumber: true),
        Column("OUTCOME", "outcome"), Column("CALLS", "count", isNumber: true),
    ]

    /// The columns of `models`; prices are US dollars per million tokens.
    package static let modelColumns: [Column] = [
        Column("MODEL", "name", "id"), Column("DEPLOYMENTS", "deployments"), Column("INPUT", "price.input", isNumber: true),
        Column("CACHED", "price.cached_input", isNumber: true), Column("OUTPUT", "price.output", isNumber: true),
        Column("REASONING", "price.reasoning", isNumber: true),
    ]

    /// The columns of `providers`.
    package static let providerColumns: [Column] = [
        Column("PROVIDER", "id"), Column("KIND", "kind"), Column("BASE URL", "base_url"), Column("MODELS", "models"),
        Column("CONCURRENCY", "limits.max_concurrency", isNumber: true), Column("QUEUE", "limits.max_queue", isNumber: true),
    ]
}
