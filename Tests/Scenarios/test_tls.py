"""HTTPS towards clients: with the clients people use, with certificates that change, and with clients that do it wrong."""

import contextlib
import http.client
import json
import os
import socket
import ssl
import subprocess
import threading
import time

import openai
import pytest

from processes import Answer, Gateway, run_cli, wait_until
from rawhttp import RawConnection, get, post

CHAT = "/v1/chat/completions"
BODY = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}


class Authority:
    """A private certificate authority in a directory, and the certificates it signs."""

    def __init__(self, directory):
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "3", "-subj", "/CN=Private CA",
                     "-keyout", "ca.key", "-out", "ca.pem")  # fmt: skip
        self.file = directory / "ca.pem"

    def openssl(self, *arguments):
        return subprocess.run(["openssl", *map(str, arguments)], cwd=self.directory, check=True, capture_output=True, text=True, timeout=60).stdout

    def issue(self, name, days=2):
        """A certificate for localhost and 127.0.0.1; returns its chain and its key."""
        extensions = self.directory / "names.ext"
        extensions.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        self.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}", "-keyout", f"{name}.key",
                     "-out", f"{name}.csr")  # fmt: skip
        self.openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", days,
                     "-extfile", extensions, "-out", f"{name}.pem")  # fmt: skip
        chain = self.directory / f"{name}.pem"
        chain.write_text(chain.read_text() + self.file.read_text())
        return chain, self.directory / f"{name}.key"

    def context(self, **changes):
        context = ssl.create_default_context(cafile=str(self.file))
        for name, value in changes.items():
            setattr(context, name, value)
        return context


class SecureGateway(Gateway):
    """A gateway that is asked over HTTPS."""

    def __init__(self, directory, simulator, authority, chain, key, environment=None, **options):
        variables = {"MARTLET_SERVER_TLS_CERT": str(chain), "MARTLET_SERVER_TLS_KEY": str(key), **(environment or {})}
        super().__init__(directory, simulator, environment=variables, **options)
        self.authority = authority

    def request(self, method, path, body=None, key=None, headers=None, timeout=30):
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=timeout, context=self.authority.context())
        sent = {**(headers or {}), **({"authorization": f"Bearer {key}"} if key else {})}
        data = json.dumps(body).encode() if body is not None else None
        try:
            connection.request(method, path, body=data, headers=sent)
            answer = connection.getresponse()
            return Answer(answer.status, answer.getheaders(), answer.read())
        finally:
            connection.close()

    def is_ready(self):
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.request("GET", "/health/ready", timeout=2).status == 200
        return False

    def shown_serial(self):
        with socket.create_connection(("127.0.0.1", self.port), 5) as plain, self.authority.context().wrap_socket(
            plain, server_hostname="localhost"
        ) as secure:
            return secure.getpeercert()["serialNumber"]

    def metric(self, name):
        text = self.request("GET", "/metrics", key=self.admin_key).body.decode()
        return next(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name + " ") or line.startswith(name + "{"))


class SecureConnection(RawConnection):
    """The raw connection of `rawhttp`, inside TLS."""

    def __init__(self, gateway, timeout=10, **changes):
        super().__init__(gateway.port, timeout)
        self.socket = gateway.authority.context(**changes).wrap_socket(self.socket, server_hostname="localhost")


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def pair(authority):
    return authority.issue("gateway")


@pytest.fixture(scope="module")
def secure(tmp_path_factory, authority, pair, simulator):
    """One gateway for the tests that leave it as it was."""
    gateway = SecureGateway(tmp_path_factory.mktemp("secure"), simulator, authority, *pair, environment={"MARTLET_SERVER_HEAD_TIMEOUT": "1s"})
    try:
        yield gateway.start()
    finally:
        gateway.stop()


@pytest.fixture(scope="module")
def secure_key(secure):
    return secure.create_key(name="secure")["key"]


@pytest.fixture
def make_secure(tmp_path, authority, simulator):
    made = []

    def make(chain, key, **options):
        made.append(SecureGateway(tmp_path / f"secure-{len(made)}", simulator, authority, chain, key, **options))
        return made[-1]

    yield make
    for gateway in made:
        gateway.stop()


def test_the_openai_client_talks_to_it_with_a_private_authority(secure, secure_key, authority):
    http_client = openai.DefaultHttpxClient(verify=authority.context())
    with openai.OpenAI(base_url=f"https://localhost:{secure.port}/v1", api_key=secure_key, http_client=http_client, max_retries=0) as client:
        answer = client.chat.completions.create(model="gpt-4o-mini", messages=BODY["messages"])
        assert answer.choices[0].message.content
        pieces = [chunk for chunk in client.chat.completions.create(model="gpt-4o-mini", messages=BODY["messages"], stream=True)]
        assert pieces[-1].choices[0].finish_reason == "stop"
        assert "gpt-4o-mini" in [model.id for model in client.models.list()]
    assert f"https://127.0.0.1:{secure.port}" in secure.output(), "the address that is printed can be used"


def test_a_large_body_and_a_large_answer_pass(secure, secure_key):
    body = {**BODY, "messages": [{"role": "user", "content": "x" * 3_000_000}]}
    connection = SecureConnection(secure, timeout=60)
    connection.send(post(CHAT, body, secure_key))
    assert connection.answer().status == 200
    connection.send(post(CHAT, {**BODY, "stream": True}, secure_key, [("x-sim-tokens", "4000")]))
    answer = connection.answer()
    assert answer.status == 200 and answer.body.endswith(b"data: [DONE]\n\n") and answer.body.count(b"data: ") >= 4000


def test_only_http_1_1_is_agreed_on_and_a_client_without_alpn_is_served_too(secure, secure_key, authority):
    context = authority.context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with socket.create_connection(("127.0.0.1", secure.port), 5) as plain, context.wrap_socket(plain, server_hostname="localhost") as connection:
        assert connection.selected_alpn_protocol() == "http/1.1"
        assert connection.version() == "TLSv1.3"
    connection = SecureConnection(secure)
    connection.send(get("/v1/models", secure_key))
    assert connection.answer("GET").status == 200


def test_old_versions_of_tls_are_refused_and_the_least_can_be_raised(secure, make_secure, pair):
    with pytest.raises(ssl.SSLError):
        SecureConnection(secure, minimum_version=ssl.TLSVersion.TLSv1, maximum_version=ssl.TLSVersion.TLSv1_1)
    assert SecureConnection(secure, maximum_version=ssl.TLSVersion.TLSv1_2).socket.version() == "TLSv1.2"
    strict = make_secure(*pair, environment={"MARTLET_SERVER_TLS_MIN_VERSION": "1.3"}).start()
    with pytest.raises(ssl.SSLError):
        SecureConnection(strict, maximum_version=ssl.TLSVersion.TLSv1_2)
    assert SecureConnection(strict).socket.version() == "TLSv1.3"


def test_a_client_that_leaves_mid_stream_cancels_the_call_however_it_leaves(make_secure, own_simulator, pair, authority, tmp_path):
    gateway = SecureGateway(tmp_path / "leaving", own_simulator, authority, *pair)
    try:
        key = gateway.start().create_key()["key"]
        for way in ("close_notify", "only tcp"):
            before = own_simulator.stats()["cancelled"]
            connection = SecureConnection(gateway)
            connection.send(
                post(CHAT, {**BODY, "stream": True}, key, [("x-sim-tokens", "2000"), ("x-sim-token-ms", "10"), ("x-request-id", f"left-{way[:4]}")])
            )
            assert connection.head()[1] == 200
            left_at = time.time() * 1000
            if way == "close_notify":
                connection.socket.settimeout(5)
                with contextlib.suppress(ssl.SSLError, OSError):
                    connection.socket.unwrap()
            connection.socket.close()
            stats = wait_until(lambda: (found := own_simulator.stats())["cancelled"] > before and found, 5, f"the call is cancelled after {way}")
            assert stats["last_cancelled_at_ms"] - left_at <= 250, "long before any time-out of a goodbye"
            row = wait_until(lambda: next(iter(gateway.rows(request_id=f"left-{way[:4]}")), None), 5, "the call is recorded")
            assert row["outcome"] == "client_gone"
    finally:
        gateway.stop()


def test_an_answer_that_ends_the_connection_ends_tls_first(secure, secure_key):
    connection = SecureConnection(secure)
    # Without this, Python takes an end of TCP without an end of TLS for an end all the same.
    connection.socket.context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
    connection.send(post(CHAT, BODY, secure_key, [("Connection", "close")]))
    assert connection.answer().status == 200
    assert connection.is_closed()


def test_plain_http_is_told_so_and_let_go(secure):
    before = len(secure.log_lines())
    for _ in range(20):
        started = time.monotonic()
        with RawConnection(secure.port) as connection:
            connection.send(get("/v1/models"))
            answer = connection.answer("GET")
            assert answer.status == 400 and answer.json()["error"]["code"] == "https_required"
            assert connection.is_closed() and time.monotonic() - started < 2
    with RawConnection(secure.port) as connection:
        connection.send(b"\x00\x01\x02 neither of the two")
        assert connection.is_closed()
    assert len(secure.log_lines()) - before <= 2, "nobody can fill the log"
    assert secure.request("GET", "/health/live").status == 200


def test_a_handshake_that_does_not_end_is_cut_off(secure):
    hello = ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), hello, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    started = time.monotonic()
    silent, halfway = RawConnection(secure.port), RawConnection(secure.port)
    halfway.send(hello.read()[:40])
    assert silent.is_closed(10) and halfway.is_closed(10)
    assert time.monotonic() - started < 8
    assert secure.metric('martlet_connections_ended_total{reason="handshake_timeout"}') >= 2


def test_a_certificate_that_is_replaced_is_shown_to_new_connections_and_old_ones_go_on(make_secure, authority, tmp_path):
    """As a container's secret is renewed: both files behind a link to a directory, and the link moved in one step."""
    first, second = authority.issue("first"), authority.issue("second", days=3)
    for number, (chain, key) in enumerate((first, second)):
        directory = tmp_path / f"data-{number}"
        directory.mkdir()
        (directory / "tls.crt").write_bytes(chain.read_bytes())
        (directory / "tls.key").write_bytes(key.read_bytes())
    (tmp_path / "current").symlink_to("data-0")
    gateway = make_secure(tmp_path / "current/tls.crt", tmp_path / "current/tls.key").start()
    key = gateway.create_key()["key"]
    serial, expiry = gateway.shown_serial(), gateway.metric("martlet_tls_certificate_expiry_timestamp_seconds")
    with SecureConnection(gateway, timeout=30) as old:
        old.send(post(CHAT, {**BODY, "stream": True}, key, [("x-sim-tokens", "300"), ("x-sim-token-ms", "20")]))
        assert old.head()[1] == 200
        (tmp_path / "next").symlink_to("data-1")
        os.replace(tmp_path / "next", tmp_path / "current")
        wait_until(lambda: gateway.shown_serial() != serial, 15, "the new certificate is shown")
        assert gateway.metric("martlet_tls_certificate_expiry_timestamp_seconds") > expiry
        body = b""
        while b"data: [DONE]" not in body[-64:]:
            old._more()
            body, old.buffer = body[-64:] + old.buffer, b""
    # A pair that does not match changes nothing, and is told of once.
    (tmp_path / "data-1/tls.key").write_bytes(first[1].read_bytes())
    wait_until(lambda: gateway.metric('martlet_tls_certificate_reloads_total{result="failure"}') == 1, 15, "the mismatch is seen")
    serial = gateway.shown_serial()
    health = gateway.request("GET", "/health/dependencies", key=gateway.admin_key).body.decode()
    assert "does not belong" in health
    assert sum("the new certificate cannot be used" in line for line in gateway.log_lines()) == 1
    (tmp_path / "data-1/tls.key").write_bytes(second[1].read_bytes())
    wait_until(lambda: gateway.metric('martlet_tls_certificate_reloads_total{result="success"}') == 2, 15, "the right key is taken up again")
    assert gateway.shown_serial() == serial


def test_an_expired_pair_does_not_take_the_place_of_a_valid_one(make_secure, authority, tmp_path):
    good, expired = authority.issue("good"), authority.issue("expired", days=-1)
    chain, key = tmp_path / "tls.crt", tmp_path / "tls.key"

    def put(pair):
        key.write_bytes(pair[1].read_bytes())
        chain.write_bytes(pair[0].read_bytes())

    put(good)
    gateway = make_secure(chain, key).start()
    serial = gateway.shown_serial()
    put(expired)
    wait_until(lambda: any("the new certificate cannot be used" in line and "has expired" in line for line in gateway.log_lines()), 15, "it is told")
    assert gateway.shown_serial() == serial
    gateway.terminate()
    assert gateway.wait() == 0
    # There is no better one now; whoever asks for no proof is served.
    late = make_secure(chain, key)
    late.spawn_server()
    wait_until(lambda: any("clients will not take the certificate" in line and "warning" in line for line in late.log_lines()), 15, "it is told")


@pytest.mark.parametrize("trouble", ["mismatch", "encrypted", "empty", "swapped"])
def test_a_pair_that_cannot_be_used_keeps_the_gateway_from_starting_and_says_why(make_secure, authority, pair, tmp_path, trouble):
    chain, key = pair
    expected = "does not belong"
    if trouble == "mismatch":
        key = authority.issue("other")[1]
    elif trouble == "encrypted":
        authority.openssl("pkcs8", "-topk8", "-in", key, "-passout", "pass:secret", "-out", tmp_path / "encrypted.key")
        key, expected = tmp_path / "encrypted.key", "is encrypted"
    elif trouble == "empty":
        chain, expected = tmp_path / "empty.pem", "is empty"
        chain.write_text("")
    else:
        chain, key, expected = key, chain, "holds no certificate"
    gateway = make_secure(chain, key)
    gateway.spawn_server()
    assert gateway.wait(20) != 0
    assert expected in gateway.output() and "PRIVATE KEY-----" not in gateway.output()


def test_a_half_given_pair_is_a_mistake_of_the_configuration(tmp_path, pair):
    file = tmp_path / "martlet.yaml"
    file.write_text(
        f"server: {{ tls: {{ cert: {pair[0]} }} }}\nproviders: [{{ id: sim, base_url: http://127.0.0.1:1/v1 }}]\n"
        "models: [{ name: m, deployments: [{ provider: sim }] }]\n"
    )
    answer = run_cli("config", "check", "--config", str(file))
    assert answer.returncode != 0 and "server.tls.key" in answer.stdout + answer.stderr and "martlet.yaml:1" in answer.stdout + answer.stderr


def test_the_private_listener_can_speak_tls_too(make_secure, pair, authority):
    from processes import free_port

    port = free_port()
    gateway = make_secure(*pair, environment={"MARTLET_SERVER_PRIVATE_PORT": str(port), "MARTLET_SERVER_PRIVATE_TLS": "true"}).start()
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=authority.context())
    connection.request("GET", "/metrics")
    assert connection.getresponse().status == 200
    connection.close()
    assert gateway.request("GET", "/health/ready").status == 200


def test_the_command_line_reaches_it_with_the_authority_it_is_given(secure, authority):
    variables = {"MARTLET_ADMIN_KEY": secure.admin_key, "MARTLET_URL": f"https://localhost:{secure.port}"}
    refused = run_cli("keys", "list", environment=variables)
    assert refused.returncode != 0 and "certificate verify failed" in refused.stderr and "/" not in refused.stderr.split("certificate verify failed")[1]
    answer = run_cli("keys", "list", environment={**variables, "MARTLET_CA_FILE": str(authority.file)})
    assert answer.returncode == 0, answer.stderr


def test_a_first_request_does_not_wait_for_an_acknowledgement(secure):
    """Python leaves Nagle's algorithm on: the request behind the handshake goes out when the handshake's end is acknowledged."""
    times = []
    for _ in range(15):
        with SecureConnection(secure) as connection:
            started = time.monotonic()
            connection.send(get("/health/live"))
            assert connection.answer("GET").status == 200
            times.append(time.monotonic() - started)
    assert min(times) < 0.03, "not one of them escaped the 40 ms of a delayed acknowledgement"


def test_many_handshakes_at_once_all_succeed(secure):
    failures = []

    def work():
        try:
            for _ in range(10):
                with SecureConnection(secure, timeout=30) as connection:
                    connection.send(get("/health/live"))
                    assert connection.answer("GET").status == 200
        except Exception as error:  # noqa: BLE001: a thread's failure has to reach the test
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
