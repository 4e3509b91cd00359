"""What a part of the benchmark runs on: an upstream, the arms, and rounds in which the arms take turns."""

import contextlib
import dataclasses
import pathlib
import sys
import tempfile

from . import arms, machine
from .machine import BenchError
from .native import Load, Upstream

STEAL_MAX_PERCENT = 2.0


@dataclasses.dataclass
class Options:
    rounds: int | None
    seconds: float
    connections: int
    streams: int
    idle_streams: int
    rest: float
    peers: bool
    shares_cores: bool

    def rounds_of(self, usual):
        return self.rounds if self.rounds is not None else usual


@dataclasses.dataclass
class Outcome:
    """What a part found: tables for people, requirements, figures for machines."""

    title: str
    head: list
    rows: list
    requirements: list
    figures: dict
    notes: list


def say(text):
    print(text, file=sys.stderr, flush=True)


class Stage:
    """The arms of one part, started afresh."""

    def __init__(self, options, directory, kinds, cores, upstream_settings):
        self.options = options
        self.cores = cores
        self.upstream = Upstream(directory, cores.rest)
        self.upstream.control(**upstream_settings)
        self.arms = {}
        self.absent = {}
        self.calls = {}
        self.discarded = 0
        for kind in kinds:
            arm = kind(self.upstream, directory, cores.arm)
            try:
                arm.start()
                self.calls[arm.name] = 1 if arm.process else 0
            except BenchError as error:
                arm.stop()
                if not arm.is_peer:
                    raise
                say(f"  {arm.name} takes no part: {error}")
                self.absent[arm.name] = str(error)
                continue
            self.arms[arm.name] = arm

    def load(self, name, **flags):
        """Starts a load on an arm; `check` its result."""
        arm = self.arms[name]
        return Load(arm.url, arm.key, cores=self.cores.rest, **flags)

    def check(self, name, result, counted=None):
        """Every answer must be right, or the figures say nothing. Peers may fail; their failures are shown."""
        arm = self.arms[name]
        self.calls[name] = self.calls.get(name, 0) + result["succeeded"]
        if result["failed"] or not result["succeeded"]:
            text = f"{name}: {result['failed']} of {result['started']} calls failed: {result['failures']} {result['statuses']}; first: {result['first_failure']}"
            if not arm.is_peer:
                raise BenchError(text + (f"\n{arm.last_words()}" if arm.process else ""))
            say(f"  {text}")
        if counted is not None and counted < result["succeeded"]:
            raise BenchError(f"{name} answered {result['succeeded']} calls, but the upstream saw {counted}")
        return result

    def measure(self, name, memory=False, **flags):
        """One checked load on an arm, with the CPU time that it cost the arm until everything was settled."""
        arm = self.arms[name]
        before_counts = self.upstream.control()
        before, times = arm.cpu_seconds(), machine.machine_times()
        load = self.load(name, **flags)
        most = load.watch_memory(arm.identifier) if memory else None
        result = load.result()
        under_load = arm.cpu_seconds()
        arm.settle()
        result["cpu_seconds"] = arm.cpu_seconds() - before
        result["cpu_seconds_under_load"] = under_load - before
        result["steal_percent"] = machine.steal_percent(times, machine.machine_times())
        result["resident_most"] = most
        counts = self.upstream.control()
        what = "streams" if flags.get("stream") else "plain"
        return self.check(name, result, counts[what] - before_counts[what])

    def rounds(self, count, turn, describe):
        """`turn(name)` for every arm in each round, in alternating order; a round with too much steal is discarded and repeated."""
        kept = []
        names = list(self.arms)
        while len(kept) < count:
            order = names if (len(kept) + self.discarded) % 2 == 0 else names[::-1]
            results = {name: turn(name) for name in order}
            stolen = max(result["steal_percent"] for result in results.values())
            text = "  ".join(f"{name} {describe(results[name])}" for name in names)
            if stolen > STEAL_MAX_PERCENT:
                self.discarded += 1
                say(f"  discarded  {text}  ({stolen:.1f} % steal)")
                if self.discarded > 2 * count + 2:
                    raise BenchError(f"{self.discarded} rounds had more than {STEAL_MAX_PERCENT} % steal; this machine is too busy to measure on")
                continue
            kept.append({name: results[name] for name in names})
            say(f"  round {len(kept):2}/{count}  {text}")
        return kept

    def check_records(self):
        """Every call that Martlet answered must stand in its usage log."""
        martlet = self.arms.get("martlet")
        if martlet is None:
            return
        recorded = martlet.recorded_calls()
        if recorded < self.calls["martlet"]:
            raise BenchError(f"Martlet answered {self.calls['martlet']} calls, but its usage log holds {recorded}")

    def close(self):
        for arm in reversed(list(self.arms.values())):
            arm.stop()
        self.upstream.stop()


@contextlib.contextmanager
def stage(options, kinds=(arms.Arm, arms.Nginx, arms.Martlet), has_own_cores=True, **upstream_settings):
    """A stage with these arms.

    `has_own_cores`: the arm gets half of the cores and client and provider the other half, unless `--share-cores` was given.
    """
    with tempfile.TemporaryDirectory(prefix="martlet-bench-") as place:
        opened = Stage(options, pathlib.Path(place), kinds, machine.Cores(has_own_cores and not options.shares_cores), upstream_settings)
        try:
            yield opened
        finally:
            opened.close()
