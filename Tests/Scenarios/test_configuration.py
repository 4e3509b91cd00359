"""`martlet config`, overrides, and the embedded defaults."""

import json

import pytest

from processes import BASE_CONFIGURATION, free_port, http_request, run_cli

GOOD = BASE_CONFIGURATION % {"port": 8000, "simulator": "http://127.0.0.1:9900"}


@pytest.fixture
def configuration(tmp_path):
    def write(text):
        path = tmp_path / "martlet.yaml"
        path.write_text(text)
        return str(path)

    return write


def test_the_documented_configuration_is_accepted_as_it_stands(configuration):
    done = run_cli("config", "check", "--config", configuration(GOOD), environment={"SIM_KEY": "sk-secret"})
    assert done.returncode == 0, done.stderr + done.stdout


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("port: 8000", "port: eighty", 2, ["port"]),
        ("port: 8000", "port: 70000", 2, ["port"]),
        ("port: 8000", "prot: 8000", 2, ["prot"]),
        ("data: ./data", "data: ./data\nlog: { level: loud }", 4, ["loud"]),
        ("kind: openai", "kind: oracle", 5, ["oracle"]),
        ('base_url: "http://127.0.0.1:9900/v1"', 'base_url: "ftp://x"', 5, ["base_url"]),
        ("provider: sim", "provider: nobody", 8, ["nobody"]),
        ("input: 0.15", "input: cheap", 9, ["input"]),
        ("input: 0.15", "input: -1", 9, ["input"]),
        ("providers:", "providers: [", 0, []),
    ],
)
def test_a_mistake_is_named_with_file_line_and_reason(configuration, old, new, line, words):
    assert old in GOOD
    path = configuration(GOOD.replace(old, new, 1))
    done = run_cli("config", "check", "--config", path, environment={"SIM_KEY": "sk-secret"})
    said = done.stderr + done.stdout
    assert done.returncode != 0
    assert "martlet.yaml" in said
    if line:
        assert f":{line}" in said or f"line {line}" in said, said
    for word in words:
        assert word in said, said


def test_a_secret_that_is_not_there_is_named(configuration):
    done = run_cli("config", "check", "--config", configuration(GOOD))
    assert done.returncode != 0
    assert "SIM_KEY" in done.stderr + done.stdout


def test_a_file_that_is_not_there_is_named():
    done = run_cli("config", "check", "--config", "/nonexistent/martlet.yaml")
    assert done.returncode != 0 and "/nonexistent/martlet.yaml" in done.stderr + done.stdout


@pytest.mark.parametrize("as_json", [False, True])
def test_show_masks_every_secret(configuration, as_json):
    secret = "sk-very-secret-value-0123456789"
    path = configuration(GOOD.replace('"env://SIM_KEY"', f'"{secret}"'))
    done = run_cli(
        "config", "show", "--config", path, *(["--json"] if as_json else []), environment={"MARTLET_ADMIN_KEY": "another-secret-0123456789"}
    )
    assert done.returncode == 0, done.stderr
    assert secret not in done.stdout + done.stderr
    assert "another-secret-0123456789" not in done.stdout + done.stderr
    assert "gpt-4o-mini" in done.stdout
    if as_json:
        json.loads(done.stdout)


def test_the_environment_overrides_the_file_and_a_flag_overrides_both(make_gateway):
    gateway = make_gateway()
    in_environment, by_flag = free_port(), free_port()
    gateway.environment["MARTLET_SERVER_PORT"] = str(in_environment)
    gateway.port = in_environment
    gateway.start()
    gateway.stop()
    gateway.spawn(["serve", "--config", str(gateway.configuration), "--port", str(by_flag)], gateway.environment)
    gateway.port = by_flag
    gateway.wait_ready()


def test_without_a_file_the_embedded_defaults_serve(make_gateway, own_simulator):
    gateway = make_gateway()
    gateway.configuration.unlink()
    gateway.environment |= {"MARTLET_PROVIDERS_SIM_BASE_URL": f"{own_simulator.url}/v1"}
    gateway.spawn(["serve", "--port", str(gateway.port)], gateway.environment)
    gateway.wait_ready()
    key = gateway.create_key()["key"]
    listed = {model["id"] for model in http_request(gateway.port, "GET", "/v1/models", key=key).json()["data"]}
    assert {"gpt-4o-mini", "gpt-4o", "text-embedding-3-small"} <= listed
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}
    assert gateway.request("POST", "/v1/chat/completions", body, key=key).status == 200


def test_a_broken_file_stops_the_start_with_the_reason(make_gateway):
    gateway = make_gateway()
    gateway.configuration.write_text(gateway.configuration.read_text().replace("kind: openai", "kind: oracle"))
    gateway.spawn_server()
    assert gateway.wait() != 0
    assert "oracle" in gateway.output()


def test_a_busy_port_stops_the_start_with_the_reason(make_gateway, own_simulator):
    gateway = make_gateway()
    gateway.spawn(["serve", "--config", str(gateway.configuration), "--port", str(own_simulator.port)], gateway.environment)
    assert gateway.wait() != 0
    assert str(own_simulator.port) in gateway.output()


def test_two_gateways_never_share_a_data_directory(make_gateway):
    first = make_gateway().start()
    second = make_gateway()
    second.directory = first.directory
    second.spawn_server()
    assert second.wait() != 0
    assert first.process.poll() is None and first.is_ready()


def test_version_is_told(tmp_path):
    done = run_cli("version", "--json", directory=tmp_path)
    assert done.returncode == 0 and json.loads(done.stdout)["version"]
