"""The two native programs of Benchmarks/native: built when they are older than their sources, started, asked."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import time
import urllib.request

from .machine import ROOT, BenchError, machine_times, preparing, resident_bytes, steal_percent

SOURCES = ROOT / "Benchmarks/native"
BUILT = ROOT / ".build/bench-native"


def build(name):
    """The path of a native program, compiled with `cc -O2` where that is due."""
    source, binary = SOURCES / f"{name}.c", BUILT / name
    if binary.exists() and binary.stat().st_mtime >= source.stat().st_mtime:
        return binary
    compiler = shutil.which(os.environ.get("CC", "cc")) or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise BenchError("a C compiler is needed: apt-get install gcc libc6-dev")
    BUILT.mkdir(parents=True, exist_ok=True)
    part = binary.with_suffix(f".{os.getpid()}")
    done = subprocess.run([compiler, "-O2", "-Wall", "-o", str(part), str(source)], capture_output=True, text=True)
    if done.returncode != 0:
        raise BenchError(f"{source.name} does not compile:\n{done.stderr}")
    part.rename(binary)
    return binary


class Upstream:
    """A running `upstream`, the provider behind every arm."""

    def __init__(self, directory, cores=None):
        self.process = subprocess.Popen(
            [str(build("upstream")), "--port", "0"], stdout=subprocess.PIPE, cwd=directory, text=True, preexec_fn=preparing(cores)
        )
        line = self.process.stdout.readline()
        if not line.startswith("listening on "):
            raise BenchError("the native upstream did not start")
        self.port = int(line.rpartition(":")[2])
        self.identifier = self.process.pid

    def control(self, **values):
        """Changes what later calls get, and returns the counts."""
        query = "&".join(f"{name}={value}" for name, value in values.items())
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/control?{query}", method="POST" if values else "GET")
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=10)
        self.process.stdout.close()


class Load:
    """One run of `streamload`, in the background until `result` is asked for."""

    def __init__(self, url, key, *, seconds=None, connections=1, cores=None, **flags):
        command = [str(build("streamload")), "--url", url, "--header", f"Authorization: Bearer {key}", "--connections", str(connections)]
        if seconds is not None:
            command += ["--seconds", str(seconds)]
        for name, value in flags.items():
            if value is True:
                command.append(f"--{name.replace('_', '-')}")
            elif value is not None and value is not False:
                command += [f"--{name.replace('_', '-')}", str(value)]
        self.before = machine_times()
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=preparing(cores))

    def wait_until_open(self):
        """Waits for the line that says that every held stream has had its first frame."""
        line = self.process.stderr.readline()
        if not line.startswith("OPEN "):
            raise BenchError(f"the streams did not open: {line}{self.process.stderr.read()}{self.process.stdout.read()}")
        return int(line.split()[1])

    def watch_memory(self, identifier):
        """The largest resident memory of a process until the load has ended."""
        most = resident_bytes(identifier)
        while self.process.poll() is None:
            most = max(most, resident_bytes(identifier))
            time.sleep(0.2)
        return most

    def result(self, timeout=600):
        try:
            output, errors = self.process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGTERM)
            output, errors = self.process.communicate(timeout=30)
        try:
            figures = json.loads(output)
        except json.JSONDecodeError:
            raise BenchError(f"streamload ended with status {self.process.returncode}: {errors.strip()} {output[:500]}") from None
        figures["steal_percent"] = steal_percent(self.before, machine_times())
        return figures
