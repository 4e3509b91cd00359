"""Streamed calls: a thousand at once, every frame counted and timed; and frames close together, where Nagle's algorithm would show."""

import statistics

from ..figures import Requirement, spread
from ..peers import peer_kinds
from ..stage import Outcome, arms, say, stage

FRAMES = 64
PACE_MS = 100
NAGLE = {"connections": 20, "frames": 100, "pace_ms": 10}


def run(options):
    kinds = (arms.Arm, arms.Nginx, arms.Martlet, *(peer_kinds() if options.peers else ()))
    with stage(options, kinds, frames=FRAMES, pace_us=PACE_MS * 1000) as rig:
        before = {name: arm.resident_bytes() for name, arm in rig.arms.items()}
        grown = {}

        def turn(name):
            count = min(options.streams, getattr(rig.arms[name], "streams_most", options.streams))
            result = rig.measure(
                name, memory=name not in grown, stream=True, connections=count, ramp_ms=1000, frames=FRAMES, pace_ms=PACE_MS, timeout=180,
            )  # fmt: skip
            if name not in grown:
                grown[name] = (result["resident_most"] - before[name]) / count
            result["cpu_us_per_frame"] = result["cpu_seconds"] * 1e6 / max(1, result["frames"])
            result["concurrent"] = count
            return result

        kept = rig.rounds(options.rounds_of(5), turn, lambda result: f"{result['cpu_us_per_frame']:.2f} µs/frame, {result['lost']} lost, {result['stalls_2x']} stalls")
        rig.upstream.control(frames=NAGLE["frames"], pace_us=NAGLE["pace_ms"] * 1000)
        close = {name: rig.measure(name, stream=True, ramp_ms=200, timeout=60, **NAGLE) for name in rig.arms}
        say("  frames 10 ms apart: " + "  ".join(f"{name} {result['frames_added_35_to_50_ms']} held 35–50 ms" for name, result in close.items()))
        rig.check_records()
        return outcome(options, rig, kept, grown, close)


def outcome(options, rig, kept, grown, close):
    def each(name, value):
        return [value(turn[name]) for turn in kept]

    def first_added(name):
        return [turn[name]["first_frame_us"]["p50"] - turn["direct"]["first_frame_us"]["p50"] for turn in kept]

    rows = []
    for name, arm in rig.arms.items():
        own = name == "direct"
        rows.append([
            name,
            str(kept[0][name]["concurrent"]),
            "–" if own else spread(each(name, lambda turn: turn["cpu_us_per_frame"]), 2),
            str(sum(each(name, lambda turn: turn["lost"]))),
            f"{sum(each(name, lambda turn: turn['stalls_2x']))} / {sum(each(name, lambda turn: turn['stalls_10x']))}",
            "–" if own else spread(first_added(name), 0),
            spread(each(name, lambda turn: turn["frame_added_us"].get("p50", 0)), 0),
            spread(each(name, lambda turn: turn["frame_added_us"].get("p99", 0)), 0),
            "–" if own else f"{grown[name] / 1000:.1f}",
            str(close[name]["frames_added_35_to_50_ms"]),
            str(sum(each(name, lambda turn: turn["failed"])) + close[name]["failed"]),
        ])  # fmt: skip
    for name, reason in rig.absent.items():
        rows.append([f"{name}: did not run: {' '.join(reason.split())[:300]}"] + ["–"] * 10)

    def held_share(name):
        return 100 * close[name]["frames_added_35_to_50_ms"] / close[name]["frames"]

    def lost(turn):
        return sum(turn["martlet"][kind] for kind in ("lost", "duplicated", "disordered", "foreign"))

    requirements = [
        Requirement("stream", "frames lost, doubled, out of order or foreign", [sum(lost(turn) for turn in kept)], "<=", 0),
        Requirement("stream", "stalls over 2 × pace, Martlet − nginx", [turn["martlet"]["stalls_2x"] - turn["nginx"]["stalls_2x"] for turn in kept], "<=", 0),
        Requirement("stream", "CPU per frame, Martlet / nginx", [turn["martlet"]["cpu_us_per_frame"] / turn["nginx"]["cpu_us_per_frame"] for turn in kept], "<=", 2),
        Requirement("stream", "memory per running stream", [grown["martlet"] / 1000], "<=", 60, "KB"),
        Requirement("stream", "time to first token added, p50", [value / 1000 for value in first_added("martlet")], "<=", 0.3, "ms"),
        # Nagle's algorithm would hold nearly all of them; a busy machine holds a few, of nginx's too.
        Requirement("stream", "frames 10 ms apart that were held for 35–50 ms, Martlet − nginx", [held_share("martlet") - held_share("nginx")], "<=", 1, "%"),
    ]
    head = ["arm", "streams", "CPU µs per frame", "lost", "stalls >2× / >10×", "TTFT p50 added µs", "frame p50 µs", "frame p99 µs", "KB per stream", "40 ms", "failed"]
    notes = [
        f"{FRAMES} frames {PACE_MS} ms apart, started over 1 s. “frame” is from the upstream's write to the client's read. “40 ms”: of "
        f"{NAGLE['connections'] * NAGLE['frames']} frames {NAGLE['pace_ms']} ms apart, those that took 35–50 ms, as with Nagle's algorithm and delayed acknowledgements. "
        "Memory is the growth in the arm's first turn.",
    ]
    figures = {"rounds": {name: [turn[name] for turn in kept] for name in rig.arms}, "grown_bytes": grown, "close": close, "absent": rig.absent, "discarded": rig.discarded}
    streams = statistics.median(turn["martlet"]["concurrent"] for turn in kept)
    return Outcome(f"{streams:.0f} streams at once, {len(kept)} rounds, medians (least–most)", head, rows, requirements, figures, notes)
