"""Runs Martlet under a mixed load for hours and checks that nothing grows: memory, descriptors, connections, threads, journal.

`make soak HOURS=24`, `make soak-short`; Docs/testing.md says what is in the mix and what is checked. Exit status 0 when all of it held.
"""

import argparse
import asyncio
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "Tests/Support"), str(ROOT / "Tests/Soak")]

from client import MIX, OUTCOMES, Clients  # noqa: E402
from figures import Sampler, slope_per_hour  # noqa: E402
from processes import Gateway, Simulator  # noqa: E402

SAMPLE_SECONDS = 5
KEY_SECONDS = 20
# So many streams, as fast as they go, come first: the caches of the store are then full, and every pool has its threads.
WARM_UP_CALLS = 150_000
WARM_UP_CONNECTIONS = 32
RELOAD_SECONDS = 30
REST_SECONDS = 60
RSS_AFTER_REST_MB = 100
# What may be added in an hour, and what the allocator may add once, in a run of any length.
RSS_SLOPE_MB_PER_HOUR = 2.0
RSS_ONCE_MB = 3.0


async def in_thread(work, *arguments):
    return await asyncio.get_running_loop().run_in_executor(None, work, *arguments)


class Soak:
    def __init__(self, seconds, rate, seed, folder, load_client):
        self.seconds = seconds
        self.load_client = load_client
        self.folder = folder
        self.simulator = Simulator(folder / "simulator", "--tokens", "12").start()
        self.gateway = Gateway(folder / "gateway", self.simulator, extra="reload: { watch: false }\n").start()
        self.clients = None
        self.rate = rate
        self.seed = seed
        self.is_over = False
        self.key_made_at = 0.0
        self.managed = {"keys": 0, "reads": 0, "reloads": 0}
        self.failures = []

    def check(self, condition, message):
        if not condition:
            self.failures.append(message)

    def made(self):
        return sum(self.clients.made.values()) if self.clients else 0

    async def run(self):
        key = (await in_thread(lambda: self.gateway.create_key(name="soak")))["key"]
        self.clients = Clients(self.gateway.port, key, self.rate, self.seed)
        # What is made once and kept must be there when the baseline is taken.
        await in_thread(self._warm_up, key)
        await self._one_of_each()
        sampler = Sampler(self.gateway, self.folder / "samples.csv", self.made)
        await asyncio.sleep(min(15, 5 + self.seconds / 60))
        baseline = await in_thread(sampler.sample, "baseline")
        open_before = sampler.descriptors()
        helpers = [asyncio.create_task(self._sample(sampler)), asyncio.create_task(self._manage()), asyncio.create_task(self._reload())]
        await self.clients.run(self.seconds)
        self.is_over = True
        await asyncio.gather(*helpers)
        await asyncio.sleep(REST_SECONDS)
        await in_thread(self.gateway.flush)
        after = await in_thread(sampler.sample, "rest")
        self._judge(sampler, baseline, after, open_before)
        await in_thread(self._count)
        sampler.close()
        return self._summary(sampler, baseline, after)

    def _warm_up(self, key):
        arguments = ["--stream", "--url", self.gateway.url + "/v1/chat/completions", "--header", f"Authorization: Bearer {key}"]
        arguments += ["--model", "gpt-4o-mini", "--connections", str(WARM_UP_CONNECTIONS), "--calls", str(WARM_UP_CALLS)]
        found = json.loads(subprocess.run([self.load_client, *arguments], capture_output=True, text=True, check=False).stdout)
        self.check(found["succeeded"] == WARM_UP_CALLS, f"{found['succeeded']} of {WARM_UP_CALLS} streams of the warm-up succeeded: {found['failures']}")
        self.clients.made["streamed"] += WARM_UP_CALLS

    async def _one_of_each(self):
        for kind in MIX:
            await self.clients.queue.put(kind)
        await self.clients.run(0)
        await in_thread(self.gateway.flush)

    async def _sample(self, sampler):
        while not self.is_over:
            await in_thread(sampler.sample, "load")
            await asyncio.sleep(SAMPLE_SECONDS)

    async def _manage(self):
        """The management API beside the calls: keys come, are used and go; health, metrics and usage are read."""
        while not self.is_over:
            try:
                await in_thread(self._manage_once)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding of the run
                self.failures.append(f"the management API: {type(error).__name__} {error}")
            await asyncio.sleep(1)

    def _manage_once(self):
        if time.monotonic() - self.key_made_at >= KEY_SECONDS:
            self.key_made_at = time.monotonic()
            self._key_once()
        for path in ["/health", "/health/ready", "/api/v1/usage?limit=50", "/api/v1/models", "/api/v1/providers", "/metrics", "/health/dependencies"]:
            answer = self.gateway.request("GET", path, key=self.gateway.admin_key)
            assert answer.status == 200, f"{path}: {answer}"
            self.managed["reads"] += 1
        answer = self.gateway.request("POST", "/api/v1/keys", body=b"{", key=self.gateway.admin_key)
        assert answer.status == 400, answer

    def _key_once(self):
        made = self.gateway.create_key(name="passing", models=["gpt-*"], expires_in="1h")
        answer = self.gateway.request("GET", "/v1/models", key=made["key"])
        assert answer.status == 200, answer
        self.gateway.api("DELETE", f"/keys/{made['id']}")
        assert self.gateway.request("GET", "/v1/models", key=made["key"]).status == 401
        self.managed["keys"] += 1

    async def _reload(self):
        """The configuration is read again, by the API and by a signal in turns; now and then it is a wrong one, which must change nothing."""
        text = self.gateway.configuration.read_text()
        turn = 0
        last = time.monotonic()
        while not self.is_over:
            await asyncio.sleep(0.5)
            if time.monotonic() - last < RELOAD_SECONDS:
                continue
            last = time.monotonic()
            turn += 1
            try:
                await in_thread(self._reload_once, text, turn)
                self.managed["reloads"] += 1
            except Exception as error:  # noqa: BLE001 - as above
                self.failures.append(f"a reload: {type(error).__name__} {error}")
        self.gateway.configuration.write_text(text)

    def _reload_once(self, text, turn):
        if turn % 3 == 0:
            self.gateway.configuration.write_text(text + "nonsense: 1\n")
            answer = self.gateway.request("POST", "/api/v1/config/reload", key=self.gateway.admin_key)
            assert 400 <= answer.status < 500, f"a wrong configuration: {answer}"
        self.gateway.configuration.write_text(text.replace("input: 0.02", f"input: 0.0{2 + turn % 5}"))
        if turn % 2 == 0:
            self.gateway.process.send_signal(signal.SIGHUP)
        else:
            self.gateway.api("POST", "/config/reload")

    def _judge(self, sampler, baseline, after, open_before):
        self.check(self.gateway.process.poll() is None, "the gateway has ended")
        self.check(not self.clients.unexpected, f"{len(self.clients.unexpected)} calls were not answered as they should: {self.clients.unexpected[:10]}")
        self.check(after["rss_mb"] < RSS_AFTER_REST_MB, f"{after['rss_mb']} MB are resident after {REST_SECONDS} s of rest")
        load = [row for row in sampler.rows if row["phase"] == "load"]
        half = load[len(load) // 2 :]
        hours = (half[-1]["seconds"] - half[0]["seconds"]) / 3600 if len(half) > 1 else 0
        growth = slope_per_hour(half, "anonymous_mb") * hours
        self.check(
            growth < RSS_SLOPE_MB_PER_HOUR * hours + RSS_ONCE_MB, f"memory grew by {growth:.1f} MB in the second half of the run ({hours:.2f} h)"
        )
        new = list(sampler.descriptors())
        for place in open_before:
            if place in new:
                new.remove(place)
        self.check(after["fds"] <= baseline["fds"], f"{after['fds']} descriptors are open, {baseline['fds']} were; new are {new[:10]}")
        self.check(after["client_connections"] == 0, f"{after['client_connections']} connections of clients are open")
        self.check(after["upstream_connections"] == 0, f"{after['upstream_connections']} connections to the provider are open")
        # Threads of pools are made when they are first needed, then kept.
        first, second = (max(row["threads"] for row in part) for part in (load[: len(load) // 2 + 1], half))
        self.check(second <= first, f"{second} threads in the second half of the run, {first} in the first")
        for column in ["journal_segments", "journal_files"]:
            self.check(after[column] <= baseline[column], f"{column}: {after[column]}, {baseline[column]} before")
        dropped = sampler.metric("martlet_holds_dropped_total")
        self.check(dropped == 0, f"{dropped} holds were dropped")

    def _count(self):
        """Every call has its row, and the row says what became of it."""
        expected = {kind: count for kind, count in self.clients.made.items() if OUTCOMES[kind]}
        found = {}
        for outcome in ["success", "refused", "upstream_error", "timeout", "client_gone", "stream_cut", "drained"]:
            found[outcome] = self.gateway.api("GET", f"/usage/totals?outcome={outcome}")["calls"]
        self.outcomes = found
        self.check(sum(found.values()) == sum(expected.values()), f"{sum(found.values())} calls are in the usage log, {sum(expected.values())} were made")
        for outcome, count in found.items():
            least = sum(number for kind, number in expected.items() if OUTCOMES[kind] == {outcome})
            most = sum(number for kind, number in expected.items() if outcome in OUTCOMES[kind])
            self.check(least <= count <= most, f"{count} calls ended as {outcome}; it should be {least} to {most}")

    def _summary(self, sampler, baseline, after):
        load = [row for row in sampler.rows if row["phase"] == "load"]
        half = load[len(load) // 2 :]
        return {
            "seconds": self.seconds,
            "calls": self.made(),
            "calls_per_second": round((self.made() - WARM_UP_CALLS) / max(self.seconds, 1), 1),
            "calls_not_made_for_lack_of_time": self.clients.late,
            "calls_by_kind": dict(self.clients.made),
            "unexpected_answers": len(self.clients.unexpected),
            "usage_by_outcome": self.outcomes,
            "management": self.managed,
            "rss_mb": {
                "baseline": baseline["rss_mb"],
                "peak": max(row["rss_mb"] for row in load),
                "after_rest": after["rss_mb"],
            },
            "anonymous_mb": {
                "baseline": baseline["anonymous_mb"],
                "peak": max(row["anonymous_mb"] for row in load),
                "after_rest": after["anonymous_mb"],
                "slope_per_hour_second_half": round(slope_per_hour(half, "anonymous_mb"), 2),
            },
            "fds": {"baseline": baseline["fds"], "peak": max(row["fds"] for row in load), "after_rest": after["fds"]},
            "threads": {"baseline": baseline["threads"], "peak": max(row["threads"] for row in load), "after_rest": after["threads"]},
            "client_connections_peak": max(row["client_connections"] for row in load),
            "upstream_connections_peak": max(row["upstream_connections"] for row in load),
            "journal_segments": {
                "baseline": baseline["journal_segments"],
                "peak": max(row["journal_segments"] for row in load),
                "after_rest": after["journal_segments"],
            },
            "journal_mb_after_rest": after["journal_mb"],
            "store_mb": after["store_mb"],
            "cores_used": round((load[-1]["cpu_seconds"] - load[0]["cpu_seconds"]) / max(load[-1]["seconds"] - load[0]["seconds"], 1), 2),
            "failures": self.failures,
        }

    def stop(self):
        self.gateway.stop()
        self.simulator.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--rate", type=float, default=100.0, help="calls a second, all kinds together")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--load-client", type=pathlib.Path, required=True, help="Benchmarks/native/streamload.c, compiled")
    parser.add_argument("--folder", type=pathlib.Path, required=True, help="where logs, samples.csv and summary.json go; must not exist")
    options = parser.parse_args()
    options.folder.mkdir(parents=True)
    soak = Soak(options.hours * 3600, options.rate, options.seed, options.folder.resolve(), options.load_client.resolve())
    try:
        summary = asyncio.run(soak.run())
    finally:
        soak.stop()
    status = soak.gateway.process.returncode
    if status != 0:
        summary["failures"].append(f"the gateway ended with status {status}")
    text = json.dumps(summary, indent=2)
    (options.folder / "summary.json").write_text(text + "\n")
    print(text)
    print("soak: " + ("FAILED" if summary["failures"] else "flat"))
    return 1 if summary["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
