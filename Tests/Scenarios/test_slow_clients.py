"""Clients that send one byte a second and clients that read one byte a second: other calls do not notice, memory is bounded, and they are let go.

`CLIENTS=1000` makes it a thousand of each; the default is what a test run can afford.
"""

import asyncio
import contextlib
import json
import os
import pathlib
import re
import resource
import socket
import time

import pytest

from load import Load
from processes import Gateway, Simulator, wait_until
from rawhttp import RawConnection, post

CLIENTS = int(os.environ.get("CLIENTS", "200"))
RESIDENT_MAX_BYTES = 200e6
CHAT = "/v1/chat/completions"
BODY = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}
LIMITS = {
    "MARTLET_SERVER_HEAD_TIMEOUT": "4s",
    "MARTLET_SERVER_BODY_TIMEOUT": "4s",
    "MARTLET_SERVER_WRITE_STALL": "4s",
    "MARTLET_SERVER_KEEP_ALIVE": "5s",
}


@pytest.fixture
def provider(tmp_path):
    simulator = Simulator(tmp_path / "simulator", "--tokens", "12")
    try:
        yield simulator.start()
    finally:
        simulator.stop()


@pytest.fixture
def make(tmp_path, provider):
    made = []

    def start(**variables):
        made.append(Gateway(tmp_path / f"gateway-{len(made)}", provider, environment={**LIMITS, **variables}))
        return made[-1].start()

    yield start
    for gateway in made:
        gateway.stop()


def resident_bytes(gateway):
    return int(pathlib.Path(f"/proc/{gateway.process.pid}/statm").read_text().split()[1]) * 4096


def metric(gateway, name):
    text = gateway.request("GET", "/metrics", key=gateway.admin_key).body.decode()
    return next((float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name + " ") or line.startswith(name + "{")), 0)


class SlowClient:
    """One of the crowd: `opening` at once, then one byte a second of `rest`, or one byte a second of the answer."""

    def __init__(self, port, opening, rest=b"", reads_slowly=False):
        self.port = port
        self.opening = opening
        self.rest = rest
        self.reads_slowly = reads_slowly
        self.answer = b""
        self.is_ended = False

    async def run(self):
        loop = asyncio.get_running_loop()
        client = socket.socket()
        client.setblocking(False)
        if self.reads_slowly:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        try:
            await loop.sock_connect(client, ("127.0.0.1", self.port))
            await loop.sock_sendall(client, self.opening)
            for byte in self.rest:
                with contextlib.suppress(TimeoutError):
                    if not await asyncio.wait_for(self._read(loop, client), 1):
                        return
                await loop.sock_sendall(client, bytes([byte]))
            while True:
                if self.reads_slowly:
                    await asyncio.sleep(1)
                    # What had arrived before a reset could still be read, at this pace for hours.
                    if error := client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                        raise OSError(error, "the connection is gone")
                if not await self._read(loop, client):
                    return
        except OSError:
            pass  # A reset is an end like another; what was answered before it is kept.
        finally:
            self.is_ended = True
            client.close()

    async def _read(self, loop, client):
        data = await loop.sock_recv(client, 1 if self.reads_slowly else 4096)
        self.answer += data
        return data

    @property
    def status(self):
        found = re.match(rb"HTTP/1\.1 (\d{3})", self.answer)
        return int(found[1]) if found else 0


def head_of(length, key, request_id):
    return (
        f"POST {CHAT} HTTP/1.1\r\nHost: m\r\nAuthorization: Bearer {key}\r\nx-request-id: {request_id}\r\nContent-Length: {length}\r\n\r\n".encode()
    )


def crowd(gateway, key):
    """Half of the senders are slow in their heads, half in their bodies; most readers are slow in streams, some in plain answers."""
    port = gateway.port
    readers = [
        SlowClient(
            port,
            post(
                CHAT, {**BODY, "stream": number % 4 > 0}, key,
                [("x-sim-tokens", "100000" if number % 4 else "60000"), ("x-request-id", f"reader-{number}")],
            ),
            reads_slowly=True,
        )
        for number in range(CLIENTS)
    ]  # fmt: skip
    heads = [SlowClient(port, b"POST /v1/chat/completions HTTP/1.1\r\nHost: m\r\nx-slow: ", b"a" * 600) for _ in range(CLIENTS // 2)]
    bodies = [SlowClient(port, head_of(100_000, key, f"body-{number}"), b" " * 600) for number in range(CLIENTS - CLIENTS // 2)]
    return readers, heads, bodies


async def test_a_crowd_of_slow_clients_harms_nobody_and_is_let_go(make, provider):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    gateway = make()
    key = (await asyncio.to_thread(gateway.create_key))["key"]
    readers, heads, bodies = crowd(gateway, key)
    load = Load(gateway.port, key, connections=4, seed=5)
    highest, crowded = 0, 0
    async with asyncio.TaskGroup() as group:
        for client in readers + heads + bodies:
            group.create_task(client.run())
        measured = group.create_task(load.run())
        deadline = time.monotonic() + 45
        while not all(client.is_ended for client in readers + heads + bodies):
            highest = max(highest, resident_bytes(gateway))
            crowded = max(crowded, sum(1 for client in readers + heads + bodies if not client.is_ended))
            left = [sum(not client.is_ended for client in kind) for kind in (readers, heads, bodies)]
            assert time.monotonic() < deadline, f"the slow ones are let go in time; left of readers, heads and bodies: {left}"
            await asyncio.sleep(0.25)
        load.stop()
        await measured
    print(f"{CLIENTS} of each: at most {highest / 1e6:.0f} MB resident, {len(load.outcomes)} other calls")
    assert crowded > CLIENTS, "they were there at the same time"
    assert len(load.outcomes) > 100 and not load.failed and not load.connect_failures, "other calls are unharmed"
    assert highest < RESIDENT_MAX_BYTES, f"{highest / 1e6:.0f} MB"
    assert {client.status for client in heads} == {408} and {client.status for client in bodies} == {408}
    await asyncio.to_thread(check_books, gateway, provider)


def check_books(gateway, provider):
    wait_until(lambda: provider.stats()["active"] == 0, 10, "no call goes on at the provider")
    wait_until(lambda: metric(gateway, "martlet_connections") <= 2, 10, "no connection is left")
    everything = gateway.rows()
    rows = {row["request_id"]: row for row in everything}
    # More than ten alike in a second become one row that counts them.
    senders = [row for row in everything if row["error_code"] == "request_timeout"]
    assert all(row["outcome"] == "timeout" and row["status"] == 408 for row in senders)
    assert sum(row["count"] for row in senders) == CLIENTS - CLIENTS // 2
    stalled = [row for identifier, row in rows.items() if identifier.startswith("reader-")]
    assert len(stalled) == CLIENTS, "every reader's call is in the books"
    assert all(row["outcome"] in ("client_gone", "success") for row in stalled)
    assert sum(row["error_code"] == "client_stalled" for row in stalled) >= CLIENTS * 3 // 4
    assert metric(gateway, 'martlet_connections_ended_total{reason="head_timeout"}') == CLIENTS // 2
    ended = sum(metric(gateway, f'martlet_connections_ended_total{{reason="{reason}"}}') for reason in ("body_rate", "body_timeout"))
    assert ended == CLIENTS - CLIENTS // 2
    assert metric(gateway, "llm_active_requests") == 0


def test_a_body_that_keeps_to_the_least_rate_is_read(make, provider):
    gateway = make(MARTLET_SERVER_BODY_MIN_RATE="4KiB", MARTLET_SERVER_BODY_TIMEOUT="1s")
    key = gateway.create_key()["key"]
    body = json.dumps({**BODY, "user": "u" * 30_000}).encode()
    with RawConnection(gateway.port, timeout=30) as connection:
        connection.send(head_of(len(body), key, "steady"))
        for start in range(0, len(body), 2500):
            assert connection.send(body[start : start + 2500])
            time.sleep(0.25)  # 10 kB a second, for three windows
        assert connection.answer().status == 200


def test_a_body_of_endless_tiny_chunks_is_cut_off(make):
    gateway = make(MARTLET_SERVER_BODY_TIMEOUT="1s")
    key = gateway.create_key()["key"]
    with RawConnection(gateway.port, timeout=30) as connection:
        connection.send(f"POST {CHAT} HTTP/1.1\r\nHost: m\r\nAuthorization: Bearer {key}\r\nTransfer-Encoding: chunked\r\n\r\n")
        started = time.monotonic()
        connection.socket.settimeout(0.1)
        while time.monotonic() - started < 10:
            connection.send(b"1;" + b"x" * 100 + b"\r\n \r\n")
            with contextlib.suppress(TimeoutError):
                connection._more()
                break
        connection.socket.settimeout(5)
        assert connection.answer().status == 408
        assert time.monotonic() - started < 5


def test_a_reader_that_takes_what_the_least_rate_asks_gets_everything(make, provider):
    gateway = make(MARTLET_SERVER_WRITE_MIN_RATE="16KiB", MARTLET_SERVER_WRITE_STALL="1s")
    key = gateway.create_key()["key"]
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
    connection.settimeout(20)
    with connection:
        connection.connect(("127.0.0.1", gateway.port))
        connection.sendall(post(CHAT, {**BODY, "stream": True}, key, [("x-sim-tokens", "6000"), ("x-request-id", "slow-but-steady")]))
        received = b""
        started = time.monotonic()
        while b"data: [DONE]" not in received[-40_000:]:
            data = connection.recv(8192)
            assert data, f"broken off after {len(received)} bytes and {time.monotonic() - started:.1f} s"
            received += data
            if time.monotonic() - started < 4:
                time.sleep(0.1)  # about 80 kB a second for four windows, then as fast as it comes
    assert gateway.row("slow-but-steady")["outcome"] == "success"


def test_a_reader_that_stops_near_the_end_of_its_last_answer_is_let_go(make):
    """What waits is then too little to make a connection unwritable, so nobody is told of it."""
    gateway = make(MARTLET_SERVER_WRITE_STALL="2s")
    key = gateway.create_key()["key"]
    with contextlib.ExitStack() as stack:
        for number in range(110):
            client = stack.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.settimeout(10)
            client.connect(("127.0.0.1", gateway.port))
            client.sendall(post(CHAT, BODY, key, [("x-sim-tokens", "90000"), ("connection", "close")]))
            received = b""
            while b"\r\n\r\n" not in received:
                received += client.recv(4096)
            head, _, body = received.partition(b"\r\n\r\n")
            left = int(re.search(rb"content-length: (\d+)", head)[1]) - len(body) - (10_000 + number * 4_000)
            while left > 0:
                left -= len(client.recv(min(left, 65536)))
        wait_until(lambda: metric(gateway, "head_active_connections") <= 1, 30, "every one of them is let go")


def test_a_head_that_begins_behind_a_request_has_its_limit_too(make):
    gateway = make(MARTLET_SERVER_HEAD_TIMEOUT="1s")
    key = gateway.create_key()["key"]
    with RawConnection(gateway.port, timeout=30) as connection:
        connection.send(post(CHAT, BODY, key) + b"POST /v1/chat")
        assert connection.answer().status == 200
        started = time.monotonic()
        for byte in b"/completions HTTP/1.1\r\nHost: m\r\nx-slow: aaaaaaaaaaaaaaaaaaa":
            connection.socket.settimeout(0.2)
            with contextlib.suppress(TimeoutError):
                connection._more()
                break
            connection.send(bytes([byte]))
        connection.socket.settimeout(5)
        assert connection.answer().status == 408 and time.monotonic() - started < 5


def test_connections_that_send_nothing_are_closed_without_a_word(make):
    gateway = make(MARTLET_SERVER_KEEP_ALIVE="1s")
    connections = [RawConnection(gateway.port) for _ in range(20)]
    assert all(connection.is_closed(10) for connection in connections)
