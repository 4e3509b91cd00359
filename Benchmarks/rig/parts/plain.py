"""Plain calls: CPU per call and calls per second under load, latency at concurrency 1."""

import statistics

from ..figures import Requirement, spread
from ..peers import peer_kinds
from ..stage import Outcome, arms, stage


def run(options):
    kinds = (arms.Arm, arms.Nginx, arms.Martlet, *(peer_kinds() if options.peers else ()))
    with stage(options, kinds) as rig:

        def turn(name):
            alone = rig.measure(name, connections=1, seconds=max(1, options.seconds / 3))
            result = rig.measure(name, connections=options.connections, seconds=options.seconds)
            result["alone"] = alone["total_us"]
            result["cpu_us"] = result["cpu_seconds"] * 1e6 / result["succeeded"]
            result["cpu_us_under_load"] = result["cpu_seconds_under_load"] * 1e6 / result["succeeded"]
            result["resident_mb"] = rig.arms[name].resident_bytes() / 1e6
            result["steal_percent"] = max(result["steal_percent"], alone["steal_percent"])
            return result

        for name in rig.arms:
            rig.measure(name, connections=options.connections, seconds=1)
        kept = rig.rounds(options.rounds_of(7), turn, lambda result: f"{result['cpu_us']:.1f} µs {result['calls_per_second']:.0f}/s")
        rig.check_records()
        return outcome(options, rig, kept)


def outcome(options, rig, kept):
    def each(name, value):
        return [value(turn[name]) for turn in kept]

    def ratio(name, other, value):
        return [value(turn[name]) / value(turn[other]) for turn in kept]

    def added(name):
        return [turn[name]["alone"]["p50"] - turn["direct"]["alone"]["p50"] for turn in kept]

    def cpu(turn):
        return turn["cpu_us"]

    rows = []
    for name, arm in rig.arms.items():
        failed = sum(each(name, lambda turn: turn["failed"]))
        rows.append([
            name + (f" ({arm.version()})" if arm.process else ""),
            "–" if name == "direct" else spread(each(name, cpu)),
            "–" if name == "direct" else f"{statistics.median(each(name, lambda turn: turn['cpu_us_under_load'])):.1f}",
            spread(each(name, lambda turn: turn["calls_per_second"]), 0),
            spread(each(name, lambda turn: turn["alone"]["p50"])),
            spread(each(name, lambda turn: turn["alone"]["p99"]), 0),
            "–" if name == "direct" else spread(added(name)),
            "–" if name == "direct" else f"{max(each(name, lambda turn: turn['resident_mb'])):.0f}",
            str(failed),
        ])  # fmt: skip
    for name, reason in rig.absent.items():
        rows.append([f"{name}: did not run: {' '.join(reason.split())[:300]}"] + ["–"] * 8)
    requirements = [Requirement("plain", "CPU per call, Martlet / nginx", ratio("martlet", "nginx", cpu), "<=", 2.3)]
    notes = [
        f"{options.connections} connections, {options.seconds:g} s per arm and round; latency with 1 connection. CPU includes what an arm does "
        "after the load to settle it: for Martlet the shipping of every record into SQLite.",
    ]
    if options.peers:
        requirements += peer_requirements(rig, kept, ratio, added, cpu, notes)
    figures = {name: [turn[name] for turn in kept] for name in rig.arms}
    head = ["arm", "CPU µs per call", "under load", "calls/s", "p50 µs, c=1", "p99 µs, c=1", "p50 added µs", "RSS MB", "failed"]
    return Outcome(f"Plain calls, {len(kept)} rounds, medians (least–most)", head, rows, requirements, {"rounds": figures, "absent": rig.absent, "discarded": rig.discarded}, notes)


def peer_requirements(rig, kept, ratio, added, cpu, notes):
    found = []
    rust = [name for name, arm in rig.arms.items() if arm.is_peer and arm.language == "Rust"]
    if rust:
        fastest = min(rust, key=lambda name: statistics.median(turn[name]["cpu_us"] for turn in kept))
        found.append(Requirement("plain", f"CPU per call, Martlet / fastest Rust router ({fastest})", ratio("martlet", fastest, cpu), "<=", 0.4))
    if "litellm" in rig.arms:
        found.append(
            Requirement("plain", "calls per second per core (calls per CPU second), Martlet / LiteLLM", ratio("litellm", "martlet", cpu), ">=", 60)
        )
    for name, arm in rig.arms.items():
        if arm.is_peer:
            ours, theirs = added("martlet"), added(name)
            differences = [mine - other for mine, other in zip(ours, theirs)]
            found.append(Requirement("plain", f"latency added at concurrency 1, p50, Martlet − {name}", differences, "<", 0, "µs"))
    for name, reason in rig.absent.items():
        notes.append(f"{name} did not run, so that its requirements are not shown: {' '.join(reason.split())[:500]}")
    return found
