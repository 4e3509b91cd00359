"""The routers that people run today, from PyPI, each in a virtual environment of its own; prepared by Scripts/bench-peers."""

import os
import pathlib

from . import machine
from .arms import MODEL, PROVIDER_KEY, Arm, free_port
from .machine import BenchError

ENVIRONMENTS = pathlib.Path(os.environ.get("BENCH_VENVS", machine.ROOT / ".bench-venvs"))


class Peer(Arm):
    """A router in front of the same upstream, with one worker and no log of calls."""

    is_peer = True
    language = "Rust"
    package = ""

    @property
    def environment(self):
        return ENVIRONMENTS / self.name

    def program(self, name):
        path = self.environment / "bin" / name
        if not path.exists():
            reason = self.environment / "reason"
            detail = reason.read_text(errors="replace").strip()[-400:] if reason.exists() else "prepare it with: make bench-peers"
            raise BenchError(f"not installed: {detail}")
        return path

    def version(self):
        found = sorted((self.environment / "lib").glob(f"python3*/site-packages/{self.package.replace('-', '_')}-*.dist-info"))
        return found[-1].name.split("-")[1].removesuffix(".dist") if found else "unknown"


class SGLangRouter(Peer):
    name = "sglang-router"
    package = "sglang-router"

    def start(self):
        self.port = free_port()
        self.key = "bench-client-key"
        self.launch(
            [
                self.program("python"), "-m", "sglang_router.launch_router", "--host", "127.0.0.1", "--port", self.port,
                "--worker-urls", f"http://127.0.0.1:{self.upstream.port}", "--policy", "round_robin", "--log-level", "error",
                "--prometheus-port", free_port(), "--max-concurrent-requests", "-1", "--api-key", self.key,
            ],
            {"TOKIO_WORKER_THREADS": "1"}, patience=60,
        )  # fmt: skip
        self.wait_for_call(60)


class VLLMRouter(Peer):
    name = "vllm-router"
    package = "vllm-router"

    def start(self):
        self.port = free_port()
        self.launch(
            [
                self.program("python"), "-m", "vllm_router.launch_router", "--host", "127.0.0.1", "--port", self.port,
                "--worker-urls", f"http://127.0.0.1:{self.upstream.port}", "--policy", "round_robin", "--log-level", "error",
                "--prometheus-port", free_port(), "--max-concurrent-requests", "20000",
            ],
            {"TOKIO_WORKER_THREADS": "1"}, patience=60,
        )  # fmt: skip
        self.wait_for_call(60)


LITELLM_CONFIGURATION = """
model_list:
  - model_name: {model}
    litellm_params:
      model: openai/{model}
      api_base: http://127.0.0.1:{upstream_port}/v1
      api_key: {key}
      input_cost_per_token: 0.00000015
      output_cost_per_token: 0.0000006
general_settings:
  master_key: sk-bench-client-key
litellm_settings:
  set_verbose: false
  json_logs: false
  num_retries: 0
  request_timeout: 300
"""


class LiteLLM(Peer):
    name = "litellm"
    package = "litellm"
    language = "Python"
    # More at once only makes its queue longer: one worker serves tens of calls a second.
    streams_most = 50

    def start(self):
        self.port = free_port()
        self.key = "sk-bench-client-key"
        configuration = self.directory / "litellm.yaml"
        configuration.write_text(LITELLM_CONFIGURATION.format(model=MODEL, upstream_port=self.upstream.port, key=PROVIDER_KEY))
        self.launch(
            [self.program("litellm"), "--config", configuration, "--host", "127.0.0.1", "--port", self.port, "--num_workers", "1"],
            {"LITELLM_LOG": "ERROR", "LITELLM_MODE": "PRODUCTION", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_TELEMETRY": "False"}, patience=120,
        )  # fmt: skip
        self.wait_for_call(120)


def peer_kinds():
    return (SGLangRouter, VLLMRouter, LiteLLM)
