"""The configuration is read again while calls run: by signal, by a watch of its file, and by the management API."""

import asyncio
import json
import os
import signal
import subprocess
import time

import pytest
from prometheus_client.parser import text_string_to_metric_families

from load import Load
from processes import ADMIN_KEY, http_request, wait_until
from rawhttp import RawConnection

CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}
QUIET = "reload: { watch: false }\n"


def config(gateway):
    return gateway.api("GET", "/config")


def reload(gateway, expect=(200,)):
    return gateway.api("POST", "/config/reload", expect=expect)


def change(gateway, *pairs):
    text = gateway.configuration.read_text()
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    gateway.configuration.write_text(text)


def metric(gateway, name, **labels):
    text = gateway.request("GET", "/metrics", key=ADMIN_KEY).body.decode()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == name and labels.items() <= sample.labels.items():
                return sample.value
    raise AssertionError(f"no {name} {labels}")


def models(gateway, key):
    return {model["id"] for model in gateway.request("GET", "/v1/models", key=key).json()["data"]}


@pytest.fixture
def gateway(make_gateway):
    return make_gateway(extra=QUIET).start()


@pytest.fixture
def key(gateway):
    return gateway.create_key()["key"]


def test_models_and_prices_change_without_a_restart(gateway, key):
    born = {model["id"]: model["created"] for model in gateway.request("GET", "/v1/models", key=key).json()["data"]}
    change(gateway, ("input: 0.15", "input: 0.30"), ("name: no-price", "name: another"))
    answer = reload(gateway)
    assert answer["reloaded"] is True and answer["generation"] == 2 and answer["trigger"] == "api" and answer["needs_restart"] == []
    assert "another" in models(gateway, key) and "no-price" not in models(gateway, key)
    listed = {model["id"]: model["created"] for model in gateway.request("GET", "/v1/models", key=key).json()["data"]}
    assert listed["gpt-4o-mini"] == born["gpt-4o-mini"]
    assert gateway.request("POST", "/v1/chat/completions", {**CHAT, "model": "no-price"}, key=key).status == 404
    assert gateway.request("POST", "/v1/chat/completions", {**CHAT, "model": "another"}, key=key).status == 200
    price = next(model["price"] for model in gateway.api("GET", "/models")["data"] if model["id"] == "gpt-4o-mini")
    assert str(price["input"]) == "0.3"


def test_sighup_reloads(gateway, key):
    change(gateway, ("name: no-price", "name: by-signal"))
    os.kill(gateway.process.pid, signal.SIGHUP)
    wait_until(lambda: config(gateway)["trigger"] == "signal", 10, "the signal is obeyed")
    assert "by-signal" in models(gateway, key)


@pytest.mark.parametrize("how", ["written", "replaced", "mounted"])
def test_a_change_of_the_file_is_noticed(make_gateway, how):
    gateway = make_gateway(extra="reload: { interval: 100ms }\n")
    text = gateway.configuration.read_text()
    if how == "mounted":
        # As a ConfigMap is mounted: the name is a link into a folder that is a link, and an update swaps that one.
        folder = gateway.directory / "..2026_1"
        folder.mkdir()
        (folder / "martlet.yaml").write_text(text)
        (gateway.directory / "..data").symlink_to("..2026_1")
        gateway.configuration.unlink()
        gateway.configuration.symlink_to("..data/martlet.yaml")
    gateway.start()
    key = gateway.create_key()["key"]
    for number in range(2):
        changed = text.replace("name: no-price", f"name: {how}-{number}")
        if how == "written":
            gateway.configuration.write_text(changed)
        elif how == "replaced":
            draft = gateway.directory / ".martlet.yaml.swp"
            draft.write_text(changed)
            draft.rename(gateway.configuration)
        else:
            folder = gateway.directory / f"..2026_new_{number}"
            folder.mkdir()
            (folder / "martlet.yaml").write_text(changed)
            (gateway.directory / "..tmp").symlink_to(folder.name)
            (gateway.directory / "..tmp").rename(gateway.directory / "..data")
        wait_until(lambda: f"{how}-{number}" in models(gateway, key), 10, "the change is in force")
    wait_until(lambda: config(gateway)["trigger"] == "watch", 10, "it is told")


def test_what_says_nothing_new_is_not_reloaded_and_a_watch_can_be_switched_off_and_on(make_gateway):
    gateway = make_gateway(extra="reload: { interval: 50ms }\n").start()
    key = gateway.create_key()["key"]
    os.utime(gateway.configuration)
    # A broken file, and a good one after it: the watch goes on. Had the touch been a change, it would have been seen before.
    text = gateway.configuration.read_text()
    gateway.configuration.write_text(text + "nonsense: 1\n")
    wait_until(lambda: config(gateway)["last_failure"], 10, "the broken file is seen")
    assert config(gateway)["generation"] == 1
    gateway.configuration.write_text(text.replace("interval: 50ms", "watch: false"))
    wait_until(lambda: config(gateway)["generation"] == 2, 10, "the mended file is seen")
    change(gateway, ("name: no-price", "name: unseen"))
    time.sleep(1.5)  # nothing can be waited for: nothing is to happen
    assert "unseen" not in models(gateway, key)
    change(gateway, ("watch: false", "watch: true"))
    assert reload(gateway)["generation"] == 3
    change(gateway, ("name: unseen", "name: seen"))
    wait_until(lambda: "seen" in models(gateway, key), 10, "the watch is on again")


def test_a_deleted_file_leaves_everything_in_force(make_gateway):
    gateway = make_gateway(extra="reload: { interval: 50ms }\n").start()
    key = gateway.create_key()["key"]
    before = models(gateway, key)
    text = gateway.configuration.read_text()
    gateway.configuration.unlink()
    failure = wait_until(lambda: config(gateway)["last_failure"], 10, "it is noticed")
    assert "no such file" in failure["problems"][0]["reason"]
    assert models(gateway, key) == before
    gateway.configuration.write_text(text.replace("name: no-price", "name: back"))
    wait_until(lambda: "back" in models(gateway, key), 10, "the file is read once it is there again")


def test_a_file_that_gets_its_permissions_is_read_at_last(make_gateway):
    gateway = make_gateway(extra="reload: { interval: 50ms }\n")
    if os.geteuid() == 0:
        # Who may do everything may also give up reading what is not permitted.
        gateway.wrapper = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    gateway.start()
    key = gateway.create_key()["key"]
    text = gateway.configuration.read_text()
    draft = gateway.directory / "draft.yaml"
    draft.write_text(text.replace("name: no-price", "name: permitted"))
    draft.chmod(0o000)
    draft.rename(gateway.configuration)
    wait_until(lambda: config(gateway)["last_failure"], 10, "it is noticed")
    gateway.configuration.chmod(0o600)
    wait_until(lambda: "permitted" in models(gateway, key), 10, "it is read once it can be")


@pytest.mark.parametrize("which", ["configuration", "secret", "ca_file"])
def test_a_pipe_in_the_place_of_a_file_holds_nothing_up(make_gateway, which):
    gateway = make_gateway(extra=QUIET).start()
    pipe = gateway.directory / "pipe"
    os.mkfifo(pipe)
    text = gateway.configuration.read_text()
    if which == "configuration":
        pipe.rename(gateway.configuration)
    elif which == "secret":
        change(gateway, ("env://SIM_KEY", f"file://{pipe}"))
    else:
        change(gateway, ('api_key: "env://SIM_KEY"', f'api_key: "env://SIM_KEY", ca_file: "{pipe}"'))
    problems = reload(gateway, expect=(422,))["error"]
    assert "is a pipe, not a file" in json.dumps(problems, default=str)
    gateway.configuration.unlink()
    gateway.configuration.write_text(text)
    assert reload(gateway)["generation"] == 2
    gateway.terminate()
    assert gateway.wait(10) == 0


def test_a_broken_file_is_refused_whole_with_its_lines(gateway, key):
    before = models(gateway, key)
    good = gateway.configuration.read_text()
    change(gateway, ("input: 0.15", "input: cheap"), ("name: no-price", "name: never"), ("provider: sim, model: gpt-4o }", "provider: sin }"))
    error = reload(gateway, expect=(422,))["error"]
    assert error["code"] == "invalid_configuration"
    lines = gateway.configuration.read_text().splitlines()
    wanted = [("models.gpt-4o-mini.price.input", "cheap"), ("models.house/reasoner:v1.deployments[0].provider", "sin")]
    for path, word in wanted:
        problem = next(problem for problem in error["problems"] if problem["path"] == path)
        assert word in lines[problem["line"] - 1] and problem["column"] > 1 and word in problem["reason"]
        assert problem["file"] == str(gateway.configuration)
    assert models(gateway, key) == before
    assert gateway.request("POST", "/v1/chat/completions", CHAT, key=key).status == 200
    state = config(gateway)
    assert state["generation"] == 1 and len(state["last_failure"]["problems"]) == 2
    assert metric(gateway, "martlet_config_reloads_total", result="failure") == 1
    assert metric(gateway, "martlet_config_last_reload_successful") == 0
    health = gateway.request("GET", "/health/dependencies", key=ADMIN_KEY).json()
    assert health["status"] == "degraded"
    assert "cheap" in next(item["message"] for item in health["dependencies"] if item["name"] == "configuration")
    assert gateway.is_ready(), "an old configuration serves as well as before"
    assert any("configuration refused" in line for line in gateway.log_lines())
    loaded = metric(gateway, "martlet_config_last_reload_success_timestamp_seconds")
    gateway.configuration.write_text(good)
    reload(gateway)
    assert config(gateway)["last_failure"] is None
    assert metric(gateway, "martlet_config_last_reload_successful") == 1
    assert metric(gateway, "martlet_config_reloads_total", result="success") == 1
    assert metric(gateway, "martlet_config_last_reload_success_timestamp_seconds") > loaded


def test_certificates_that_cannot_be_read_refuse_the_whole(gateway, key, tmp_path):
    broken = tmp_path / "ca.pem"
    broken.write_text("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n")
    change(gateway, ('api_key: "env://SIM_KEY"', f'api_key: "env://SIM_KEY", ca_file: {broken}'), ("name: no-price", "name: never"))
    change(gateway, ("http://127.0.0.1", "https://127.0.0.1"))
    assert reload(gateway, expect=(422,))["error"]["problems"]
    assert "never" not in models(gateway, key)
    assert gateway.request("POST", "/v1/chat/completions", CHAT, key=key).status == 200


def test_what_needs_a_restart_is_said_and_not_half_done(gateway, key):
    change(gateway, (f"port: {gateway.port}", "port: 1"), ("data: ./data", "data: ./other\njournal: { max_size: 1GiB }"))
    answer = reload(gateway)
    needs = {need["path"]: (need["in_force"], need["wanted"]) for need in answer["needs_restart"]}
    assert needs["server.port"] == (str(gateway.port), "1")
    assert needs["data"] == ("./data", "./other") and needs["journal.max_size"] == ("4GiB", "1GiB")
    state = config(gateway)
    assert state["config"]["server"]["port"] == gateway.port and state["config"]["data"] == "./data", "what is in force is shown"
    assert metric(gateway, "martlet_config_needs_restart") == len(needs)
    assert sum("needs a restart" in line for line in gateway.log_lines()) == len(needs)
    assert gateway.request("POST", "/v1/chat/completions", CHAT, key=key).status == 200
    assert not (gateway.directory / "other").exists()
    change(gateway, ("port: 1,", f"port: {gateway.port},") if "port: 1," in gateway.configuration.read_text() else ("port: 1 ", f"port: {gateway.port} "))
    assert "server.port" not in {need["path"] for need in reload(gateway)["needs_restart"]}


def test_limits_timeouts_and_logging_hold_at_once(gateway, key):
    change(gateway, (f"port: {gateway.port} }}", f"port: {gateway.port}, max_body: 1KiB, total_timeout: 700ms }}"))
    gateway.configuration.write_text(gateway.configuration.read_text() + "log: { calls: all, level: info }\n")
    kept = gateway.request("POST", "/v1/chat/completions", CHAT, key=key, headers={"x-request-id": "quiet"})
    assert kept.status == 200
    reload(gateway)
    large = {**CHAT, "messages": [{"role": "user", "content": "x" * 2000}]}
    assert gateway.request("POST", "/v1/chat/completions", large, key=key).status == 413
    slow = gateway.request("POST", "/v1/chat/completions", CHAT, key=key, headers={"x-sim-ttft-ms": "5000"})
    assert slow.status == 504
    gateway.request("POST", "/v1/chat/completions", CHAT, key=key, headers={"x-request-id": "told"})
    wait_until(lambda: any('"told"' in line for line in gateway.log_lines()), 5, "a successful call has its line")
    assert not any('"quiet"' in line for line in gateway.log_lines())
    change(gateway, ("calls: all, level: info", "calls: all, level: error"))
    reload(gateway)
    gateway.request("POST", "/v1/chat/completions", CHAT, key=key, headers={"x-request-id": "below"})
    gateway.flush()
    time.sleep(0.3)  # nothing can be waited for: no line is to come
    assert not any('"below"' in line for line in gateway.log_lines())


def test_caps_of_connections_hold_for_those_that_come(gateway, key):
    def is_served():
        with RawConnection(gateway.port) as connection:
            connection.send(live)
            return connection.answer("GET").status == 200

    live = b"GET /health/live HTTP/1.1\r\nhost: m\r\n\r\n"
    held = RawConnection(gateway.port)
    held.send(live)
    assert held.answer("GET").status == 200 and is_served()
    change(gateway, (f"port: {gateway.port} }}", f"port: {gateway.port}, max_connections_per_address: 1 }}"))
    os.kill(gateway.process.pid, signal.SIGHUP)  # the API would need a second connection to tell of its success
    wait_until(lambda: not is_served(), 10, "the connection that is held counts")
    held.send(live)
    assert held.answer("GET").status == 200, "and goes on"
    held.socket.close()
    wait_until(is_served, 10, "its place is free")


def test_a_broken_certificate_refuses_the_whole_and_a_new_one_is_shown(make_gateway, tmp_path):
    def make(name):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "9", "-subj", f"/CN={name}",
             "-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem"], check=True, capture_output=True)  # fmt: skip

    def shown():
        done = subprocess.run(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{gateway.port}"], input="", capture_output=True, text=True, timeout=20)
        return done.stdout

    make("first")
    gateway = make_gateway(extra=QUIET, environment={"MARTLET_SERVER_PRIVATE_PORT": "0"})
    change(gateway, (f"port: {gateway.port} }}", f"port: {gateway.port}, tls: {{ cert: {tmp_path}/cert.pem, key: {tmp_path}/key.pem }} }}"))
    gateway.spawn_server()
    wait_until(lambda: "first" in shown(), 20, "the gateway shows its certificate")
    make("second")
    os.kill(gateway.process.pid, signal.SIGHUP)
    wait_until(lambda: "second" in shown(), 20, "the new one is shown")
    (tmp_path / "key.pem").write_text("nonsense")
    change(gateway, ("name: no-price", "name: never"))
    os.kill(gateway.process.pid, signal.SIGHUP)
    wait_until(lambda: any("configuration refused" in line and "server.tls" in line for line in gateway.log_lines()), 20, "it is refused")
    assert "second" in shown()


def test_only_an_administrator_sees_and_reloads_the_configuration(gateway, key):
    operator = gateway.create_key(rights=["keys", "metrics", "usage"])["key"]
    for path, method in [("/api/v1/config", "GET"), ("/api/v1/config/reload", "POST")]:
        assert gateway.request(method, path).status == 401
        assert gateway.request(method, path, key=key).status == 403
        assert gateway.request(method, path, key=operator).status == 403
    shown = gateway.request("GET", "/api/v1/config", key=ADMIN_KEY)
    assert shown.status == 200 and b"sk-simulated-provider-key" not in shown.body and ADMIN_KEY.encode() not in shown.body
    assert gateway.request("GET", "/api/v1/config/reload", key=ADMIN_KEY).status == 405


def test_secrets_in_files_are_read_anew(make_gateway, tmp_path):
    secret, admin = tmp_path / "provider-key", tmp_path / "admin-key"
    secret.write_text("sk-first-0123456789abcdef\n")
    admin.write_text("first-administrator-key-0123456789\n")
    gateway = make_gateway(admin_key=f"file://{admin}", extra=QUIET)
    change(gateway, ("env://SIM_KEY", f"file://{secret}"))
    gateway.admin_key = "first-administrator-key-0123456789"
    gateway.environment["MARTLET_ADMIN_KEY"] = f"file://{admin}"
    gateway.start()
    key = gateway.create_key()["key"]

    def sent():
        gateway.request("POST", "/v1/chat/completions", CHAT, key=key, headers={"x-sim-record": "1"})
        return json.dumps(http_request(simulator_port(gateway), "GET", "/sim/calls").json(), default=str)

    assert "sk-first" in sent()
    secret.write_text("sk-second-0123456789abcdef\n")
    admin.write_text("second-administrator-key-0123456789\n")
    reload(gateway)
    assert gateway.request("GET", "/api/v1/config", key="first-administrator-key-0123456789").status == 401
    gateway.admin_key = "second-administrator-key-0123456789"
    assert config(gateway)["generation"] == 2
    assert "sk-second" in sent()
    admin.unlink()
    assert "admin-key" in reload(gateway, expect=(422,))["error"]["message"]
    assert config(gateway)["generation"] == 2, "the key that was read last still holds"


def simulator_port(gateway):
    return int(gateway.configuration.read_text().split("http://127.0.0.1:")[1].split("/")[0])


def test_a_running_stream_outlives_its_model_and_its_provider(gateway, key):
    async def scenario():
        slow = Load(gateway.port, key, connections=8, stream_share=1, headers=lambda *_: {"x-sim-tokens": "30", "x-sim-token-ms": "40"})
        running = asyncio.create_task(slow.run())
        while len(slow.outcomes) < 8 or not await asyncio.to_thread(active, gateway):
            await asyncio.sleep(0.02)
        slow.stop()
        change(gateway, ("id: sim,", "id: other,"), ("provider: sim", "provider: other"), ("name: gpt-4o-mini", "name: new-name"))
        await asyncio.to_thread(reload, gateway)
        assert "gpt-4o-mini" not in await asyncio.to_thread(models, gateway, key)
        await running
        return slow

    slow = asyncio.run(scenario())
    assert len(slow.outcomes) >= 8 and not slow.failed
    wait_until(lambda: metric(gateway, "martlet_upstream_connections") == 0, 15, "the connections to the former provider are gone")


def active(gateway):
    return metric(gateway, "llm_active_requests") >= 8


def test_a_new_concurrency_limit_counts_the_calls_that_run(gateway, key):
    change(gateway, ("id: sim,", "id: sim, max_concurrency: 2, max_queue: 0,"))
    reload(gateway)

    async def scenario():
        slow = Load(gateway.port, key, connections=2, stream_share=1, headers=lambda *_: {"x-sim-tokens": "40", "x-sim-token-ms": "40"})
        running = asyncio.create_task(slow.run())
        while await asyncio.to_thread(metric, gateway, "llm_active_requests") < 2:
            await asyncio.sleep(0.02)
        slow.stop()
        change(gateway, ("max_concurrency: 2", "max_concurrency: 1"))
        await asyncio.to_thread(reload, gateway)
        refused = await asyncio.to_thread(gateway.request, "POST", "/v1/chat/completions", CHAT, key)
        assert refused.status == 503 and refused.json()["error"]["code"] == "provider_queue_full"
        change(gateway, ("max_concurrency: 1", "max_concurrency: 3"))
        await asyncio.to_thread(reload, gateway)
        assert (await asyncio.to_thread(gateway.request, "POST", "/v1/chat/completions", CHAT, key)).status == 200
        await running
        assert not slow.failed

    asyncio.run(scenario())


def test_under_load_no_call_fails_and_every_price_is_one_of_the_two(gateway, key):
    text = gateway.configuration.read_text()
    versions = {}

    def round_trip(number):
        dear = number % 2 == 1
        variant = text.replace("input: 0.15", "input: 0.45") if dear else text
        variant = variant.replace("name: no-price", f"name: extra-{number}")
        variant = variant.replace("id: sim,", f"id: sim, max_queue: {1000 + number},")
        gateway.configuration.write_text(variant)
        reload(gateway)
        listed = next(model for model in gateway.api("GET", "/models")["data"] if model["id"] == "gpt-4o-mini")
        versions[listed["price"]["version"]] = "0.45" if dear else "0.15"

    async def scenario():
        load = Load(gateway.port, key, connections=12, seed=7, headers=lambda *_: {"x-sim-tokens": "8", "x-sim-token-ms": "1"})
        running = asyncio.create_task(load.run())
        for number in range(50):
            await asyncio.to_thread(round_trip, number)
        load.stop()
        await running
        return load

    load = asyncio.run(scenario())
    assert len(load.outcomes) > 100 and not load.failed and not load.connect_failures
    assert config(gateway)["generation"] == 51 and len(versions) == 2
    rows = [row for row in gateway.rows(model="gpt-4o-mini") if row["request_id"].startswith(load.name)]
    assert len(rows) == len(load.outcomes)
    seen = set()
    for row in rows:
        micro = {"0.15": 150, "0.45": 450}[versions[row["price_version"]]]
        seen.add(micro)
        cached = row.get("cached_input_tokens") or 0
        cost = (row["input_tokens"] - cached) * micro + cached * 75 + row["output_tokens"] * 600
        assert row["cost_usd"] * 1_000_000_000 == cost, row
    assert seen == {150, 450}, "both prices were in force for some calls"


def test_a_thousand_reloads_leave_nothing_behind(gateway, key):
    text = gateway.configuration.read_text()

    def rounds(count):
        for number in range(count):
            gateway.configuration.write_text(text.replace("id: sim,", f"id: sim, max_queue: {1 + number % 500},"))
            assert gateway.request("POST", "/api/v1/config/reload", key=ADMIN_KEY).status == 200
            if number % 10 == 0:
                assert gateway.request("POST", "/v1/chat/completions", CHAT, key=key).status == 200

    def figures():
        return [metric(gateway, name) for name in ("process_resident_memory_bytes", "process_open_fds", "martlet_upstream_connections")]

    rounds(200)
    before = figures()
    rounds(800)
    after = figures()
    assert after[0] - before[0] < 8 << 20, f"memory grew from {before[0]} to {after[0]}"
    assert after[1] <= before[1] + 4 and after[2] <= before[2] + 4
    assert config(gateway)["generation"] == 1001
