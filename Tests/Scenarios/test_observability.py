"""Health, metrics and logs, as an operator's tools read them."""

import json

from prometheus_client.parser import text_string_to_metric_families

from processes import ADMIN_KEY, BASE_CONFIGURATION, SIMULATOR_KEY, free_port, http_request, wait_until

CHAT = "/v1/chat/completions"
PROMPT = "xylophone-prompt-that-must-never-be-logged"
BODY = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": PROMPT}]}


def families(gateway):
    answer = gateway.request("GET", "/metrics", key=ADMIN_KEY)
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert answer.body.endswith(b"\n")
    return {family.name: family for family in text_string_to_metric_families(answer.body.decode())}


def total(family, **labels):
    return sum(sample.value for sample in family.samples if labels.items() <= sample.labels.items())


def test_metrics_parse_and_count_what_happened(make_gateway):
    gateway = make_gateway().start()
    key = gateway.create_key()["key"]
    for _ in range(3):
        assert gateway.request("POST", CHAT, BODY, key=key).status == 200
    assert gateway.request("POST", CHAT, {**BODY, "stream": True}, key=key).status == 200
    assert gateway.request("POST", CHAT, BODY, key=key, headers={"x-sim-error": "500"}).status == 500
    gateway.flush()
    found = families(gateway)
    for name in ("llm_requests", "llm_tokens_used", "llm_cost", "llm_errors"):
        assert found[name].type == "counter", name
    assert found["llm_request_duration_seconds"].type == "histogram"
    assert found["llm_active_requests"].type == "gauge"
    requests = [sample for sample in found["llm_requests"].samples if sample.name == "llm_requests_total"]
    assert sum(sample.value for sample in requests) == 5
    assert all({"agent", "model", "provider", "status"} <= set(sample.labels) for sample in requests)
    rows = gateway.rows()
    tokens = sum(row["input_tokens"] + row["output_tokens"] for row in rows)
    counted = sum(sample.value for sample in found["llm_tokens_used"].samples if sample.name == "llm_tokens_used_total")
    assert counted >= tokens > 0
    counts = [sample for sample in found["llm_request_duration_seconds"].samples if sample.name.endswith("_count")]
    assert sum(sample.value for sample in counts) == 5
    assert {sample.labels["le"] for sample in found["llm_request_duration_seconds"].samples if sample.name.endswith("_bucket")} >= {"+Inf"}


def test_a_client_cannot_make_metric_labels(make_gateway):
    gateway = make_gateway().start()
    key = gateway.create_key()["key"]
    gateway.request("POST", CHAT, {**BODY, "model": "invented-first"}, key=key)
    before = len(gateway.request("GET", "/metrics", key=ADMIN_KEY).body.splitlines())
    for number in range(100):
        gateway.request("POST", CHAT, {**BODY, "model": f"invented-{number}"}, key=key)
        gateway.request("GET", f"/v1/invented-{number}", key=key)
    text = gateway.request("GET", "/metrics", key=ADMIN_KEY).body.decode()
    assert "invented-" not in text
    # The one series of unknown models was there after the first; a further code of refusal is a line.
    assert len(text.splitlines()) <= before + 1


def test_metrics_and_dependency_detail_need_a_credential(gateway, key):
    for path in ("/metrics", "/health/dependencies"):
        assert gateway.request("GET", path).status == 401
        assert gateway.request("GET", path, key=key).status == 403
        assert gateway.request("GET", path, key=ADMIN_KEY).status == 200


def test_a_private_listener_serves_metrics_without_a_credential(make_gateway):
    private = free_port()
    configuration = BASE_CONFIGURATION.replace("port: %(port)d }", f"port: %(port)d, private: {{ host: 127.0.0.1, port: {private} }} }}")
    gateway = make_gateway(configuration=configuration).start()
    assert http_request(private, "GET", "/metrics").status == 200
    assert http_request(private, "GET", "/health/dependencies").status == 200
    assert http_request(private, "POST", CHAT, BODY).status in (401, 404), "the private listener is no way around a key"
    assert gateway.request("GET", "/metrics").status == 401


def test_health_endpoints_answer_without_a_credential(gateway):
    for path in ("/health", "/health/live", "/health/ready", "/health/startup", "/api/v1/health"):
        answer = gateway.request("GET", path)
        assert answer.status == 200, path
        assert answer.headers["x-request-id"]


def test_a_provider_that_is_away_degrades_health_but_not_readiness(make_gateway, own_simulator):
    gateway = make_gateway().start()
    key = gateway.create_key()["key"]
    own_simulator.stop()
    answer = gateway.request("POST", CHAT, BODY, key=key, headers={"x-request-id": "away"})
    assert answer.status == 502 and answer.json()["error"]["code"] == "upstream_unreachable"
    row = gateway.row("away")
    assert row["outcome"] == "upstream_error" and row["status"] == 502
    assert gateway.is_ready()
    assert gateway.request("GET", "/health").status == 200


def test_logs_are_json_lines_without_prompt_answer_or_key(make_gateway):
    gateway = make_gateway(extra="log: { level: debug, calls: all }\n").start()
    key = gateway.create_key()["key"]
    answers = [gateway.request("POST", CHAT, BODY, key=key, headers={"x-request-id": "logged-1"})]
    answers.append(gateway.request("POST", CHAT, BODY, key=key, headers={"x-request-id": "logged-2", "x-sim-error": "500"}))
    answers.append(gateway.request("POST", CHAT, b'{"model": "gpt-4o-mini", "messages": "' + PROMPT.encode() + b'"', key=key))
    gateway.request("POST", CHAT, {**BODY, "stream": True}, key=key)
    gateway.request("POST", CHAT, BODY, key="mk_" + "wrong" * 7)
    gateway.request("GET", f"/v1/models?key={key}", key=key)
    text = answers[0].json()["choices"][0]["message"]["content"]
    gateway.flush()
    gateway.terminate()
    assert gateway.wait() == 0
    lines = gateway.log_lines()
    parsed = [json.loads(line) for line in lines]
    assert all(isinstance(entry, dict) and entry.get("level") and entry.get("message") for entry in parsed)
    assert any("logged-1" in line for line in lines) and any("logged-2" in line for line in lines)
    output = gateway.output()
    for secret in (PROMPT, key, ADMIN_KEY, SIMULATOR_KEY, "wrongwrong", text[:40]):
        assert secret not in output


def test_refusals_of_unknown_callers_are_aggregated_in_the_usage_log(make_gateway):
    gateway = make_gateway().start()
    for _ in range(200):
        assert gateway.request("POST", CHAT, BODY, key="mk_nobody").status == 401

    def counted():
        rows = [row for row in gateway.rows() if row["outcome"] == "refused" and row["error_code"] == "invalid_api_key"]
        return rows if sum(row["count"] for row in rows) == 200 else None

    rows = wait_until(counted, 90, "all refusals are counted")
    assert len(rows) <= 4, "one row per reason, address and minute"


def test_refusals_of_known_callers_are_recorded(gateway):
    # A key of its own: above ten refusals a second those of one key are counted together.
    key = gateway.create_key(name="refused")["key"]
    answer = gateway.request("POST", CHAT, {**BODY, "model": "gpt-99"}, key=key, headers={"x-request-id": "refused-1"})
    assert answer.status == 404
    row = gateway.row("refused-1")
    assert row["outcome"] == "refused" and row["error_code"] == "model_not_found" and row["status"] == 404
