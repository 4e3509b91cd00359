"""A provider behind HTTPS whose certificate a private authority signed."""

import subprocess

import openai
import pytest

from processes import Gateway, Simulator

CONFIGURATION = """
server: { host: 127.0.0.1, port: %%(port)d }
data: ./data
providers:
  - { id: sim, kind: openai, base_url: "%%(simulator)s/v1", api_key: "env://SIM_KEY"%(ca)s }
models:
  - name: gpt-4o-mini
    deployments: [{ provider: sim, model: gpt-4o-mini }]
    price: { input: 0.15, output: 0.60, cached_input: 0.075 }
"""
MESSAGES = [{"role": "user", "content": "Why do swifts never land?"}]


def openssl(*arguments, directory):
    subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True, timeout=60)


@pytest.fixture(scope="module")
def secured(tmp_path_factory):
    """A directory with a private authority, and a simulator that shows a certificate of it."""
    directory = tmp_path_factory.mktemp("secured")
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=Private CA",
            "-keyout", "ca.key", "-out", "ca.pem", directory=directory)  # fmt: skip
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=simulator",
            "-keyout", "server.key", "-out", "server.csr", directory=directory)  # fmt: skip
    (directory / "names.ext").write_text("subjectAltName = IP:127.0.0.1, DNS:localhost\n")
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
            "-extfile", "names.ext", "-out", "server.pem", directory=directory)  # fmt: skip
    simulator = Simulator(directory / "simulator", "--tls-cert", str(directory / "server.pem"), "--tls-key", str(directory / "server.key"), tls=True)
    try:
        yield directory, simulator.start()
    finally:
        simulator.stop()


def gateway_with(directory, simulator, name, ca):
    return Gateway(directory / name, simulator, models="", configuration=CONFIGURATION % {"ca": ca})


def test_an_https_provider_with_a_private_authority_serves_plain_and_streamed(secured):
    directory, simulator = secured
    gateway = gateway_with(directory, simulator, "trusting", f', ca_file: "{directory}/ca.pem"')
    try:
        gateway.start()
        with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.create_key()["key"], max_retries=0) as client:
            for number in range(5):
                headers = {"x-request-id": f"secured-{number}"}
                answer = client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, extra_headers=headers)
                assert answer.choices[0].message.content
            stream = client.chat.completions.create(
                model="gpt-4o-mini", messages=MESSAGES, stream=True, extra_headers={"x-request-id": "secured-stream", "x-sim-tokens": "200"}
            )
            assert len(list(stream)) > 200
        rows = gateway.rows()
        assert len(rows) == 6 and all(row["outcome"] == "success" and row["output_tokens"] > 0 for row in rows)
    finally:
        gateway.stop()


def test_a_certificate_that_nobody_known_signed_is_a_502_and_recorded(secured):
    directory, simulator = secured
    gateway = gateway_with(directory, simulator, "distrusting", "")
    try:
        gateway.start()
        with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.create_key()["key"], max_retries=0) as client:
            with pytest.raises(openai.InternalServerError) as caught:
                client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, extra_headers={"x-request-id": "distrusted"})
        assert caught.value.status_code == 502 and caught.value.code == "upstream_unreachable"
        row = gateway.row("distrusted")
        assert row["outcome"] == "upstream_error" and row["status"] == 502
    finally:
        gateway.stop()
