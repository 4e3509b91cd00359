"""The edge's doors and limits: sockets in the file system, numbers of connections and files, whose word counts for an address, strict heads."""

import contextlib
import http.client
import json
import os
import pathlib
import resource
import shutil
import socket
import stat
import struct
import subprocess
import time

import httpx2
import openai
import pytest

from processes import Gateway, free_port, run_cli, wait_until
from rawhttp import RawConnection, get, post

CHAT = "/v1/chat/completions"
BODY = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}


def metric(gateway, name):
    text = gateway.request("GET", "/metrics", key=gateway.admin_key).body.decode()
    return next((float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name)), None)


def address_of(gateway, request_id):
    return wait_until(lambda: next(iter(gateway.rows(request_id=request_id)), None), 10, "the call is recorded")["client_address"]


def ask(port, key, request_id="", headers=(), before=b""):
    with RawConnection(port) as connection:
        connection.send(before + post(CHAT, BODY, key, [("x-request-id", request_id), *headers] if request_id else headers))
        return connection.answer()


# Unix sockets


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=10)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(10)
        self.sock.connect(self.path)


def unix_status(path):
    connection = UnixConnection(path)
    try:
        connection.request("GET", "/health/live")
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.fixture
def short_directory(tmp_path_factory):
    """Sockets take paths of 107 bytes; those of tests are longer at times."""
    path = pathlib.Path(f"/tmp/martlet-{os.getpid()}-{time.monotonic_ns() % 1_000_000}")
    path.mkdir()
    yield path
    shutil.rmtree(path)


def test_a_unix_socket_serves_beside_tcp_with_its_permissions_and_is_gone_afterwards(make_gateway, short_directory):
    path = short_directory / "martlet.sock"
    gateway = make_gateway(environment={"MARTLET_SERVER_UNIX_SOCKET": str(path)}).start()
    key = gateway.create_key()["key"]
    assert stat.S_ISSOCK(path.stat().st_mode) and stat.S_IMODE(path.stat().st_mode) == 0o660
    assert f"unix:{path}" in gateway.output()
    curl = subprocess.run(
        ["curl", "-sS", "--unix-socket", str(path), "http://localhost/v1/models", "-H", f"Authorization: Bearer {key}"],
        capture_output=True, text=True, timeout=20,
    )  # fmt: skip
    assert json.loads(curl.stdout)["object"] == "list", curl.stderr
    transport = openai.DefaultHttpxClient(transport=httpx2.HTTPTransport(uds=str(path)))
    with openai.OpenAI(base_url="http://localhost/v1", api_key=key, http_client=transport, max_retries=0) as client:
        stream = client.chat.completions.create(model="gpt-4o-mini", messages=BODY["messages"], stream=True, extra_headers={"x-request-id": "by-unix"})
        assert [chunk for chunk in stream][-1].choices[0].finish_reason == "stop"
    assert address_of(gateway, "by-unix") == "unix"
    gateway.terminate()
    assert gateway.wait() == 0 and not path.exists()


def test_the_socket_of_a_dead_process_is_replaced_and_that_of_a_live_one_is_not(make_gateway, short_directory):
    path = short_directory / "martlet.sock"
    variables = {"MARTLET_SERVER_UNIX_SOCKET": str(path), "MARTLET_SERVER_UNIX_SOCKET_MODE": "0600"}
    first = make_gateway(environment=variables).start()
    second = make_gateway(environment=variables)
    second.spawn_server()
    assert second.wait(20) != 0 and "another process listens there" in second.output()
    assert unix_status(path) == 200, "the first one was not disturbed"
    first.kill()
    assert path.exists()
    third = make_gateway(environment=variables).start()
    assert unix_status(path) == 200 and stat.S_IMODE(path.stat().st_mode) == 0o600
    third.stop()
    path.write_text("precious")
    fourth = make_gateway(environment=variables)
    fourth.spawn_server()
    assert fourth.wait(20) != 0 and "no socket" in fourth.output()
    assert path.read_text() == "precious"


def test_nginx_proxies_to_a_gateway_that_listens_on_a_socket_only(make_gateway, short_directory):
    if not shutil.which("nginx"):
        pytest.skip("nginx is not installed")
    path, port = short_directory / "martlet.sock", free_port()
    gateway = make_gateway(
        environment={"MARTLET_SERVER_UNIX_SOCKET": str(path), "MARTLET_SERVER_TCP": "false", "MARTLET_SERVER_TRUSTED_PROXIES": "unix"}
    )
    gateway.spawn_server()
    wait_until(lambda: path.exists() and gateway.process.poll() is None, 20, "the socket is there")
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", gateway.port), 2).close()
    configuration = short_directory / "nginx.conf"
    configuration.write_text(
        f"""{"user root;" if os.geteuid() == 0 else ""} daemon off; pid {short_directory}/nginx.pid; error_log stderr; worker_processes 1; events {{}}
        http {{ access_log off; client_body_temp_path {short_directory}; proxy_temp_path {short_directory}; fastcgi_temp_path {short_directory};
        uwsgi_temp_path {short_directory}; scgi_temp_path {short_directory};
        upstream martlet {{ server unix:{path}; keepalive 8; }}
        server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://martlet; proxy_http_version 1.1; proxy_set_header Connection "";
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_buffering off; }} }} }}"""
    )
    nginx = subprocess.Popen(["nginx", "-c", str(configuration), "-p", str(short_directory)], stderr=subprocess.PIPE)
    try:
        gateway.port = port
        wait_until(gateway.is_ready, 20, "nginx reaches the gateway")
        key = gateway.create_key()["key"]
        answer = ask(port, key, "behind-nginx", [("X-Forwarded-For", "203.0.113.99")])
        assert answer.status == 200
        # 127.0.0.1 is who connected to nginx; it is no trusted proxy itself, so what it said is not believed.
        assert address_of(gateway, "behind-nginx") == "127.0.0.1"
    finally:
        nginx.terminate()
        nginx.wait(20)


# Numbers of connections


def admitted(port, stack):
    """A connection that was given a place and answered, or None."""
    connection = stack.enter_context(RawConnection(port))
    connection.send(get("/health/live"))
    if connection.answer("GET").status == 200:
        return connection
    connection.socket.close()
    return None


def test_more_connections_than_allowed_are_told_so_and_counted(make_gateway):
    gateway = make_gateway(environment={"MARTLET_SERVER_MAX_CONNECTIONS": "8"}).start()
    with contextlib.ExitStack() as stack:
        # The connection that asked whether the gateway is ready may take a moment to be gone.
        held = [wait_until(lambda: admitted(gateway.port, stack), 5, "a place among eight") for _ in range(8)]
        for _ in range(5):
            with RawConnection(gateway.port) as refused:
                answer = refused.answer("GET")
                assert answer.status == 503 and answer.json()["error"]["code"] == "too_many_connections" and answer.headers["retry-after"]
                assert refused.is_closed()
        held[0].send(get("/health/live"))
        assert held[0].answer("GET").status == 200, "those that are in are not disturbed"
        held[0].send(get("/health/dependencies", gateway.admin_key))
        assert "8 of 8 connections" in held[0].answer("GET").body.decode()
        held[1].socket.close()
        wait_until(gateway.is_ready, 5, "the place of one that left is free")
    assert metric(gateway, 'martlet_connections_refused_total{reason="max_connections"}') >= 5
    assert metric(gateway, "martlet_connections_max") == 8


def test_an_address_has_its_share_and_a_trusted_proxy_is_no_address(make_gateway):
    limits = {"MARTLET_SERVER_MAX_CONNECTIONS_PER_ADDRESS": "4"}
    gateway = make_gateway(environment=limits).start()
    with contextlib.ExitStack() as stack:
        for _ in range(4):
            connection = stack.enter_context(RawConnection(gateway.port))
            connection.send(get("/health/live"))
            assert connection.answer("GET").status == 200
        with RawConnection(gateway.port) as refused:
            assert refused.answer("GET").status == 429
        with socket.create_connection(("127.0.0.1", gateway.port), 5, source_address=("127.0.0.2", 0)) as other:
            other.sendall(get("/health/live"))
            assert other.recv(100).startswith(b"HTTP/1.1 200")
    assert metric(gateway, 'martlet_connections_refused_total{reason="max_connections_per_address"}') == 1
    trusting = make_gateway(environment={**limits, "MARTLET_SERVER_TRUSTED_PROXIES": "127.0.0.0/8"}).start()
    with contextlib.ExitStack() as stack:
        for _ in range(12):
            connection = stack.enter_context(RawConnection(trusting.port))
            connection.send(get("/health/live"))
            assert connection.answer("GET").status == 200


def test_a_lack_of_files_neither_ends_nor_heats_the_gateway(tmp_path, simulator):
    gateway = Gateway(tmp_path / "few", simulator, environment={"MARTLET_SERVER_MAX_CONNECTIONS": "1000", "MARTLET_SERVER_LOOPS": "1"})
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[0], before[1]))
    try:
        gateway.spawn_server()
        resource.prlimit(gateway.process.pid, resource.RLIMIT_NOFILE, (90, 90))
        gateway.wait_ready()
        key = gateway.create_key()["key"]
        assert ask(gateway.port, key).status == 200
        crowd = [socket.create_connection(("127.0.0.1", gateway.port), 5) for _ in range(120)]
        wait_until(lambda: "connections cannot be accepted for now" in gateway.output(), 10, "the lack is told of")
        ticks = cpu_ticks(gateway)
        time.sleep(2)  # not a wait for an event: the time in which a loop that spins would burn both seconds
        assert cpu_ticks(gateway) - ticks < 60, "an accept that fails is not tried again and again at once"
        assert gateway.process.poll() is None
        for connection in crowd:
            connection.close()
        wait_until(lambda: ask_or_none(gateway.port, key), 20, "calls are served again")
        assert metric(gateway, "martlet_accept_errors_total") >= 1
        assert sum("connections cannot be accepted" in line for line in gateway.log_lines()) <= 3
    finally:
        gateway.stop()


def ask_or_none(port, key):
    with contextlib.suppress(OSError, EOFError):
        return ask(port, key).status == 200


def cpu_ticks(gateway):
    fields = pathlib.Path(f"/proc/{gateway.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def test_the_file_limit_is_raised_told_and_warned_about(tmp_path, simulator):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    gateway = Gateway(tmp_path / "limited", simulator, environment={"MARTLET_SERVER_MAX_CONNECTIONS": "1000000"})
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 1024), hard))
    try:
        gateway.start()
        assert resource.prlimit(gateway.process.pid, resource.RLIMIT_NOFILE)[0] == hard
        assert "asks for more connections than the limit of open files allows" in gateway.output()
        assert f"{hard} open files allowed" in gateway.request("GET", "/health/dependencies", key=gateway.admin_key).body.decode()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        gateway.stop()


# Whose word counts


def test_nobody_is_believed_who_is_not_trusted(make_gateway):
    gateway = make_gateway().start()
    key = gateway.create_key()["key"]
    headers = [("X-Forwarded-For", "203.0.113.7"), ("Forwarded", "for=203.0.113.7"), ("X-Real-IP", "203.0.113.7")]
    assert ask(gateway.port, key, "untrusted", headers).status == 200
    assert address_of(gateway, "untrusted") == "127.0.0.1"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([("X-Forwarded-For", "203.0.113.7")], "203.0.113.7"),
        ([("X-Forwarded-For", "6.6.6.6, 203.0.113.7, 10.1.1.1")], "203.0.113.7"),
        ([("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-For", "203.0.113.7"), ("x-forwarded-for", "10.1.1.1")], "203.0.113.7"),
        ([("X-Forwarded-For", "[2001:db8::7]:4711")], "2001:db8::7"),
        ([("X-Forwarded-For", "6.6.6.6, <script>")], "127.0.0.1"),
        ([("X-Forwarded-For", "")], "127.0.0.1"),
        ([("Forwarded", "for=203.0.113.7")], "127.0.0.1"),
        ([], "127.0.0.1"),
    ],
)
def test_a_trusted_proxy_is_believed_for_its_own_hop(trusting, headers, expected):
    gateway, key = trusting
    request_id = f"hop-{abs(hash(str(headers)))}"
    assert ask(gateway.port, key, request_id, headers).status == 200
    assert address_of(gateway, request_id) == expected


@pytest.fixture(scope="module")
def trusting(tmp_path_factory, simulator):
    gateway = Gateway(
        tmp_path_factory.mktemp("trusting"), simulator, environment={"MARTLET_SERVER_TRUSTED_PROXIES": "127.0.0.1, 10.0.0.0/8, ::1"}
    )
    try:
        gateway.start()
        yield gateway, gateway.create_key()["key"]
    finally:
        gateway.stop()


def test_each_call_of_a_proxys_connection_has_its_own_client(trusting):
    gateway, key = trusting
    with RawConnection(gateway.port) as connection:
        for number in range(3):
            connection.send(post(CHAT, BODY, key, [("X-Forwarded-For", f"203.0.113.{number}"), ("x-request-id", f"shared-{number}")]))
            assert connection.answer().status == 200
        connection.send(post(CHAT, BODY, key, [("x-request-id", "shared-none")]))
        assert connection.answer().status == 200
    assert [address_of(gateway, f"shared-{number}") for number in range(3)] == [f"203.0.113.{number}" for number in range(3)]
    assert address_of(gateway, "shared-none") == "127.0.0.1"


def test_the_standard_header_is_read_instead_where_it_is_asked_for(make_gateway):
    gateway = make_gateway(
        environment={"MARTLET_SERVER_TRUSTED_PROXIES": "127.0.0.1", "MARTLET_SERVER_CLIENT_ADDRESS_HEADER": "forwarded"}
    ).start()
    key = gateway.create_key()["key"]
    headers = [("Forwarded", 'for=6.6.6.6, for="[2001:db8::7]:80";proto=https'), ("X-Forwarded-For", "203.0.113.7")]
    assert ask(gateway.port, key, "standard", headers).status == 200
    assert address_of(gateway, "standard") == "2001:db8::7"


def test_the_proxy_protocol_tells_the_client_and_nobody_else_may_speak_it(make_gateway):
    variables = {"MARTLET_SERVER_PROXY_PROTOCOL": "required", "MARTLET_SERVER_TRUSTED_PROXIES": "127.0.0.1"}
    gateway = make_gateway(environment=variables)
    private = free_port()
    gateway.environment["MARTLET_SERVER_PRIVATE_PORT"] = str(private)
    gateway.environment["MARTLET_SERVER_HEAD_TIMEOUT"] = "1s"
    gateway.spawn_server()
    wait_until(lambda: socket.socket().connect_ex(("127.0.0.1", private)) == 0, 20, "the gateway listens")
    line = b"PROXY TCP4 203.0.113.7 10.0.0.1 51000 443\r\n"
    with RawConnection(gateway.port) as connection:
        connection.send(line + post("/api/v1/keys", {"name": "x"}, gateway.admin_key))
        key = connection.answer().json()["key"]
    assert ask(gateway.port, key, "by-line", before=line).status == 200
    block = socket.inet_pton(socket.AF_INET6, "2001:db8::7") + socket.inet_pton(socket.AF_INET6, "::1") + struct.pack("!HH", 1, 2)
    binary = b"\r\n\r\n\0\r\nQUIT\n" + bytes([0x21, 0x21]) + struct.pack("!H", len(block)) + block
    assert ask(gateway.port, key, "by-block", before=binary).status == 200
    with RawConnection(gateway.port) as slow:
        data = line + post(CHAT, BODY, key, [("x-request-id", "in-pieces")])
        for start in range(0, 60, 7):
            slow.send(data[start : start + 7])
            time.sleep(0.01)
        slow.send(data[63:])
        assert slow.answer().status == 200
    with RawConnection(gateway.port) as ready:
        # As a load balancer opens connections before it needs them: no request has begun, so the limit of a head does not run.
        ready.send(line)
        time.sleep(2)
        ready.send(get("/health/live"))
        assert ready.answer("GET").status == 200
    with RawConnection(gateway.port) as without:
        without.send(get("/health/live"))
        assert without.is_closed()
    with RawConnection(gateway.port) as silent:
        assert silent.is_closed(10)
    with socket.create_connection(("127.0.0.1", gateway.port), 5, source_address=("127.0.0.2", 0)) as stranger:
        stranger.sendall(line + get("/health/live"))
        with contextlib.suppress(ConnectionResetError):
            assert stranger.recv(100) == b""
    with RawConnection(gateway.port) as connection:
        connection.send(line + get("/api/v1/usage?limit=50", gateway.admin_key))
        wait_until(lambda: connection.answer("GET").status == 200, 5, "the usage log answers")
        connection.send(post("/api/v1/usage/flush?timeout=30s", {}, gateway.admin_key))
        assert connection.answer().status in (200, 204)
        connection.send(get("/api/v1/usage?limit=50", gateway.admin_key))
        rows = {row["request_id"]: row["client_address"] for row in connection.answer("GET").json()["data"]}
    assert (rows["by-line"], rows["by-block"], rows["in-pieces"]) == ("203.0.113.7", "2001:db8::7", "203.0.113.7")
    with RawConnection(private) as connection:
        connection.send(get("/metrics"))
        text = connection.answer("GET").body.decode()
    assert 'martlet_connections_refused_total{reason="proxy_protocol"} 2' in text


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("trusted_proxies: [10.0.0.0/8, 300.1.1.1]", "server.trusted_proxies"), ("trusted_proxies: { a: b }", "server.trusted_proxies"),
        ("proxy_protocol: required", "server.trusted_proxies"), ("proxy_protocol: maybe", "server.proxy_protocol"),
        ("tcp: off", "server.unix_socket"), ("unix_socket_mode: rw", "server.unix_socket_mode"), (f"unix_socket: /{'x' * 120}", "107"),
        ("max_connections: 0", "server.max_connections"), ("body_min_rate: fast", "server.body_min_rate"),
        ("private: { port: 9, tls: true }", "server.private.tls"), ("tls: { cert: /nowhere.pem, key: /nowhere.key }", "cannot be read"),
        ("max_conections: 5", "max_connections"),
    ],
)  # fmt: skip
def test_mistakes_are_named_with_their_line(tmp_path, setting, expected):
    file = tmp_path / "martlet.yaml"
    file.write_text(
        "providers: [{ id: sim, base_url: http://127.0.0.1:1/v1 }]\nmodels: [{ name: m, deployments: [{ provider: sim }] }]\nserver:\n"
        f"  {setting}\n"
    )
    answer = run_cli("config", "check", "--config", str(file))
    said = answer.stdout + answer.stderr
    assert answer.returncode != 0 and expected in said and "martlet.yaml:4" in said


def test_a_socket_with_too_long_a_path_is_one_mistake(tmp_path):
    file = tmp_path / "martlet.yaml"
    file.write_text(
        "providers: [{ id: sim, base_url: http://127.0.0.1:1/v1 }]\nmodels: [{ name: m, deployments: [{ provider: sim }] }]\n"
        f"server: {{ tcp: off, unix_socket: /{'x' * 120} }}\n"
    )
    answer = run_cli("config", "check", "--config", str(file))
    said = answer.stdout + answer.stderr
    assert answer.returncode != 0 and "107" in said and "cannot be off" not in said


def test_everything_is_shown_in_the_settings_in_force(tmp_path):
    answer = run_cli(
        "config", "show",
        environment={"MARTLET_SERVER_TRUSTED_PROXIES": "10.0.0.0/8,unix", "MARTLET_SERVER_UNIX_SOCKET": "/run/martlet.sock"}, directory=tmp_path,
    )  # fmt: skip
    assert answer.returncode == 0
    for text in ("max_connections_per_address: 0", "10.0.0.0/8", "unix_socket_mode:", "write_min_rate: ", "MARTLET_SERVER_TRUSTED_PROXIES"):
        assert text in answer.stdout, text


# Strict heads


HEAD = "POST /v1/chat/completions HTTP/1.1\r\n"
DATA = json.dumps(BODY).encode()
CHUNKED = b"%x\r\n%s\r\n0\r\n\r\n" % (len(DATA), DATA)


def strict_cases(key):
    """What must be refused, and must end the connection: another server on the way could read it otherwise."""
    authorized = f"Host: m\r\nAuthorization: Bearer {key}\r\n"
    length = f"Content-Length: {len(DATA)}\r\n"
    return {
        "no host": (HEAD + f"Authorization: Bearer {key}\r\n" + length, DATA),
        "two hosts": (HEAD + "Host: m\r\n" + authorized + length, DATA),
        "a host with a path": (HEAD + f"Host: m/x\r\nAuthorization: Bearer {key}\r\n" + length, DATA),
        "two hosts in one": (HEAD + f"Host: m, n\r\nAuthorization: Bearer {key}\r\n" + length, DATA),
        "authorization twice": (HEAD + authorized + f"Authorization: Bearer {key}\r\n" + length, DATA),
        "two keys": (HEAD + authorized + "x-api-key: mk_other\r\n" + length, DATA),
        "two keys, the other order": (HEAD + f"api-key: mk_other\r\n{authorized}" + length, DATA),
        "two api keys": (HEAD + "Host: m\r\nx-api-key: mk_one\r\napi-key: mk_two\r\n" + length, DATA),
        "another encoding": (HEAD + authorized + "Transfer-Encoding: gzip, chunked\r\n", CHUNKED),
        "identity": (HEAD + authorized + "Transfer-Encoding: identity\r\n", DATA),
        "chunked twice": (HEAD + authorized + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", CHUNKED),
        "nearly chunked": (HEAD + authorized + "Transfer-Encoding: xchunked\r\n", CHUNKED),
        "length and chunks": (HEAD + authorized + length + "Transfer-Encoding: chunked\r\n", CHUNKED),
        "chunks in HTTP/1.0": (HEAD.replace("1.1", "1.0") + authorized + "Transfer-Encoding: chunked\r\n", CHUNKED),
        "two lengths": (HEAD + authorized + length + length, DATA),
        "a list of lengths": (HEAD + authorized + f"Content-Length: {len(DATA)}, {len(DATA)}\r\n", DATA),
        "a length with a sign": (HEAD + authorized + f"Content-Length: +{len(DATA)}\r\n", DATA),
        "a folded line": (HEAD + authorized + "x-a: b\r\n c\r\n" + length, DATA),
        "a NUL in a value": (HEAD + authorized + "x-a: b\0c\r\n" + length, DATA),
        "a control character in a value": (HEAD + authorized + "x-a: b\x0bc\r\n" + length, DATA),
        "a bare CR in a value": (HEAD + authorized + "x-a: b\rc\r\n" + length, DATA),
        "a bare LF": (HEAD + authorized + "x-a: b\nx-c: d\r\n" + length, DATA),
        "only bare LFs": ((HEAD + authorized + length).replace("\r\n", "\n"), DATA),
        "a blank before the colon": (HEAD + authorized + "x-a : b\r\n" + length, DATA),
        "a URL of another host": (HEAD.replace("/v1", "http://other/v1") + authorized + length, DATA),
        "a URL with a user": (HEAD.replace("/v1", "http://m@other/v1") + authorized + length, DATA),
        "a URL of another scheme": (HEAD.replace("/v1", "ftp://m/v1") + authorized + length, DATA),
        "CONNECT": ("CONNECT m:443 HTTP/1.1\r\n" + authorized, b""),
        "a chunk size with a blank": (HEAD + authorized + "Transfer-Encoding: chunked\r\n", b"%x \r\n%s\r\n0\r\n\r\n" % (len(DATA), DATA)),
        "a chunk size with a prefix": (HEAD + authorized + "Transfer-Encoding: chunked\r\n", b"0x%x\r\n%s\r\n0\r\n\r\n" % (len(DATA), DATA)),
        "a chunk that ends in LF": (HEAD + authorized + "Transfer-Encoding: chunked\r\n", b"%x\n%s\n0\n\n" % (len(DATA), DATA)),
        "a length among the trailers": (HEAD + authorized + "Transfer-Encoding: chunked\r\n", b"%x\r\n%s\r\n0\r\nContent-Length: 5\r\n\r\n" % (len(DATA), DATA)),
    }  # fmt: skip


@pytest.mark.parametrize("name", strict_cases("x"))
def test_what_could_be_read_in_two_ways_is_refused_and_ends_the_connection(connect, gateway, key, name):
    head, body = strict_cases(key)[name]
    connection = connect()
    hidden = get("/api/v1/keys", gateway.admin_key)
    connection.send(head.encode("latin-1") + (b"\n" if name == "only bare LFs" else b"\r\n") + body + hidden)
    answer = connection.answer()
    assert answer.status == 400, answer
    assert answer.headers["connection"] == "close" and answer.headers["x-request-id"]
    assert answer.json()["error"]["code"] == "malformed_request"
    assert connection.is_closed(), "nothing behind it is taken for a request"


@pytest.mark.parametrize(
    "change",
    [
        ("/v1/chat", "http://m/v1/chat"), ("/v1/chat", "HTTP://M:80/v1/chat"), ("Host: m", "hOST: m"), ("Host: m", "Host:"),
        ("\r\nHost", "\r\nx-api-key: KEY\r\nHost"), ("POST", "\r\nPOST"),
    ],
)  # fmt: skip
def test_what_is_only_unusual_is_served_and_the_connection_goes_on(connect, key, change):
    head = HEAD + f"Host: m\r\nAuthorization: Bearer {key}\r\nContent-Length: {len(DATA)}\r\n\r\n"
    connection = connect()
    if change[1] == "Host:":
        head = head.replace("Host: m", "Host:")
    connection.send(head.replace(change[0], change[1].replace("KEY", key), 1).encode() + DATA)
    assert connection.answer().status == 200
    connection.send(get("/v1/models", key))
    assert connection.answer("GET").status == 200


def test_an_offer_to_upgrade_is_declined_without_a_trap(connect, key):
    """Java's client offers h2c on plain connections, and uses them on; the reader of heads takes nothing behind such an offer."""
    connection = connect()
    offer = [("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABkAAQAAP__")]
    connection.send(post(CHAT, BODY, key, offer))
    answer = connection.answer()
    assert answer.status == 200 and answer.headers["connection"] == "close"
    assert connection.is_closed()


def test_a_refused_head_of_a_call_is_recorded_under_its_code(connect, gateway, key):
    head, body = strict_cases(key)["two keys"]
    connection = connect()
    connection.send(head.encode() + b"\r\n" + body)
    assert connection.answer().status == 400
    found = wait_until(lambda: [row for row in gateway.rows(outcome="refused") if row["error_code"] == "malformed_request"], 10, "it is recorded")
    assert any(row["key_id"] in (None, "") for row in found), "nobody is charged for what could not be read"


