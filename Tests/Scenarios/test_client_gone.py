"""A client that leaves: the upstream call is cancelled within 50 ms, and what was produced is charged."""

import decimal
import socket
import struct
import time

import pytest

from processes import wait_until
from rawhttp import RawConnection, post

CHAT = "/v1/chat/completions"
BODY = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Tell me a long story about swifts."}]}


def leave(connection, how):
    if how == "reset":
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.socket.close()


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_client_that_leaves_mid_stream_cancels_upstream_within_50_ms_and_is_charged(make_gateway, own_simulator, how):
    gateway = make_gateway().start()
    key = gateway.create_key()["key"]
    for number in range(5):
        before = own_simulator.stats()["cancelled"]
        identifier = f"left-{how}-{number}"
        connection = RawConnection(gateway.port)
        connection.send(post(CHAT, {**BODY, "stream": True}, key, [("x-sim-tokens", "2000"), ("x-sim-token-ms", "10"), ("x-request-id", identifier)]))
        assert connection.head()[1] == 200
        while connection.buffer.count(b"data: ") < 10:
            connection._more()
        left_at = time.time() * 1000
        leave(connection, how)
        stats = wait_until(lambda: (found := own_simulator.stats())["cancelled"] > before and found, 5, "the upstream call is cancelled")
        assert stats["last_cancelled_at_ms"] - left_at <= 50, f"cancelled after {stats['last_cancelled_at_ms'] - left_at:.1f} ms"
        row = wait_until(lambda: next(iter(gateway.rows(request_id=identifier)), None), 5, "the call is in the usage log")
        assert row["outcome"] == "client_gone" and row["estimated"] is True
        assert row["output_tokens"] > 0 and row["output_tokens"] < 200
        assert row["input_tokens"] > 0 and decimal.Decimal(row["cost_usd"]) > 0
    assert own_simulator.stats()["streams_active"] == 0


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_client_that_leaves_before_the_first_byte_cancels_upstream_too(make_gateway, own_simulator, how):
    gateway = make_gateway().start()
    key = gateway.create_key()["key"]
    connection = RawConnection(gateway.port)
    connection.send(post(CHAT, BODY, key, [("x-sim-ttft-ms", "30000"), ("x-request-id", f"early-{how}")]))
    wait_until(lambda: own_simulator.stats()["active"] == 1, 5, "the call has reached the provider")
    left_at = time.time() * 1000
    leave(connection, how)
    stats = wait_until(lambda: (found := own_simulator.stats())["cancelled"] >= 1 and found, 5, "the upstream call is cancelled")
    assert stats["last_cancelled_at_ms"] - left_at <= 50
    row = wait_until(lambda: next(iter(gateway.rows(request_id=f"early-{how}")), None), 5, "the call is in the usage log")
    assert row["outcome"] == "client_gone"


def test_a_client_that_reads_slowly_gets_everything_and_martlet_does_not_buffer_it(make_gateway, own_simulator):
    gateway = make_gateway().start()
    key = gateway.create_key()["key"]
    connection = RawConnection(gateway.port, timeout=60)
    memory_before = resident_bytes(gateway)
    connection.send(post(CHAT, {**BODY, "stream": True}, key, [("x-sim-tokens", "400000"), ("x-request-id", "slow-reader")]))
    assert connection.head()[1] == 200
    time.sleep(3)  # not a wait for an event: the time in which a gateway without backpressure would fill its memory
    assert resident_bytes(gateway) - memory_before < 16e6, "the rest of the stream stays with the provider"
    body_end = b""
    while b"data: [DONE]" not in body_end:
        data = connection.socket.recv(1 << 20)
        assert data, "the stream broke off"
        body_end = body_end[-64:] + data
    assert gateway.row("slow-reader")["output_tokens"] == 400000


def resident_bytes(gateway):
    with open(f"/proc/{gateway.process.pid}/statm") as file:
        return int(file.read().split()[1]) * 4096
