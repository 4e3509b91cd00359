"""SIGTERM: what was read is answered, streams end properly, the exit status is 0."""

import asyncio
import time

import pytest

from load import Load
from processes import BASE_CONFIGURATION, wait_until
from rawhttp import RawConnection, get, post

CHAT = "/v1/chat/completions"
BODY = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}


def configured(delay, deadline):
    return BASE_CONFIGURATION.replace("port: %(port)d }", f"port: %(port)d, drain: {{ delay: {delay}, deadline: {deadline} }} }}")


async def test_no_call_that_was_read_fails_under_load(make_gateway):
    gateway = make_gateway(configuration=configured("1s", "20s")).start()
    key = gateway.create_key()["key"]
    load = Load(
        gateway.port, key, connections=32, reconnect=False,
        headers=lambda generator, _: {"x-sim-tokens": str(generator.randint(1, 60)), "x-sim-token-ms": "5"},
    )  # fmt: skip
    running = asyncio.create_task(load.run())
    await asyncio.sleep(1)
    gateway.terminate()
    status = await asyncio.to_thread(gateway.wait, 40)
    load.stop()
    await asyncio.wait_for(running, 20)
    assert status == 0
    assert len(load.received) > 100
    assert all(outcome.status == 200 for outcome in load.received)
    # A call may only have failed if Martlet never read it: no answer byte came and the usage log does not know it.
    gateway.start()
    logged = set(gateway.request_ids())
    read_but_failed = [outcome for outcome in load.failed if outcome.broken != "sent" or outcome.request_id in logged]
    assert not read_but_failed, read_but_failed[:5]
    assert len(load.failed) <= 32, "at most one call per connection was on its way"
    assert {outcome.request_id for outcome in load.received} <= logged


def test_draining_is_not_ready_but_live_still_serves_and_asks_to_close(make_gateway):
    gateway = make_gateway(configuration=configured("3s", "10s")).start()
    key = gateway.create_key()["key"]
    waiting = RawConnection(gateway.port)
    waiting.send(get("/health/live"))
    assert waiting.answer("GET").status == 200
    gateway.terminate()
    deadline = time.monotonic() + 2
    while gateway.is_ready():
        assert time.monotonic() < deadline, "not ready at once"
    assert gateway.request("GET", "/health/live").status == 200
    answer = gateway.request("POST", CHAT, BODY, key=key)
    assert answer.status == 200, "still accepting during the delay"
    assert answer.headers["connection"].lower() == "close"
    waiting.send(post(CHAT, BODY, key))
    kept = waiting.answer()
    assert kept.status == 200 and kept.headers["connection"].lower() == "close"
    assert waiting.is_closed()
    assert gateway.wait() == 0


def test_a_stream_that_is_done_before_the_deadline_finishes(make_gateway):
    gateway = make_gateway(configuration=configured("100ms", "20s")).start()
    key = gateway.create_key()["key"]
    connection = RawConnection(gateway.port, timeout=30)
    connection.send(post(CHAT, {**BODY, "stream": True}, key, [("x-sim-tokens", "100"), ("x-sim-token-ms", "20"), ("x-request-id", "finishing")]))
    assert connection.head()[1] == 200
    gateway.terminate()
    body = read_rest(connection)
    assert body.rstrip().endswith(b"data: [DONE]") or b"data: [DONE]" in body
    assert b'"error"' not in body
    assert gateway.wait() == 0
    gateway.start()
    row = gateway.row("finishing")
    assert row["outcome"] == "success" and row["output_tokens"] == 100


def test_a_stream_at_the_deadline_ends_with_an_error_event_and_is_recorded(make_gateway, own_simulator):
    gateway = make_gateway(configuration=configured("100ms", "1s")).start()
    key = gateway.create_key()["key"]
    connection = RawConnection(gateway.port, timeout=30)
    connection.send(post(CHAT, {**BODY, "stream": True}, key, [("x-sim-tokens", "2000"), ("x-sim-token-ms", "20"), ("x-request-id", "cut-off")]))
    assert connection.head()[1] == 200
    plain = RawConnection(gateway.port, timeout=30)
    plain.send(post(CHAT, BODY, key, [("x-sim-ttft-ms", "60000"), ("x-request-id", "cut-off-plain")]))
    wait_until(lambda: own_simulator.stats()["active"] == 2, 5, "both calls have reached the provider")
    started = time.monotonic()
    gateway.terminate()
    body = read_rest(connection)
    assert time.monotonic() - started < 10
    events = [event for event in body.split(b"\n\n") if event.strip()]
    assert any(b'"error"' in event for event in events[-2:]), events[-2:]
    refused = plain.answer()
    assert refused.status in (503, 504) and refused.json()["error"]["code"] == "draining"
    assert gateway.wait() == 0
    gateway.start()
    row = gateway.row("cut-off")
    assert row["outcome"] == "drained" and row["estimated"] is True and row["output_tokens"] > 0
    assert gateway.row("cut-off-plain")["outcome"] == "drained"


@pytest.mark.parametrize("streamed", [False, True])
def test_idle_connections_are_closed_and_do_not_hold_the_exit(make_gateway, streamed):
    gateway = make_gateway(configuration=configured("100ms", "20s")).start()
    key = gateway.create_key()["key"]
    idle = RawConnection(gateway.port)
    idle.send(post(CHAT, {**BODY, "stream": streamed}, key))
    assert idle.answer().status == 200
    untouched = RawConnection(gateway.port)
    started = time.monotonic()
    gateway.terminate()
    assert gateway.wait() == 0
    assert time.monotonic() - started < 5
    assert idle.is_closed() and untouched.is_closed()


def read_rest(connection):
    """The chunked rest of an answer, without its framing, up to its end or the end of the connection."""
    body = b""
    try:
        while size := int(connection._line().split(b";")[0], 16):
            body += connection._exactly(size)
            connection._exactly(2)
    except (EOFError, ConnectionResetError):
        pass
    return body
