"""Counts of instructions by callgrind: the same for the same binary and input, however busy the machine is."""

import json
import os
import re
import shutil
import subprocess

from .machine import ROOT, BenchError, tool

THRESHOLDS = ROOT / "Benchmarks/functions/thresholds.json"
# Hash tables in the same order each time; without it the seeds are random.
ENVIRONMENT = {"SWIFT_DETERMINISTIC_HASHING": "1"}


def stripped(binary, directory):
    """A copy without debug information, which valgrind 3.19 cannot read; the symbols stay."""
    if not os.access(binary, os.X_OK):
        raise BenchError(f"there is no binary at {binary}; build it first")
    copy = directory / binary.name
    done = subprocess.run([tool("strip", "binutils"), "-g", "-o", str(copy), str(binary)], capture_output=True, text=True)
    if done.returncode != 0:
        raise BenchError(f"strip failed: {done.stderr}")
    return copy


def command(*arguments):
    return [tool("valgrind", "valgrind"), "--tool=callgrind", *arguments]


def totals(path):
    """The instructions that a dump file counts."""
    found = re.search(r"^(?:summary|totals): (\d+)$", path.read_text(errors="replace"), re.MULTILINE)
    if found is None:
        raise BenchError(f"callgrind counted nothing in {path.name}")
    return int(found.group(1))


# What stands around everything in a thread of an event loop, and so says nothing.
FRAMING = re.compile(r"^(clone|start_thread|.*NIOThread.*|.*UnsafeMutableRawPointer\?\) -> Swift\.UnsafeMutableRawPointer\?.*|.*SelectableEventLoop\.run\(\).*)$")


def costly(path, count, including_callees):
    """The functions of a dump that cost most: `(instructions, name)`."""
    flag = "yes" if including_callees else "no"
    output = subprocess.run(
        [tool("callgrind_annotate", "valgrind"), f"--inclusive={flag}", "--auto=no", "--threshold=100", str(path)], capture_output=True, text=True
    ).stdout
    demangler = shutil.which("swift")
    if demangler:
        output = subprocess.run([demangler, "demangle", "--compact"], input=output, capture_output=True, text=True).stdout
    found = []
    for line in output.splitlines():
        match = re.match(r"^\s*([\d,]+) \([\s\d.]+%\)\s+\S*?:(.*?)(?: \[[^\]]*\])?$", line)
        if match and not match.group(2).startswith("PROGRAM TOTALS") and not FRAMING.match(match.group(2)):
            found.append((int(match.group(1).replace(",", "")), match.group(2)))
        if len(found) >= count:
            break
    return found


class Thresholds:
    """What each figure may cost, kept in the repository; it moves only in the change that explains why."""

    def __init__(self, section):
        self.all = json.loads(THRESHOLDS.read_text()) if THRESHOLDS.exists() else {}
        self.section = section
        self.known = self.all.get(section, {})

    def judge(self, name, measured):
        """`(limit text, change text, verdict)`."""
        entry = self.known.get(name)
        if entry is None:
            return "–", "new", "NO THRESHOLD"
        change = 100 * (measured / entry["instructions"] - 1) if entry["instructions"] else 0.0
        limit = f"{entry['instructions']} ± {entry['tolerance_percent']} %"
        # In whole numbers, so that a figure at the very edge is on the same side everywhere.
        if measured * 100 > entry["instructions"] * (100 + entry["tolerance_percent"]):
            return limit, f"{change:+.1f} %", "FAIL"
        if measured * 100 < entry["instructions"] * (100 - entry["tolerance_percent"]):
            return limit, f"{change:+.1f} %", "better: update"
        return limit, f"{change:+.1f} %", "pass"

    def update(self, figures, tolerance):
        self.all[self.section] = {
            name: {"instructions": measured, "tolerance_percent": self.known.get(name, {}).get("tolerance_percent", tolerance)}
            for name, measured in figures.items()
        }
        THRESHOLDS.parent.mkdir(parents=True, exist_ok=True)
        THRESHOLDS.write_text(json.dumps(self.all, indent=2) + "\n")
