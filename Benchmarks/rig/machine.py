"""What the machine says: CPU time and memory of processes, stolen time, who we are."""

import os
import pathlib
import platform
import resource
import shutil
import subprocess
import sys
import time

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
ROOT = pathlib.Path(__file__).resolve().parents[2]


class BenchError(Exception):
    """A reason to stop, in words for a person."""


def descendants(identifier):
    """A process and everything below it."""
    found, waiting = [], [identifier]
    while waiting:
        current = waiting.pop()
        found.append(current)
        try:
            for task in pathlib.Path(f"/proc/{current}/task").iterdir():
                waiting += [int(child) for child in (task / "children").read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            pass
    return found


def cpu_seconds(identifier):
    """User and system time of a process, its threads and its living descendants."""
    ticks = 0
    for process in descendants(identifier):
        try:
            fields = pathlib.Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        ticks += int(fields[11]) + int(fields[12])
    return ticks / CLOCK_TICKS


def resident_bytes(identifier):
    """Resident memory of a process and its living descendants."""
    pages = 0
    for process in descendants(identifier):
        try:
            pages += int(pathlib.Path(f"/proc/{process}/statm").read_text().split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
    return pages * os.sysconf("SC_PAGE_SIZE")


def machine_times():
    """All, stolen and idle time of the machine, in ticks."""
    fields = [int(field) for field in pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return sum(fields), fields[7], fields[3] + fields[4]


def steal_percent(before, after):
    return 100 * (after[1] - before[1]) / max(1, after[0] - before[0])


class Cores:
    """Which cores the arm may use, and which client and provider: half each, so that they do not take turns on one."""

    def __init__(self, are_separate):
        cores = sorted(os.sched_getaffinity(0))
        self.are_separate = are_separate and len(cores) > 1
        self.arm = set(cores[len(cores) // 2 :]) if self.are_separate else set(cores)
        self.rest = set(cores[: len(cores) // 2]) if self.are_separate else set(cores)


def preparing(cores):
    """For `preexec_fn`: thousands of streams are thousands of descriptors on each side, and each side has its cores."""

    def prepare():
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        if cores:
            os.sched_setaffinity(0, cores)

    return prepare


def run_above_others(identifier, priority):
    """Gives a process and its threads a real-time priority; whether that is permitted here."""
    try:
        for task in pathlib.Path(f"/proc/{identifier}/task").iterdir():
            os.sched_setscheduler(int(task.name), os.SCHED_FIFO, os.sched_param(priority))
    except (PermissionError, FileNotFoundError):
        return False
    return True


def run_as_usual(identifier):
    for process in descendants(identifier):
        try:
            for task in pathlib.Path(f"/proc/{process}/task").iterdir():
                os.sched_setscheduler(int(task.name), os.SCHED_OTHER, os.sched_param(0))
        except (PermissionError, FileNotFoundError):
            pass


def tool(name, package):
    """The path of a program that the benchmark needs."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if not found:
        raise BenchError(f"{name} is needed: apt-get install {package}")
    return found


def first_line(*command):
    try:
        output = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return (output.stdout + output.stderr).strip().split("\n", 1)[0]


def busy_percent(seconds=2.0):
    """How much of all cores others use; to be asked before a run begins."""
    before = machine_times()
    time.sleep(seconds)
    after = machine_times()
    return 100 * (1 - (after[2] - before[2]) / max(1, after[0] - before[0]))


def facts(binary):
    """The machine and the builds, for the head of a report."""
    model = "unknown"
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    changed = first_line("git", "-C", str(ROOT), "status", "--porcelain", "--", "Sources", "Package.swift")
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "memory_gib": round(memory, 1),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": sys.version.split()[0],
        "busy_percent_before": round(busy_percent(), 1),
        "martlet": first_line(binary, "--version"),
        "commit": first_line("git", "-C", str(ROOT), "rev-parse", "--short=12", "HEAD") + (" with local changes" if changed.strip() else ""),
    }
