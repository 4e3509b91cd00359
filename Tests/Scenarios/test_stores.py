"""The store away, and the journal's volume full: what fails, what waits, what recovers."""

import asyncio
import csv
import decimal
import io
import os
import pathlib
import sqlite3
import subprocess
import time

import pytest

from load import Load
from processes import wait_until
from rawhttp import RawConnection, post

LOCK_SECONDS = float(os.environ.get("LOCK_SECONDS", "10"))
CHAT = "/v1/chat/completions"
BODY = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}


@pytest.mark.timeout(LOCK_SECONDS + 180)
async def test_a_locked_sqlite_fails_no_call_and_loses_no_record(make_gateway):
    gateway = make_gateway().start()
    key = gateway.create_key()["key"]
    databases = [path for path in (gateway.directory / "data").rglob("*") if path.is_file() and path.read_bytes()[:15] == b"SQLite format 3"]
    assert databases, "the gateway keeps a database in its data directory"
    locks = []
    for path in databases:
        lock = sqlite3.connect(path, timeout=10, isolation_level=None)
        lock.execute("BEGIN EXCLUSIVE")
        locks.append(lock)
    load = Load(gateway.port, key, connections=8, headers=lambda *_: {"x-sim-tokens": "8", "x-sim-token-ms": "5"})
    running = asyncio.create_task(load.run())
    try:
        await asyncio.sleep(LOCK_SECONDS)
        assert gateway.is_ready(), "a store that is away does not make it unready"
    finally:
        for lock in locks:
            lock.execute("ROLLBACK")
            lock.close()
    await asyncio.sleep(1)
    load.stop()
    await asyncio.wait_for(running, 20)
    assert not load.failed, load.failed[:3]
    assert len(load.received) > 100
    logged = await asyncio.to_thread(gateway.request_ids)
    assert sorted(logged) == sorted(outcome.request_id for outcome in load.received)


@pytest.fixture
def small_volume(tmp_path):
    """A file system of 8 MiB of its own."""
    place = tmp_path / "volume"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)], capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"NOT RUN: no permission to mount a small volume ({mounted.stderr.strip()}); run as root to test a full journal")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(place):
    filler = pathlib.Path(place) / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 65536)
        except OSError:
            pass
    return filler


def test_a_full_journal_volume_refuses_new_calls_settles_running_ones_and_recovers(make_gateway, small_volume):
    gateway = make_gateway(extra=f'journal: {{ dir: "{small_volume}/journal" }}\n').start()
    key = gateway.create_key()["key"]
    running = RawConnection(gateway.port, timeout=60)
    running.send(post(CHAT, {**BODY, "stream": True}, key, [("x-sim-tokens", "400"), ("x-sim-token-ms", "10"), ("x-request-id", "runs-through")]))
    assert running.head()[1] == 200

    def chat():
        return gateway.request("POST", CHAT, BODY, key=key)

    assert chat().status == 200
    filler = fill(small_volume)
    full_at = time.monotonic()
    refused = wait_until(lambda: (found := chat()).status == 503 and found, 2, "new calls are refused")
    print(f"refused {time.monotonic() - full_at:.2f} s after the volume was full")
    error = refused.json()["error"]
    assert error["code"] == "journal_unavailable" and error["message"]
    assert refused.headers["x-request-id"]
    assert gateway.request("GET", "/health/ready").status == 503
    assert gateway.request("GET", "/health/live").status == 200

    while b"data: [DONE]" not in running.buffer:
        running._more()
    assert b'"error"' not in running.buffer

    filler.unlink()
    wait_until(lambda: chat().status == 200, 10, "calls are taken again by themselves")
    wait_until(gateway.is_ready, 5, "it is ready again")
    row = gateway.row("runs-through")
    assert row["outcome"] == "success" and row["output_tokens"] == 400


def test_a_full_journal_volume_can_be_told_to_let_calls_through(make_gateway, small_volume):
    gateway = make_gateway(extra=f'journal: {{ dir: "{small_volume}/journal", on_failure: continue }}\n').start()
    key = gateway.create_key()["key"]
    fill(small_volume)
    until = time.monotonic() + 3
    while time.monotonic() < until:
        assert gateway.request("POST", CHAT, BODY, key=key).status == 200


def test_flush_and_as_of_are_a_barrier_for_readers(gateway, key):
    for number in range(20):
        identifier = f"barrier-{number}"
        assert gateway.request("POST", CHAT, BODY, key=key, headers={"x-request-id": identifier}).status == 200
        assert gateway.flush()["as_of"]
        assert gateway.api("GET", f"/usage/{identifier}")["request_id"] == identifier


def test_an_unwritten_request_id_is_a_404(gateway):
    answer = gateway.request("GET", "/api/v1/usage/never-sent", key=gateway.admin_key)
    assert answer.status == 404 and answer.json()["error"]["code"]


def test_usage_pages_by_cursor_without_gap_or_repeat(gateway, key):
    for number in range(25):
        gateway.request("POST", CHAT, BODY, key=key, headers={"x-request-id": f"page-{number}", "x-martlet-session": "paging"})
    gateway.flush()
    created = gateway.create_key(name="paging")
    for number in range(25):
        gateway.request("POST", CHAT, BODY, key=created["key"], headers={"x-request-id": f"paged-{number}"})
    gateway.flush()
    seen, cursor = [], None
    while True:
        query = f"/usage?limit=10&key_id={created['id']}" + (f"&cursor={cursor}" if cursor else "")
        page = gateway.api("GET", query)
        assert page["as_of"]
        seen += [row["request_id"] for row in page["data"]]
        cursor = page.get("next_cursor")
        if not cursor:
            break
    assert sorted(seen) == sorted(f"paged-{number}" for number in range(25))


def test_usage_exports_as_csv_with_one_line_a_call(gateway, key):
    gateway.request("POST", CHAT, BODY, key=key, headers={"x-request-id": "exported"})
    gateway.flush()
    answer = gateway.request("GET", "/api/v1/usage/export?format=csv&request_id=exported", key=gateway.admin_key)
    assert answer.status == 200 and answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.body.decode())))
    assert [row["request_id"] for row in rows] == ["exported"]
    assert decimal.Decimal(rows[0]["cost_usd"]) == decimal.Decimal(gateway.row("exported")["cost_usd"])
