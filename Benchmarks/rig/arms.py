"""The programs under test: started in a directory of their own, in front of one upstream, and asked for their CPU time."""

import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

from . import machine
from .machine import BenchError

MODEL = "gpt-4o-mini"
ADMIN_KEY = "bench-administrator-key-0123456789"
PROVIDER_KEY = "bench-provider-key"

NGINX_CONFIGURATION = """
worker_processes 1;
worker_rlimit_nofile 65536;
daemon off;
{user}
pid {directory}/nginx.pid;
error_log {directory}/nginx-error.log warn;
events {{ worker_connections 16384; }}
http {{
    access_log off;
    client_body_temp_path {directory}/nginx-body;
    proxy_temp_path {directory}/nginx-proxy;
    fastcgi_temp_path {directory}/nginx-fastcgi;
    uwsgi_temp_path {directory}/nginx-uwsgi;
    scgi_temp_path {directory}/nginx-scgi;
    client_max_body_size 20m;
    client_body_buffer_size 2m;
    keepalive_requests 100000000;
    proxy_read_timeout 900s;
    upstream provider {{ server 127.0.0.1:{upstream_port}; keepalive 1024; keepalive_requests 100000000; }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
            proxy_pass http://provider;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
        }}
    }}
}}
"""

MARTLET_CONFIGURATION = """
server: {{ host: 127.0.0.1, port: {port}, loops: {loops}, max_body: 20MiB, max_buffered: 1GiB, total_timeout: 900s }}
data: {directory}/data
providers:
  - id: upstream
    kind: openai
    base_url: "http://127.0.0.1:{upstream_port}/v1"
    api_key: "env://BENCH_PROVIDER_KEY"
    max_concurrency: 20000
    timeouts: {{ idle: 900s }}
models:
  - name: gpt-4o-mini
    deployments: [{{ provider: upstream, model: gpt-4o-mini }}]
    price: {{ input: 0.15, output: 0.60, cached_input: 0.075 }}
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Arm:
    """Something that answers chat calls; `Direct` is the upstream itself."""

    name = "direct"
    is_peer = False

    def __init__(self, upstream, directory, cores=None):
        self.upstream = upstream
        self.cores = cores
        self.directory = directory / self.name
        self.directory.mkdir()
        self.port = upstream.port
        self.key = PROVIDER_KEY
        self.process = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/v1/chat/completions"

    @property
    def identifier(self):
        return self.process.pid if self.process else self.upstream.identifier

    def version(self):
        return ""

    def start(self):
        pass

    def settle(self):
        """Waits until the arm has done what a load left behind."""

    def cpu_seconds(self):
        return machine.cpu_seconds(self.identifier)

    def resident_bytes(self):
        return machine.resident_bytes(self.identifier)

    def launch(self, command, environment=None, patience=30):
        self.log = self.directory / "output.log"
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [str(part) for part in command], stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd=self.directory,
                env={**os.environ, **(environment or {})}, preexec_fn=machine.preparing(self.cores), start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise BenchError(f"{self.name} ended with status {self.process.returncode}: {self.last_words()}")
            with socket.socket() as probe:
                probe.settimeout(0.2)
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise BenchError(f"{self.name} does not listen after {patience} s: {self.last_words()}")

    def last_words(self):
        return self.log.read_text(errors="replace")[-1500:].strip() or "it printed nothing"

    def wait_for_call(self, patience=30):
        """Waits until one call passes, and proves that it reached the upstream."""
        deadline = time.monotonic() + patience
        before = self.upstream.control()["plain"]
        while True:
            try:
                answer = self.request("POST", "/v1/chat/completions", self.key, {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}]})
                if "~answer~" not in answer["choices"][0]["message"]["content"]:
                    raise BenchError(f"{self.name} does not pass on the upstream's answer: {answer}")
                break
            except (OSError, KeyError, ValueError) as error:
                if time.monotonic() > deadline:
                    detail = error.read().decode(errors="replace")[:500] if isinstance(error, urllib.error.HTTPError) else ""
                    raise BenchError(f"{self.name} answers no call: {error} {detail} {self.last_words()}") from None
                time.sleep(0.2)
        if self.upstream.control()["plain"] <= before:
            raise BenchError(f"{self.name} answers without having asked the upstream")

    def request(self, method, path, key, body=None, timeout=90):
        call = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", method=method, data=None if body is None else json.dumps(body).encode())
        call.add_header("Authorization", f"Bearer {key}")
        call.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(call, timeout=timeout) as answer:
            return json.load(answer)

    def stop(self):
        if self.process is None or self.process.poll() is not None:
            return
        family = machine.descendants(self.process.pid)
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for identifier in family[1:]:  # workers that outlive their parent
            try:
                if os.getsid(identifier) == family[0]:
                    os.kill(identifier, signal.SIGKILL)
            except ProcessLookupError:
                pass


class Nginx(Arm):
    """nginx as a plain reverse proxy: one worker, kept connections to the upstream, unbuffered answers."""

    name = "nginx"

    def version(self):
        return machine.first_line(machine.tool("nginx", "nginx-light"), "-v").removeprefix("nginx version: ")

    def start(self):
        self.port = free_port()
        configuration = self.directory / "nginx.conf"
        user = "user root;" if os.geteuid() == 0 else ""
        configuration.write_text(NGINX_CONFIGURATION.format(port=self.port, upstream_port=self.upstream.port, directory=self.directory, user=user))
        self.launch([machine.tool("nginx", "nginx-light"), "-p", self.directory, "-c", configuration])
        self.wait_for_call()


class Martlet(Arm):
    """Martlet as a user runs it: a key, the journal, cost, the usage log in SQLite and metrics; as many loops as nginx has workers."""

    name = "martlet"
    binary = machine.ROOT / ".build/release/martlet"
    loops = 1

    def version(self):
        return machine.first_line(self.binary, "--version")

    def start(self):
        self.port = free_port()
        configuration = self.directory / "martlet.yaml"
        configuration.write_text(
            MARTLET_CONFIGURATION.format(port=self.port, upstream_port=self.upstream.port, directory=self.directory, loops=self.loops)
        )
        self.launch(
            [self.binary, "serve", "--config", configuration], {"MARTLET_ADMIN_KEY": ADMIN_KEY, "BENCH_PROVIDER_KEY": PROVIDER_KEY}
        )
        self.key = self.make_key()
        self.wait_for_call()

    def make_key(self):
        deadline = time.monotonic() + 20
        while True:
            try:
                return self.request("POST", "/api/v1/keys", ADMIN_KEY, {"name": "bench"})["key"]
            except OSError:
                if time.monotonic() > deadline:
                    raise BenchError(f"Martlet makes no key: {self.last_words()}") from None
                time.sleep(0.1)

    def settle(self):
        self.request("POST", "/api/v1/usage/flush?timeout=60s", ADMIN_KEY)

    def recorded_calls(self):
        """Successful calls in the usage log."""
        self.settle()
        return self.request("GET", "/api/v1/usage/totals?outcome=success", ADMIN_KEY)["calls"]
