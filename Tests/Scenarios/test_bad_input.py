"""What no well-behaved client sends. Every answer is in OpenAI's error shape and has a request id; nothing crashes, nothing leaks."""

import json
import time

import pytest

from processes import wait_until
from rawhttp import get, post

CHAT = "/v1/chat/completions"
GOOD = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}


def check_error(answer, status, code=None):
    assert answer.status in (status if isinstance(status, tuple) else (status,)), answer
    assert answer.headers.get("x-request-id"), "every answer has a request id"
    assert answer.headers["content-type"].startswith("application/json")
    error = answer.json()["error"]
    assert set(error) >= {"message", "type", "param", "code"}
    assert isinstance(error["message"], str) and error["message"]
    assert isinstance(error["type"], str) and error["type"]
    if code:
        assert error["code"] == code
    return error


def exchange(connect, data, method="POST"):
    connection = connect()
    connection.send(data)
    return connection.answer(method)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"null", b"42", b'"model"', b"not json", b'{"model": "gpt-4o-mini", "messages": [', b'{"model": "gpt-4o-mini" "messages": []}',
        b'{"model": "gpt-4o-mini", "messages": []} trailing', b"{'model': 'gpt-4o-mini'}", b"\x00" * 20, b'{"model": "gpt-4o-mini", "messages": [}]}',
        b"{" * 5000, b"[" * 5000,
    ],
)  # fmt: skip
def test_malformed_json_is_a_400(connect, key, body):
    check_error(exchange(connect, post(CHAT, body, key)), 400)


@pytest.mark.parametrize(
    "body",
    [
        b'{"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "\xff\xfe"}]}',
        b'{"model": "gpt-4o-mini\xc3\x28", "messages": [{"role": "user", "content": "x"}]}',
        b'{"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "\xed\xa0\x80"}]}',
    ],
)
def test_invalid_utf8_is_a_4xx(connect, key, body):
    check_error(exchange(connect, post(CHAT, body, key)), (400, 404))


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"model": 5}, "model"), ({"model": None}, "model"), ({"model": ["gpt-4o-mini"]}, "model"), ({"model": {}}, "model"),
        ({"stream": "yes"}, "stream"), ({"stream": 1}, "stream"), ({"messages": "hello"}, "messages"), ({"messages": 7}, "messages"),
        ({"max_tokens": "many"}, "max_tokens"), ({"n": "two"}, "n"), ({"stream": True, "stream_options": "all"}, "stream_options"),
    ],
)  # fmt: skip
def test_wrong_types_of_governed_fields_are_a_400_that_names_the_field(connect, key, change, param):
    error = check_error(exchange(connect, post(CHAT, {**GOOD, **change}, key)), 400)
    assert error["param"] == param or param in error["message"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ('{"model": "gpt-4o-mini", "messages": [], "model": "gpt-99"}', "model"),
        ('{"model": "gpt-4o-mini", "messages": [], "mod\\u0065l": "gpt-99"}', "model"),
        ('{"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "x"}], "stream": false, "stream": true}', "stream"),
        ('{"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "x"}], "max_tokens": 1, "max_tokens": 100000}', "max_tokens"),
    ],
)
def test_a_governed_field_given_twice_is_a_400(connect, key, body, param):
    error = check_error(exchange(connect, post(CHAT, body, key)), 400, "duplicate_parameter")
    assert error["param"] == param


@pytest.mark.parametrize("missing", ["model", "messages"])
def test_a_missing_field_is_a_400_that_names_it(connect, key, missing):
    body = {name: value for name, value in GOOD.items() if name != missing}
    error = check_error(exchange(connect, post(CHAT, body, key)), 400)
    assert error["param"] == missing


def test_an_unknown_model_is_a_404(connect, key):
    error = check_error(exchange(connect, post(CHAT, {**GOOD, "model": "no/such:model"}, key)), 404, "model_not_found")
    assert error["param"] == "model" and "no/such:model" in error["message"]


@pytest.mark.parametrize("name", ["", " ", "\u0000", "gpt-4o-mini ", "GPT-4O-MINI", "x" * 100_000, "\u202e"])
def test_odd_model_names_are_a_4xx(connect, key, name):
    check_error(exchange(connect, post(CHAT, {**GOOD, "model": name}, key)), (400, 404))


def test_a_body_over_the_bound_is_refused_by_its_head(connect, key):
    connection = connect()
    started = time.monotonic()
    connection.send(f"POST {CHAT} HTTP/1.1\r\nHost: m\r\nAuthorization: Bearer {key}\r\nContent-Length: 10485761\r\n\r\n")
    check_error(connection.answer(), 413, "request_too_large")
    assert time.monotonic() - started < 2, "no byte of the body was needed"


def test_a_chunked_body_over_the_bound_is_refused_when_it_crosses_it(connect, key):
    connection = connect()
    connection.send(f"POST {CHAT} HTTP/1.1\r\nHost: m\r\nAuthorization: Bearer {key}\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(12):
        if not connection.send(b"100000\r\n" + b" " * 0x100000 + b"\r\n"):
            break
    check_error(connection.answer(), 413, "request_too_large")


def test_a_body_of_exactly_the_bound_is_read(connect, key):
    filler = 10 * 1024 * 1024 - len(json.dumps({**GOOD, "user": ""}))
    answer = exchange(connect, post(CHAT, {**GOOD, "user": "u" * filler}, key))
    assert answer.status != 413


@pytest.mark.parametrize(
    "chunks",
    [b"zz\r\nhello\r\n0\r\n\r\n", b"-5\r\nhello\r\n0\r\n\r\n", b"ffffffffffffffffff\r\nhello\r\n", b"5\r\nhelloXX\r\n0\r\n\r\n", b"5 hello\r\n\r\n"],
)
def test_bad_chunked_encoding_is_a_400_and_closes(connect, key, chunks):
    connection = connect()
    connection.send(f"POST {CHAT} HTTP/1.1\r\nHost: m\r\nAuthorization: Bearer {key}\r\nTransfer-Encoding: chunked\r\n\r\n".encode() + chunks)
    check_error(connection.answer(), 400)
    assert connection.is_closed()


@pytest.mark.parametrize(
    "head",
    [
        "GARBAGE\r\n\r\n",
        "POST /v1/chat/completions\r\n\r\n",
        "POST /v1/chat/completions HTTP/9.9\r\n\r\n",
        "POST /v1/chat/completions HTTP/1.1\r\nHost: m\r\nbad header line\r\n\r\n",
        "POST /v1/chat/completions HTTP/1.1\r\nHost: m\r\nContent-Length: -1\r\n\r\n",
        "POST /v1/chat/completions HTTP/1.1\r\nHost: m\r\nContent-Length: ten\r\n\r\n",
        "POST /v1/chat/completions HTTP/1.1\r\nHost: m\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        "POST /v1/chat/completions HTTP/1.1\r\nHost: m\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
def test_a_request_that_is_not_http_is_a_400_and_closes(connect, head):
    connection = connect()
    connection.send(head.encode("latin-1"))
    check_error(connection.answer(), 400)
    assert connection.is_closed()


@pytest.mark.parametrize(
    "headers",
    [
        "x-bomb: " + "a" * 1_000_000 + "\r\n",
        "".join(f"x-bomb-{number}: {'a' * 60}\r\n" for number in range(20_000)),
    ],
)
def test_a_header_bomb_is_refused_and_closes(connect, key, headers):
    connection = connect()
    connection.send(f"POST {CHAT} HTTP/1.1\r\nHost: m\r\nAuthorization: Bearer {key}\r\n{headers}Content-Length: 0\r\n\r\n")
    check_error(connection.answer(), (400, 431))
    assert connection.is_closed()


def test_an_endless_request_line_is_refused(connect):
    connection = connect()
    connection.send("GET /v1/models?" + "a" * 1_000_000 + " HTTP/1.1\r\nHost: m\r\n\r\n")
    check_error(connection.answer("GET"), (400, 414, 431))


@pytest.mark.parametrize(
    ("credential", "code"),
    [
        (None, "missing_api_key"), ("mk_unknown", "invalid_api_key"), ("x", "invalid_api_key"), ("mk_" + "a" * 38, "invalid_api_key"),
        ("mk_" + "a" * 5000, "invalid_api_key"), ("\xff\xfe", "invalid_api_key"),
    ],
)  # fmt: skip
def test_an_unknown_or_malformed_key_is_a_401(connect, credential, code):
    headers = [] if credential is None else [("Authorization", f"Bearer {credential}")]
    connection = connect()
    connection.send(
        post(CHAT, GOOD).split(b"\r\n\r\n")[0]
        + "".join(f"\r\n{name}: {value}" for name, value in headers).encode("latin-1")
        + b"\r\n\r\n"
        + json.dumps(GOOD).encode()
    )
    check_error(connection.answer(), 401, code)


def test_a_damaged_key_is_a_401(connect, key):
    damaged = key[:-1] + ("a" if key[-1] != "a" else "b")
    check_error(exchange(connect, post(CHAT, GOOD, damaged)), 401, "invalid_api_key")


@pytest.mark.parametrize("header", ["x-api-key", "api-key"])
def test_a_key_is_taken_from_the_other_usual_headers_too(connect, key, header):
    assert exchange(connect, post(CHAT, GOOD, headers=[(header, key)])).status == 200


def test_a_key_without_the_right_is_a_403(connect, gateway):
    powerless = gateway.create_key(name="metrics only", rights=["metrics"])["key"]
    check_error(exchange(connect, post(CHAT, GOOD, powerless)), 403, "insufficient_permissions")
    ordinary = gateway.create_key(name="ordinary")["key"]
    check_error(exchange(connect, post("/api/v1/keys", {"name": "x"}, ordinary)), 403)


@pytest.mark.parametrize(
    ("method", "path"), [("GET", CHAT), ("DELETE", CHAT), ("PUT", "/v1/embeddings"), ("POST", "/v1/models"), ("PATCH", "/v1/completions")]
)
def test_a_wrong_method_is_a_405_that_names_the_right_one(connect, key, method, path):
    answer = exchange(connect, get(path, key, [("Content-Length", "0")], method), method)
    check_error(answer, 405, "method_not_supported")
    assert answer.headers["allow"] in ("GET", "POST", "GET, HEAD")


@pytest.mark.parametrize(
    "path",
    ["/v1", "/v1/", "/v1/chat", "/v1/chat/completions/x", "/v1/nothing", "/v1/../etc/passwd", "/v1//models", "/nothing", "/api/v1/nothing", "/%00"],
)
def test_an_unknown_path_is_a_404(connect, key, path):
    check_error(exchange(connect, get(path, key), "GET"), (400, 404))


def test_expect_100_continue_is_answered_before_the_body(connect, key):
    body = json.dumps(GOOD).encode()
    connection = connect()
    connection.send(f"POST {CHAT} HTTP/1.1\r\nHost: m\r\nAuthorization: Bearer {key}\r\nExpect: 100-continue\r\nContent-Length: {len(body)}\r\n\r\n")
    assert connection.answer().status == 100
    connection.send(body)
    assert connection.answer().status == 200


def test_expect_100_continue_with_a_wrong_key_gets_the_401_at_once(connect):
    connection = connect()
    connection.send(f"POST {CHAT} HTTP/1.1\r\nHost: m\r\nAuthorization: Bearer mk_no\r\nExpect: 100-continue\r\nContent-Length: 500\r\n\r\n")
    check_error(connection.answer(), 401)


def test_another_expectation_is_a_417(connect, key):
    check_error(exchange(connect, post(CHAT, GOOD, key, [("Expect", "miracles")])), 417, "expectation_failed")


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "gzip, gzip", "rot13"])
def test_a_compressed_body_is_a_415(connect, key, encoding):
    check_error(exchange(connect, post(CHAT, GOOD, key, [("Content-Encoding", encoding)])), 415, "unsupported_content_encoding")


def test_pipelined_requests_across_both_planes_are_answered_in_order(connect, gateway, key):
    slow = [("x-sim-ttft-ms", "300"), ("x-request-id", "pipe-0")]
    connection = connect()
    connection.send(
        post(CHAT, GOOD, key, slow)
        + get("/health/live", headers=[("x-request-id", "pipe-1")])
        + post(CHAT, {**GOOD, "stream": True}, key, [("x-request-id", "pipe-2")])
        + get("/v1/models", key, [("x-request-id", "pipe-3")])
        + get("/api/v1/models", gateway.admin_key, [("x-request-id", "pipe-4")])
        + post(CHAT, GOOD, "mk_wrong", [("x-request-id", "pipe-5")])
        + post(CHAT, GOOD, key, [("x-request-id", "pipe-6")])
    )
    answers = [connection.answer("GET") for _ in range(7)]
    assert [answer.headers["x-request-id"] for answer in answers] == [f"pipe-{number}" for number in range(7)]
    assert [answer.status for answer in answers] == [200, 200, 200, 200, 200, 401, 200]
    assert answers[2].body.rstrip().endswith(b"data: [DONE]")


def test_a_refused_request_with_a_body_does_not_shift_the_next_one(connect, key):
    connection = connect()
    connection.send(post(CHAT, GOOD, "mk_wrong") + post("/v1/nothing", GOOD, key) + post(CHAT, GOOD, key))
    assert [connection.answer().status for _ in range(3)] == [401, 404, 200]


@pytest.mark.parametrize(
    "path", ["/v1/models/house%2Freasoner%3Av1", "/v1/models/house/reasoner:v1", "/v1/models/house%2freasoner:v1", "/v1/models/gpt%2D4o-mini"]
)
def test_encoded_slashes_in_model_ids_are_understood(connect, key, path):
    answer = exchange(connect, get(path, key), "GET")
    assert answer.status == 200 and answer.json()["id"] in ("house/reasoner:v1", "gpt-4o-mini")


@pytest.mark.parametrize("path", ["/v1/models/%zz", "/v1/models/%", "/v1/models/no%2Fsuch", "/v1/models/%00", "/v1/models/%ff"])
def test_badly_encoded_or_unknown_model_ids_are_a_4xx(connect, key, path):
    check_error(exchange(connect, get(path, key), "GET"), (400, 404))


@pytest.mark.parametrize("sent", ["", "x" * 5000, "caf\xe9", "a b", "\x01", "../../etc", "'; DROP TABLE usage; --"])
def test_odd_request_ids_are_replaced_or_echoed_but_never_break_anything(connect, key, sent):
    connection = connect()
    data = post(CHAT, GOOD, key).replace(b"Host: martlet", b"Host: martlet\r\nx-request-id: " + sent.encode("latin-1"), 1)
    connection.send(data)
    answer = connection.answer()
    assert answer.status in (200, 400)
    assert answer.headers["x-request-id"]
    assert len([name for name, _ in answer.header_list if name.lower() == "x-request-id"]) == 1


def test_a_control_plane_body_that_is_no_json_is_a_4xx(connect, gateway):
    for body in (b"{", b"[]", b'{"name": 5}', b'{"models": 5}', b'{"expires_at": "tomorrow"}', b'{"rights": ["fly"]}'):
        check_error(exchange(connect, post("/api/v1/keys", body, gateway.admin_key)), (400, 422))


def test_after_all_of_it_no_upstream_connection_leaked_and_calls_still_work(connect, gateway, simulator, key):
    assert exchange(connect, post(CHAT, GOOD, key)).status == 200
    assert gateway.process.poll() is None
    # Idle upstream connections live for four seconds; what remains after that would be a leak.
    wait_until(lambda: simulator.stats()["connections_open"] <= 1, 15, "only the connection that asks is open upstream")
    assert simulator.stats()["active"] <= 1
