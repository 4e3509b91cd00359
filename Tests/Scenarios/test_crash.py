"""`kill -9` at random moments: an answer whose last byte a client received is in the usage log, and only once."""

import asyncio
import collections
import os
import random

import pytest

from load import Load

KILLS = int(os.environ.get("KILLS", "6"))
SEED = int(os.environ.get("SEED", random.SystemRandom().randrange(1_000_000)))


@pytest.mark.timeout(120 + 20 * KILLS)
async def test_no_received_answer_is_lost_or_doubled_by_kill_9(make_gateway):
    print(f"SEED={SEED}")
    moments = random.Random(SEED)
    gateway = make_gateway().start()
    key = gateway.create_key()["key"]
    received = collections.Counter()
    for turn in range(KILLS):
        load = Load(gateway.port, key, connections=32, seed=SEED + turn, reconnect=False)
        running = asyncio.create_task(load.run())
        await asyncio.sleep(moments.uniform(0.2, 1.5))
        gateway.process.kill()
        gateway.process.wait()
        load.stop()
        await asyncio.wait_for(running, 20)
        noted = [outcome for outcome in load.received if outcome.status == 200]
        assert noted, "the load was answered before the kill"
        assert {outcome.streamed for outcome in noted} == {True, False}
        received.update(outcome.request_id for outcome in noted)
        gateway.start()
        logged = collections.Counter(gateway.request_ids())
        missing = [identifier for identifier in received if logged[identifier] == 0]
        doubled = [identifier for identifier in logged if identifier and logged[identifier] > 1]
        print(f"kill {turn + 1}/{KILLS}: {len(noted)} answers received, {len(load.broken)} calls broken, {sum(logged.values())} rows")
        assert not missing, f"SEED={SEED}: {len(missing)} received answers have no row, first {missing[:5]}"
        assert not doubled, f"SEED={SEED}: {len(doubled)} calls have two rows, first {doubled[:5]}"


async def test_a_crash_in_the_middle_of_calls_leaves_a_gateway_that_starts_and_serves(make_gateway):
    gateway = make_gateway().start()
    key = gateway.create_key()["key"]
    for _ in range(2):
        load = Load(gateway.port, key, connections=8, reconnect=False, headers=lambda *_: {"x-sim-tokens": "500", "x-sim-token-ms": "5"})
        running = asyncio.create_task(load.run())
        await asyncio.sleep(0.3)
        gateway.kill()
        await asyncio.wait_for(running, 10)
        assert not load.received
        gateway.start()
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}
    assert gateway.request("POST", "/v1/chat/completions", body, key=key).status == 200
