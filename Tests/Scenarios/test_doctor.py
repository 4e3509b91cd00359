"""`martlet doctor` finds what is wrong with a set-up, says what to do, and leaves everything as it is."""

import fcntl
import hashlib
import http.server
import json
import os
import pathlib
import re
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading

import pytest

from processes import ADMIN_KEY, SIMULATOR_KEY, Simulator, free_port, run_cli, wait_until

CERTIFICATE = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=localhost"]


@pytest.fixture
def provider():
    """A provider of which every answer can be set, and which counts what it is asked."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append((self.path, self.headers.get("authorization")))
            body = json.dumps({"object": "list", "data": [{"id": name} for name in state["models"]]}).encode()
            self.send_response(state["status"])
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self):
            asked.append((self.path, "POST"))
            self.send_error(500)

        def date_time_string(self, timestamp=None):
            return state["date"] or super().date_time_string(timestamp)

        def log_message(self, *arguments):
            pass

    asked, state = [], {"status": 200, "models": ["gpt-4o-mini", "gpt-4o"], "date": None}
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=[0.02])
    thread.start()
    state["url"] = f"http://127.0.0.1:{server.server_address[1]}"
    state["asked"] = asked
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def setup(tmp_path, provider):
    """A sound set-up that was never started."""
    (tmp_path / "data").mkdir(mode=0o700)
    (tmp_path / "provider-key").write_text(SIMULATOR_KEY)
    (tmp_path / "provider-key").chmod(0o600)
    path = tmp_path / "martlet.yaml"
    path.write_text(
        f"""
server: {{ host: 127.0.0.1, port: {free_port()} }}
data: ./data
journal: {{ max_size: 16MiB }}
providers:
  - {{ id: sim, base_url: "{provider['url']}/v1", api_key: "file://{tmp_path}/provider-key" }}
models:
  - {{ name: public, deployments: [{{ provider: sim, model: gpt-4o-mini }}], price: {{ input: 1, output: 2 }} }}
"""
    )
    return path


def state_of(folder):
    found = {}
    for path in sorted(folder.rglob("*")):
        content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        found[str(path)] = (path.stat().st_mode, path.stat().st_mtime_ns if path.is_file() else 0, content)
    return found


def examine(path, *flags, environment=None):
    before = state_of(path.parent)
    done = run_cli("doctor", "--config", str(path), "--json", *flags, directory=path.parent, environment=environment)
    assert state_of(path.parent) == before, "nothing may change"
    report = json.loads(done.stdout)
    assert done.returncode == {"ok": 0, "warn": 1, "fail": 2}[report["status"]]
    for text in (SIMULATOR_KEY, ADMIN_KEY):
        assert text not in done.stdout + done.stderr
    for finding in report["checks"]:
        assert finding["hint"] or finding["status"] != "fail", finding
    return report["status"], {finding["check"]: finding for finding in report["checks"]}


def change(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_sound_set_up_is_well(setup, provider):
    status, checks = examine(setup)
    assert status == "ok", checks
    assert provider["asked"] == [("/v1/models", f"Bearer {SIMULATOR_KEY}")], "one list of models, and no completion"
    done = run_cli("doctor", "--config", str(setup), directory=setup.parent)
    assert done.returncode == 0 and "0 warn, 0 fail" in done.stdout


def test_offline_asks_nobody(setup, provider):
    status, checks = examine(setup, "--offline")
    assert status == "ok" and provider["asked"] == [] and not any(name.startswith("provider") for name in checks)


@pytest.mark.parametrize(
    ("old", "new", "check", "status", "words"),
    [
        ("port: ", "prot: ", "configuration", "fail", "prot"),
        ("gpt-4o-mini }", "gpt-5 }", "provider sim: models", "warn", "gpt-5"),
        ("/v1", "/nowhere", "provider sim: models", "ok", "lists"),
        ("127.0.0.1:", "no-such-host.invalid:", "provider sim: name", "fail", "no address"),
        ("http://127.0.0.1", "https://127.0.0.1", "provider sim: TLS", "fail", ""),
        ("data: ./data", "data: ./data\nnetwork: { deny: [127.0.0.0/8] }", "provider sim: name", "fail", "out of bounds"),
        ("data: ./data", "data: ./martlet.yaml/data", "data directory", "fail", "cannot be made"),
        ("max_size: 16MiB", "max_size: 16MiB, min_free: 900TiB", "disk space", "fail", "free"),
        ("max_size: 16MiB", "max_size: 900TiB", "disk space", "warn", "free"),
        ("host: 127.0.0.1", "host: 192.0.2.1", "listener", "fail", "no address of this machine"),
        ("host: 127.0.0.1", "max_connections: 9000000, host: 127.0.0.1", "open files", "warn", "9000000"),
    ],
)
def test_what_the_configuration_asks_for_in_vain_is_found(setup, old, new, check, status, words):
    text = setup.read_text()
    head, at, tail = text.partition(old) if check != "provider sim: name" or "deny" in new else text.rpartition(old)
    setup.write_text(head + new + tail)
    _, checks = examine(setup)
    assert checks[check]["status"] == status and words in checks[check]["message"], checks[check]


@pytest.mark.parametrize(
    ("answer", "status", "words"),
    [(401, "fail", "refused"), (403, "fail", "refused"), (404, "warn", "no list"), (429, "warn", "429"), (500, "fail", "500"), (302, "warn", "302")],
)
def test_what_a_provider_answers_is_judged(setup, provider, answer, status, words):
    provider["status"] = answer
    _, checks = examine(setup)
    assert checks["provider sim: models"]["status"] == status and words in checks["provider sim: models"]["message"]


def test_a_clock_that_is_wrong_is_found(setup, provider):
    provider["date"] = "Sun, 06 Nov 1994 08:49:37 GMT"
    status, checks = examine(setup)
    assert status == "warn" and "ahead" in checks["clock"]["message"]


def test_permissions_that_are_too_wide_are_found(setup):
    (setup.parent / "data").chmod(0o755)
    (setup.parent / "provider-key").chmod(0o644)
    sqlite3.connect(setup.parent / "data" / "martlet.db").close()
    (setup.parent / "data" / "martlet.db").write_bytes(b"")
    (setup.parent / "data" / "martlet.db").chmod(0o644)
    status, checks = examine(setup)
    assert status == "warn"
    for check in ["data directory", "martlet.db", f"secret {setup.parent}/provider-key"]:
        assert checks[check]["status"] == "warn" and "chmod" in checks[check]["hint"], check
    change(setup, f"file://{setup.parent}/provider-key", "sk-in-the-file-0123456789")
    setup.chmod(0o644)
    _, checks = examine(setup)
    assert checks["configuration file"]["status"] == "warn" and "providers.sim.api_key" in checks["configuration file"]["message"]
    setup.chmod(0o600)
    assert examine(setup)[1]["configuration file"]["status"] == "ok"


def test_a_database_that_is_broken_or_of_a_later_version_is_found(setup):
    path = setup.parent / "data" / "martlet.db"
    with sqlite3.connect(path) as store:
        store.executescript("CREATE TABLE t (a TEXT); CREATE INDEX i ON t (a); PRAGMA user_version = 99;")
        store.executemany("INSERT INTO t VALUES (?)", [(f"row {number} " * 30,) for number in range(400)])
    store.close()
    path.chmod(0o600)
    _, checks = examine(setup)
    assert checks["database"]["status"] == "fail" and "99" in checks["database"]["message"]
    content = bytearray(path.read_bytes())
    content[8192:12288] = os.urandom(4096)
    path.write_bytes(content)
    _, checks = examine(setup)
    assert checks["database"]["status"] == "fail" and "damaged" in checks["database"]["message"]
    path.write_bytes(b"This is no database. " * 500)
    _, checks = examine(setup)
    assert checks["database"]["status"] == "fail"


def test_a_taken_port_is_found(setup, provider):
    taken = int(provider["url"].rsplit(":", 1)[1])
    text = setup.read_text()
    port = text.split("port: ")[1].split(" ")[0]
    setup.write_text(text.replace(f"port: {port}", f"port: {taken}"))
    _, checks = examine(setup)
    assert checks["listener"]["status"] == "fail" and "another program" in checks["listener"]["message"]
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        setup.write_text(text.replace(f"port: {port}", f"port: {silent.getsockname()[1]}"))
        assert examine(setup, "--offline")[1]["listener"]["status"] == "fail"


def make_certificate(folder, name, *more):
    subprocess.run(
        [*CERTIFICATE, "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.pem", *more], check=True, capture_output=True
    )
    (folder / f"{name}.key").chmod(0o600)


def test_certificates_that_end_or_do_not_fit_are_found(setup):
    folder = setup.parent
    make_certificate(folder, "good", "-days", "90")
    make_certificate(folder, "soon", "-days", "3")
    make_certificate(folder, "other", "-days", "90")
    make_certificate(folder, "late", "-not_after", "20200101000000Z", "-not_before", "20190101000000Z") if openssl_dates() else None
    good = setup.read_text()

    def status(certificate, key):
        setup.write_text(good.replace("server: { ", f"server: {{ tls: {{ cert: {folder}/{certificate}.pem, key: {folder}/{key}.key }}, "))
        return examine(setup, "--offline")[1]["certificate for clients"]["status"]

    assert status("good", "good") == "ok"
    assert status("soon", "soon") == "warn"
    assert status("good", "other") == "fail"
    if openssl_dates():
        assert status("late", "late") == "fail"


def openssl_dates():
    done = subprocess.run(["openssl", "req", "-help"], capture_output=True, text=True)
    return "not_after" in done.stderr + done.stdout


def test_a_provider_behind_tls_is_verified(setup, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    make_certificate(folder, "provider", "-days", "90", "-addext", "subjectAltName=DNS:localhost")
    simulator = Simulator(folder, "--tls-cert", str(folder / "provider.pem"), "--tls-key", str(folder / "provider.key"), tls=True).start()
    try:
        url = setup.read_text().split('base_url: "')[1].split('"')[0]
        change(setup, url, f"https://localhost:{simulator.port}/v1")
        _, checks = examine(setup)
        assert checks["provider sim: TLS"]["status"] == "fail" and "ca_file" in checks["provider sim: TLS"]["hint"]
        change(setup, "/v1\",", f"/v1\", ca_file: {folder}/provider.pem,")
        status, checks = examine(setup)
        assert status == "ok" and "valid for" in checks["provider sim: TLS"]["message"], checks
        change(setup, "localhost:", "127.0.0.1:")
        assert examine(setup)[1]["provider sim: TLS"]["status"] == "fail", "another name than the certificate's"
        change(setup, "ca_file:", "server_name: localhost, ca_file:")
        assert examine(setup)[0] == "ok", "unless it is told"
    finally:
        simulator.stop()


def test_what_a_crash_has_left_is_looked_at_and_left_as_it_is(make_gateway):
    gateway = make_gateway(extra="journal: { max_size: 16MiB }\n").start()
    gateway.create_key()
    gateway.kill()
    data = gateway.directory / "data"
    assert (data / "martlet.db-wal").stat().st_size > 0
    for index in [True, False]:
        if not index:
            (data / "martlet.db-shm").unlink()
        before = state_of(data)
        arguments = ["doctor", "--config", str(gateway.configuration), "--json", "--offline"]
        done = run_cli(*arguments, directory=gateway.directory, environment=gateway.environment)
        assert state_of(data) == before
        checks = {finding["check"]: finding for finding in json.loads(done.stdout)["checks"]}
        assert checks["database"]["status"] != "fail", checks["database"]


def test_a_socket_is_looked_at_too(setup, make_gateway):
    with tempfile.TemporaryDirectory(prefix="martlet-") as folder:
        path = pathlib.Path(folder) / "own.sock"
        change(setup, "server: { ", f"server: {{ tcp: off, unix_socket: {path}, ")

        def finding():
            checks = examine(setup, "--offline")[1]
            assert "listener" not in checks
            return checks["unix socket"]

        assert finding()["status"] == "ok"
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))
        assert finding()["status"] == "ok", "what a dead process left is replaced"
        path.unlink()
        path.write_text("")
        assert finding()["status"] == "fail" and "another file" in finding()["message"]
        path.unlink()
        gateway = make_gateway()
        change(gateway.configuration, "server: { ", f"server: {{ tcp: off, unix_socket: {path}, ")
        gateway.spawn_server()
        wait_until(lambda: "martlet listening" in gateway.output(), 20, "it listens")
        assert finding()["status"] == "fail" and "another data directory" in finding()["message"]
        done = run_cli("doctor", "--config", str(gateway.configuration), "--json", "--offline", directory=gateway.directory,
                       environment=gateway.environment)  # fmt: skip
        checks = {finding["check"]: finding for finding in json.loads(done.stdout)["checks"]}
        assert checks["unix socket"]["status"] == "ok" and checks["health"] == {**checks["health"], "status": "ok", "message": "ready"}


def test_a_running_gateway_is_asked(make_gateway):
    gateway = make_gateway(extra="journal: { max_size: 16MiB }\n").start()
    path = gateway.configuration
    environment = {**gateway.environment}
    findings = json.loads(run_cli("doctor", "--config", str(path), "--json", directory=gateway.directory, environment=environment).stdout)
    checks = {finding["check"]: finding for finding in findings["checks"]}
    assert "runs on this data directory" in checks["gateway"]["message"]
    assert checks["listener"]["status"] == "ok" and "this gateway's" in checks["listener"]["message"]
    assert checks["health: journal"]["status"] == "ok" and checks["database"]["status"] == "ok"
    assert checks["provider sim: models"]["status"] == "ok", checks["provider sim: models"]
    path.write_text(path.read_text() + "nonsense: 1\n")
    gateway.api("POST", "/config/reload", expect=(422,))
    done = run_cli("doctor", "--config", str(path), "--json", directory=gateway.directory, environment=environment)
    checks = {finding["check"]: finding for finding in json.loads(done.stdout)["checks"]}
    assert done.returncode == 2 and checks["configuration"]["status"] == "fail"
    assert checks["health: configuration"]["status"] == "warn" and "nonsense" in checks["health: configuration"]["message"]
    assert gateway.is_ready()
    gateway.stop()
    done = run_cli("doctor", "--config", str(path), "--json", "--offline", directory=gateway.directory, environment=environment)
    checks = {finding["check"]: finding for finding in json.loads(done.stdout)["checks"]}
    assert "none runs" in checks["gateway"]["message"] and "is free" in checks["listener"]["message"]


# What answers at the gateway's port, and what holds the lock of its data directory; it writes down whose key it was shown.
STAND_IN = """
import fcntl, http.server, json, ssl, sys
certificate, key, lock, log = sys.argv[1:]
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        with open(log, "a") as file:
            print(self.path, self.headers.get("authorization"), file=file)
        body = json.dumps({"name": "martlet", "dependencies": [{"name": "journal", "status": "healthy"}]}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *arguments):
        pass
if lock:
    held = open(lock, "a")
    fcntl.flock(held, fcntl.LOCK_EX)
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
if certificate:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
print(server.server_address[1], flush=True)
server.serve_forever()
"""


@pytest.mark.parametrize(
    ("shown", "holds_lock", "trusted", "is_asked"),
    [
        (None, False, None, False), (None, True, None, True), ("own", False, None, True), ("other", False, None, False),
        ("other", True, None, True), ("other", False, "other", True), ("misnamed", False, "misnamed", False),
    ],
    ids=[
        "plain-another-process", "plain-the-lock-holder", "tls-the-configured-certificate", "tls-another-certificate",
        "tls-another-certificate-of-the-lock-holder", "tls-a-trusted-authority", "tls-a-trusted-authority-for-another-name",
    ],
)  # fmt: skip
def test_the_administrators_key_is_shown_to_nobody_but_the_gateway(setup, tmp_path_factory, shown, holds_lock, trusted, is_asked):
    folder = tmp_path_factory.mktemp("stand-in")
    for name, address in (("own", "DNS:gateway.example"), ("other", "IP:127.0.0.1"), ("misnamed", "DNS:gateway.example")):
        make_certificate(folder, name, "-days", "90", "-addext", f"subjectAltName={address}")
    lock, log = setup.parent / "data" / "journal" / "LOCK", folder / "asked"
    lock.parent.mkdir(mode=0o700)
    lock.touch(0o600)
    command = [sys.executable, "-c", STAND_IN, *([str(folder / f"{shown}.pem"), str(folder / f"{shown}.key")] if shown else ["", ""])]
    stand_in = subprocess.Popen([*command, str(lock) if holds_lock else "", str(log)], stdout=subprocess.PIPE, text=True)
    try:
        port = int(stand_in.stdout.readline())
        text = setup.read_text()
        tls = f"tls: {{ cert: {folder}/own.pem, key: {folder}/own.key }}, " if shown else ""
        setup.write_text(text.replace(text.split("server: { ")[1].split(" }")[0], f"{tls}host: 127.0.0.1, port: {port}"))
        environment = {"MARTLET_ADMIN_KEY": ADMIN_KEY, **({"MARTLET_CA_FILE": str(folder / f"{trusted}.pem")} if trusted else {})}
        with open(lock, "a") as held:
            if not holds_lock:
                fcntl.flock(held, fcntl.LOCK_EX)
            _, checks = examine(setup, "--offline", environment=environment)
    finally:
        stand_in.terminate()
        stand_in.wait()
        stand_in.stdout.close()
    asked = log.read_text()
    assert checks["listener"]["status"] == "ok", checks
    if is_asked:
        assert f"/health/dependencies Bearer {ADMIN_KEY}" in asked and checks["health: journal"]["status"] == "ok", checks
    else:
        assert ADMIN_KEY not in asked and "/health/ready None" in asked, asked
        assert "not sent the key" in checks["health"]["message"], checks["health"]


def test_a_file_that_is_not_there_is_a_failure():
    done = run_cli("doctor", "--config", "/nonexistent/martlet.yaml", "--json")
    assert done.returncode == 2 and "/nonexistent/martlet.yaml" in done.stdout
