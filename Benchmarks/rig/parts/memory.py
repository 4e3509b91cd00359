"""Memory of the process: idle, after a mixed load, and after a rest."""

import time

from ..figures import Requirement
from ..stage import Outcome, arms, say, stage


def run(options):
    readings = {}
    for kind in (arms.Nginx, arms.Martlet):
        with stage(options, (kind,), frames=32, pace_us=50_000) as rig:
            name, arm = kind.name, rig.arms[kind.name]
            time.sleep(2)
            idle = arm.resident_bytes()
            loads = [
                rig.load(name, connections=32, seconds=options.seconds * 2),
                rig.load(name, connections=200, seconds=options.seconds * 2, stream=True, frames=32, pace_ms=50, ramp_ms=1000),
                rig.load(name, connections=4, seconds=options.seconds * 2, prompt_bytes=1_000_000, think_ms=20),
            ]
            most = max(load.watch_memory(arm.identifier) for load in loads)
            calls = sum(rig.check(name, load.result())["succeeded"] for load in loads)
            arm.settle()
            after = arm.resident_bytes()
            time.sleep(options.rest)
            rested = arm.resident_bytes()
            rig.check_records()
            readings[name] = {"idle": idle / 1e6, "most": most / 1e6, "after": after / 1e6, "rested": rested / 1e6, "calls": calls}
            say(f"  {name} idle {idle / 1e6:.1f}, most {most / 1e6:.1f}, after {after / 1e6:.1f}, rested {rested / 1e6:.1f} MB")
    rows = [[name] + [f"{reading[field]:.1f}" for field in ("idle", "most", "after", "rested")] + [str(reading["calls"])] for name, reading in readings.items()]
    requirements = [
        Requirement("memory", "idle", [readings["martlet"]["idle"]], "<=", 60, "MB"),
        Requirement("memory", f"after mixed load and {options.rest:g} s of rest", [readings["martlet"]["rested"]], "<", 100, "MB"),
    ]
    head = ["arm", "idle MB", "most under load MB", "right after MB", f"after {options.rest:g} s MB", "calls"]
    notes = [
        f"Resident memory of all processes of the arm. Mixed load for {options.seconds * 2:g} s: 32 connections of plain calls, 200 streams, 4 connections "
        "of 1 MB prompts. What hours do is the business of the soak test."
    ]
    return Outcome("Memory", head, rows, requirements, {"readings": readings}, notes)
