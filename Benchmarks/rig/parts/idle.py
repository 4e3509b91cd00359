"""Many idle streams: memory for each stream that is open and silent, and whether all of it ends when the clients leave."""

import time

from ..figures import Requirement, spread
from ..machine import BenchError
from ..stage import Outcome, arms, say, stage


def run(options):
    kept = []
    for number in range(min(options.rounds_of(3), 3)):
        turn = {}
        for kind in (arms.Nginx, arms.Martlet) if number % 2 == 0 else (arms.Martlet, arms.Nginx):
            # A fresh process each time: memory that an earlier load has left behind would hide what the streams take.
            with stage(options, (kind,), frames=1, pace_us=3_600_000_000) as rig:
                turn[kind.name] = hold(rig, kind.name, options.idle_streams)
        kept.append(turn)
        say(f"  round {len(kept)}  " + "  ".join(f"{name} {result['bytes_per_stream'] / 1000:.1f} KB" for name, result in turn.items()))
    rows = []
    for name in ("nginx", "martlet"):
        rows.append([
            name,
            spread([turn[name]["before_mb"] for turn in kept]),
            spread([turn[name]["during_mb"] for turn in kept]),
            spread([turn[name]["bytes_per_stream"] / 1000 for turn in kept]),
            spread([turn[name]["cpu_percent"] for turn in kept], 2),
            spread([turn[name]["end_seconds"] for turn in kept], 2),
        ])  # fmt: skip
    requirements = [Requirement("idle", "memory per idle stream", [turn["martlet"]["bytes_per_stream"] / 1000 for turn in kept], "<=", 60, "KB")]
    head = ["arm", "RSS MB before", "RSS MB with streams", "KB per stream", "CPU % while idle", "s until all are cancelled"]
    notes = ["Each stream has had one frame and then waits. When the clients leave, every call at the upstream must be cancelled."]
    return Outcome(f"{options.idle_streams} idle streams, {len(kept)} rounds, medians (least–most)", head, rows, requirements, {"rounds": kept}, notes)


def hold(rig, name, count):
    arm = rig.arms[name]
    time.sleep(0.5)
    before = arm.resident_bytes()
    seconds = 4
    load = rig.load(name, stream=True, connections=count, ramp_ms=1000, hold=seconds, timeout=120)
    opened = load.wait_until_open()
    time.sleep(0.5)
    cpu, begun = arm.cpu_seconds(), time.monotonic()
    time.sleep(seconds - 1.5)
    during = arm.resident_bytes()
    cpu_percent = 100 * (arm.cpu_seconds() - cpu) / (time.monotonic() - begun)
    running = rig.upstream.control()["running"]
    result = load.result()
    left = time.monotonic()
    if opened != count or running != count or result["failed"] or result["broken_while_held"]:
        raise BenchError(f"{name} held {running} of {count} streams; {result['failures']} {result['first_failure']}")
    while rig.upstream.control()["running"] > 0:
        if time.monotonic() - left > 30:
            raise BenchError(f"{name} leaves {rig.upstream.control()['running']} calls running at the provider though their clients have gone")
        time.sleep(0.02)
    return {
        "before_mb": before / 1e6, "during_mb": during / 1e6, "bytes_per_stream": (during - before) / count, "cpu_percent": cpu_percent,
        "end_seconds": time.monotonic() - left,
    }  # fmt: skip
