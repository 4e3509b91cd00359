"""Starts the real binary as a user would, and ends it by its process id."""

import contextlib
import decimal
import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import time
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("MARTLET_BINARY", ROOT / ".build/release/martlet")).resolve()
ADMIN_KEY = "administrator-key-of-the-test-suites"
SIMULATOR_KEY = "sk-simulated-provider-key-0123456789"

# A configuration that must work as it stands; only the ports are ours.
BASE_CONFIGURATION = """
server: { host: 127.0.0.1, port: %(port)d }
data: ./data
providers:
  - { id: sim, kind: openai, base_url: "%(simulator)s/v1", api_key: "env://SIM_KEY" }
models:
  - name: gpt-4o-mini
    deployments: [{ provider: sim, model: gpt-4o-mini }]
    price: { input: 0.15, output: 0.60, cached_input: 0.075 }   # USD per million tokens
"""

# More models in the same list, for what the one above cannot show.
MORE_MODELS = """\
  - name: gpt-3.5-turbo-instruct
    deployments: [{ provider: sim }]
    price: { input: 1.50, output: 2.00 }
  - name: text-embedding-3-small
    deployments: [{ provider: sim }]
    price: { input: 0.02, output: 0 }
  - name: house/reasoner:v1
    deployments: [{ provider: sim, model: gpt-4o }]
    price: { input: 1.1, output: 4.4, cached_input: 0.0375, reasoning: 5.5 }
  - name: no-price
    deployments: [{ provider: sim, model: gpt-4o-mini }]
"""

PRICES = {
    "gpt-4o-mini": {"input": "0.15", "output": "0.60", "cached_input": "0.075"},
    "gpt-3.5-turbo-instruct": {"input": "1.50", "output": "2.00"},
    "text-embedding-3-small": {"input": "0.02", "output": "0"},
    "house/reasoner:v1": {"input": "1.1", "output": "4.4", "cached_input": "0.0375", "reasoning": "5.5"},
    "no-price": {"input": "10", "output": "30"},
}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(condition, timeout, what):
    """Polls until the condition gives something true, and returns that; fails loudly after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {what}")
        time.sleep(0.01)


class Answer:
    """An HTTP answer that was read whole."""

    def __init__(self, status, headers, body):
        self.status = status
        self.headers = {name.lower(): value for name, value in headers}
        self.body = body

    def json(self):
        """The body; decimals stay exact, since some of them are money."""
        return json.loads(self.body, parse_float=decimal.Decimal)

    def __repr__(self):
        return f"<{self.status} {self.headers} {self.body[:500]!r}>"


def http_request(port, method, path, body=None, key=None, headers=None, timeout=30):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    sent = dict(headers or {})
    if key is not None:
        sent["authorization"] = f"Bearer {key}"
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
        sent.setdefault("content-type", "application/json")
    try:
        connection.request(method, path, body=body, headers=sent)
        answer = connection.getresponse()
        return Answer(answer.status, answer.getheaders(), answer.read())
    finally:
        connection.close()


class Process:
    """One process of ours, with its output and its log (standard error) in files."""

    def __init__(self, name, directory):
        self.name = name
        self.directory = pathlib.Path(directory)
        self.log = self.directory / f"{name}.log"
        self.printed = self.directory / f"{name}.out"
        self.process = None
        # A command that starts ours, with its arguments; for a test that needs a world of its own.
        self.wrapper = []

    def spawn(self, arguments, environment=None):
        self.directory.mkdir(parents=True, exist_ok=True)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("MARTLET_")}
        with self.log.open("ab") as log, self.printed.open("ab") as printed:
            self.process = subprocess.Popen(
                [*self.wrapper, str(BINARY), *arguments], cwd=self.directory, stdout=printed, stderr=log, env={**inherited, **(environment or {})}
            )

    def output(self):
        return self.printed.read_text(errors="replace") + self.log.read_text(errors="replace")

    def fail(self, message):
        raise AssertionError(f"{self.name} {message}:\n{self.output()[-3000:]}")

    def wait(self, timeout=30):
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.fail(f"did not end within {timeout} s")

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        """Ends the process for good; for the end of a test."""
        if self.process is None or self.process.poll() is not None:
            return
        self.terminate()
        try:
            self.process.wait(40)
        except subprocess.TimeoutExpired:
            self.kill()


class Simulator(Process):
    def __init__(self, directory, *flags, tls=False):
        super().__init__("simulator", directory)
        self.port = free_port()
        self.flags = list(flags)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"

    def start(self):
        self.spawn(["simulate", "--port", str(self.port), *self.flags])

        def listens():
            if self.process.poll() is not None:
                self.fail(f"ended with status {self.process.returncode}")
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.port)) == 0

        wait_until(listens, 20, "the simulator listens")
        return self

    def stats(self):
        return http_request(self.port, "GET", "/sim/stats").json()

    def calls(self):
        """What calls with the header `x-sim-record: 1` looked like upstream."""
        return http_request(self.port, "GET", "/sim/calls").json()


class Gateway(Process):
    def __init__(self, directory, simulator, extra="", models=MORE_MODELS, configuration=BASE_CONFIGURATION, environment=None, admin_key=ADMIN_KEY):
        super().__init__("gateway", directory)
        self.port = free_port()
        self.admin_key = admin_key
        self.environment = {"SIM_KEY": SIMULATOR_KEY, **(environment or {})}
        if admin_key is not None:
            self.environment["MARTLET_ADMIN_KEY"] = admin_key
        self.directory.mkdir(parents=True, exist_ok=True)
        self.configuration = self.directory / "martlet.yaml"
        self.configuration.write_text(configuration % {"port": self.port, "simulator": simulator.url} + models + extra)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def spawn_server(self):
        self.spawn(["serve", "--config", str(self.configuration)], self.environment)

    def start(self, timeout=20):
        self.spawn_server()
        self.wait_ready(timeout)
        return self

    def is_ready(self):
        with contextlib.suppress(OSError, http.client.HTTPException):
            return http_request(self.port, "GET", "/health/ready", timeout=2).status == 200
        return False

    def wait_ready(self, timeout=20):
        def ready():
            if self.process.poll() is not None:
                self.fail(f"ended with status {self.process.returncode}")
            return self.is_ready()

        wait_until(ready, timeout, "the gateway is ready")

    def request(self, method, path, body=None, key=None, headers=None, timeout=30):
        return http_request(self.port, method, path, body, key, headers, timeout)

    def api(self, method, path, body=None, expect=(200, 201, 204)):
        """A call of the management API as administrator; its answer as JSON."""
        answer = self.request(method, f"/api/v1{path}", body, key=self.admin_key, timeout=120)
        assert answer.status in expect, f"{method} {path}: {answer}"
        return answer.json() if answer.body else None

    def create_key(self, **fields):
        return self.api("POST", "/keys", {"name": "test", **fields})

    def flush(self):
        return self.api("POST", "/usage/flush?timeout=60s")

    def rows(self, **filters):
        """Every usage row that matches, newest first, all pages."""
        self.flush()
        found, cursor = [], None
        while True:
            query = {**filters, "limit": 500}
            if cursor:
                query["cursor"] = cursor
            page = self.api("GET", "/usage?" + urllib.parse.urlencode(query))
            found += page["data"]
            cursor = page.get("next_cursor")
            if not cursor:
                return found

    def row(self, request_id):
        """The usage row of one call."""
        self.flush()
        return self.api("GET", "/usage/" + urllib.parse.quote(request_id, safe=""))

    def request_ids(self):
        """The request ids of the whole usage log, by one export."""
        self.flush()
        answer = self.request("GET", "/api/v1/usage/export?format=json", key=self.admin_key, timeout=120)
        assert answer.status == 200, answer
        return [row["request_id"] for row in answer.json()["data"]]

    def log_lines(self):
        return self.log.read_text().splitlines()


def run_cli(*arguments, environment=None, directory=None, timeout=30):
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MARTLET_")}
    return subprocess.run(
        [str(BINARY), *arguments], capture_output=True, text=True, cwd=directory, env={**inherited, **(environment or {})}, timeout=timeout
    )
