"""Large prompts: what 1 MB costs, and how long 10 MB keep the small calls of the same event loop waiting."""

import statistics

from ..figures import Requirement, spread
from ..machine import descendants, run_above_others, run_as_usual
from ..stage import Outcome, arms, stage

MEGABYTE = 1_000_000


def run(options):
    # Cores are shared: what an arm does off its loop must not be pressed onto the loop's core, which real-time threads do not share.
    with stage(options, (arms.Arm, arms.Nginx, arms.Martlet), has_own_cores=False) as rig:

        def turn(name):
            result = rig.measure(name, connections=4, seconds=max(2, options.seconds / 2), prompt_bytes=MEGABYTE)
            result["cpu_us"] = result["cpu_seconds"] * 1e6 / result["succeeded"]
            result.update(small_beside_large(rig, name, max(2, options.seconds / 2)))
            return result

        for name in rig.arms:
            rig.measure(name, connections=4, seconds=1, prompt_bytes=MEGABYTE)
        kept = rig.rounds(
            options.rounds_of(5), turn,
            lambda result: f"{result['cpu_us']:.0f} µs, small call at most {result['beside']['max'] / 1000:.2f} ms beside 10 MB",
        )  # fmt: skip
        rig.check_records()
        return outcome(rig, kept)


def small_beside_large(rig, name, seconds):
    """The latency of small calls, one at a time, alone and while prompts of 10 MB pass.

    The client of the small calls and the upstream run at a real-time priority above the arm's, and that above everything else's, where
    that is permitted: what is to be seen is how long the event loop is busy, not how long a core was not to be had.
    """
    arm = rig.arms[name]
    shielded = run_above_others(rig.upstream.identifier, 3) and (arm.process is None or all(run_above_others(process, 2) for process in descendants(arm.identifier)))
    try:
        alone = probe(rig, name, seconds, shielded)
        large = rig.load(name, connections=1, seconds=seconds + 1, prompt_bytes=10 * MEGABYTE)
        beside = probe(rig, name, seconds, shielded)
        tenfold = rig.check(name, large.result())
    finally:
        run_as_usual(rig.upstream.identifier)
        if arm.process:
            run_as_usual(arm.identifier)
    return {"alone": alone["total_us"], "beside": beside["total_us"], "large_calls": tenfold["succeeded"], "large_ms": tenfold["total_us"]["p50"] / 1000, "shielded": shielded}


def probe(rig, name, seconds, shielded):
    small = rig.load(name, connections=1, seconds=seconds, think_ms=1)
    if shielded:
        run_above_others(small.process.pid, 3)
    return rig.check(name, small.result())


def outcome(rig, kept):
    def each(name, value):
        return [value(turn[name]) for turn in kept]

    rows = []
    for name in rig.arms:
        rows.append([
            name,
            "–" if name == "direct" else spread(each(name, lambda turn: turn["cpu_us"]), 0),
            spread(each(name, lambda turn: turn["calls_per_second"]), 0),
            spread(each(name, lambda turn: turn["large_ms"])),
            spread(each(name, lambda turn: turn["alone"]["p99"] / 1000), 2),
            spread(each(name, lambda turn: turn["alone"]["max"] / 1000), 2),
            spread(each(name, lambda turn: turn["beside"]["p99"] / 1000), 2),
            spread(each(name, lambda turn: turn["beside"]["max"] / 1000), 2),
        ])  # fmt: skip
    requirements = [
        Requirement("large", "CPU per call with 1 MB, Martlet / nginx", [turn["martlet"]["cpu_us"] / turn["nginx"]["cpu_us"] for turn in kept], "<=", 2.5),
        Requirement("large", "longest wait of a small call beside 10 MB, one loop", each("martlet", lambda turn: turn["beside"]["max"] / 1000), "<=", 5, "ms"),
    ]
    shielded = all(turn[name]["shielded"] for turn in kept for name in rig.arms)
    calls = statistics.median(turn["martlet"]["large_calls"] for turn in kept)
    notes = [
        f"1 MB: 4 connections. 10 MB: one connection sends prompt after prompt (a median of {calls:.0f} per round through Martlet) while another makes "
        "small calls, 1 ms apart. "
        + ("Small calls' client, upstream and arm ran at real-time priorities." if shielded else "Real-time priorities were not permitted here: other processes are in these times.")
    ]
    head = ["arm", "CPU µs, 1 MB", "1 MB calls/s", "10 MB ms", "small p99 ms", "small max ms", "beside 10 MB p99 ms", "beside 10 MB max ms"]
    figures = {"rounds": {name: [turn[name] for turn in kept] for name in rig.arms}, "discarded": rig.discarded}
    return Outcome(f"Large prompts, {len(kept)} rounds, medians (least–most)", head, rows, requirements, figures, notes)
