"""The JSON Schema of the configuration file says what the loader says."""

import copy
import json
import re

import jsonschema
import pytest
import yaml

from processes import BASE_CONFIGURATION, MORE_MODELS, ROOT, run_cli

SCHEMA_FILE = ROOT / "Docs/martlet.schema.json"
SCHEMA = json.loads(SCHEMA_FILE.read_text())
CHECK = jsonschema.Draft202012Validator(SCHEMA)
ENVIRONMENT = {"OPENAI_API_KEY": "sk-0123456789", "SIM_KEY": "sk-0123456789"}
LEAST = {
    "providers": [{"id": "sim", "base_url": "http://127.0.0.1:9900/v1"}],
    "models": [{"name": "m", "deployments": [{"provider": "sim"}]}],
}


class Loader(yaml.SafeLoader):
    """YAML 1.2 as editors read it: `off` and `no` are texts."""


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))


def documents():
    """Every configuration that our documents show, whole or a part."""
    found = [("example", (ROOT / "Docs/martlet.example.yaml").read_text())]
    for path in [ROOT / "README.md", *sorted((ROOT / "Docs").glob("*.md"))]:
        for number, text in enumerate(re.findall(r"^```yaml\n(.*?)^```", path.read_text(), re.DOTALL | re.MULTILINE)):
            content = yaml.load(text, Loader)
            if isinstance(content, dict) and set(content) & set(SCHEMA["properties"]):
                found.append((f"{path.name}-{number}", text))
    return found


DOCUMENTS = documents()


def is_right(configuration):
    return not list(CHECK.iter_errors(configuration))


def loader_takes(tmp_path, configuration, environment=ENVIRONMENT):
    path = tmp_path / "martlet.yaml"
    path.write_text(configuration if isinstance(configuration, str) else json.dumps(configuration))
    return run_cli("config", "check", "--config", str(path), environment=environment).returncode == 0


def objects(schema, path=()):
    """Every mapping of the file whose keys are known, by the way to it."""
    if "properties" in schema:
        yield path
        for key, value in schema["properties"].items():
            yield from objects(value, (*path, key))
    if "items" in schema:
        yield from objects(schema["items"], (*path, 0))


def put(configuration, path, key, value):
    place = configuration
    for step in path:
        if isinstance(place, dict):
            place = place.setdefault(step, {})
        else:
            place = place[step]
    place[key] = value


def test_the_schema_in_the_documents_is_that_of_the_binary():
    done = run_cli("config", "schema")
    assert done.returncode == 0
    assert done.stdout == SCHEMA_FILE.read_text(), "renew it: martlet config schema > Docs/martlet.schema.json"
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize(("name", "text"), DOCUMENTS, ids=[name for name, _ in DOCUMENTS])
def test_every_documented_configuration_is_right(tmp_path, name, text):
    configuration = {**LEAST, **yaml.load(text, Loader)}
    if "providers" in configuration and configuration["models"] is LEAST["models"]:
        configuration["models"] = [{"name": "m", "deployments": [{"provider": configuration["providers"][0]["id"]}]}]
    assert list(CHECK.iter_errors(configuration)) == []


def test_the_example_is_accepted_by_both_and_names_the_schema(tmp_path):
    text = (ROOT / "Docs/martlet.example.yaml").read_text()
    assert text.startswith("# yaml-language-server: $schema=martlet.schema.json\n")
    assert is_right(yaml.load(text, Loader)) and loader_takes(tmp_path, text)


@pytest.mark.parametrize("text", [BASE_CONFIGURATION + MORE_MODELS, ""], ids=["file", "embedded"])
def test_the_settings_in_force_are_right(tmp_path, text):
    path = tmp_path / "martlet.yaml"
    arguments = []
    if text:
        path.write_text(text % {"port": 1, "simulator": "http://127.0.0.1:9"})
        arguments = ["--config", str(path)]
    done = run_cli("config", "show", "--json", *arguments, environment=ENVIRONMENT, directory=tmp_path)
    assert done.returncode == 0, done.stderr
    assert list(CHECK.iter_errors(json.loads(done.stdout))) == []


@pytest.mark.parametrize("path", list(objects(SCHEMA)), ids=lambda path: ".".join(map(str, path)) or "root")
def test_an_unknown_key_is_refused_by_both_wherever_it_stands(tmp_path, path):
    configuration = copy.deepcopy(LEAST)
    put(configuration, path, "nonsense", 1)
    assert not is_right(configuration) and not loader_takes(tmp_path, configuration)


@pytest.mark.parametrize(
    ("path", "key", "value", "right"),
    [
        (("server",), "port", 70000, False),
        (("server",), "port", "eighty", False),
        (("server",), "port", "8000", True),
        (("server",), "max_body", "10 MiB", True),
        (("server",), "max_body", "10 parsecs", False),
        (("server",), "total_timeout", "90s", True),
        (("server",), "total_timeout", 90, True),
        (("server",), "total_timeout", "soon", False),
        (("server",), "trusted_proxies", ["10.0.0.0/8"], True),
        (("server",), "trusted_proxies", "10.0.0.0/8, unix", True),
        (("log",), "level", "debug", True),
        (("log",), "level", "loud", False),
        (("reload",), "watch", "off", True),
        (("reload",), "watch", False, True),
        (("reload",), "watch", "maybe", False),
        (("providers", 0), "headers", {"X-Any": "thing"}, True),
        (("providers", 0), "headers", ["X-Any"], False),
        (("providers", 0), "api_key", "env://SIM_KEY", True),
        (("providers", 0), "kind", "oracle", False),
        (("models", 0), "price", {"input": 0.15, "output": "0.60"}, True),
        (("models", 0), "price", {"output": 1}, False),
        (("models", 0), "price", {"input": -1}, False),
        (("models", 0), "deployments", [], False),
        ((), "x-anchors", {"any": "thing"}, True),
        ((), "models", [], False),
    ],
)
def test_schema_and_loader_agree(tmp_path, path, key, value, right):
    configuration = copy.deepcopy(LEAST)
    put(configuration, path, key, value)
    assert is_right(configuration) == right
    assert loader_takes(tmp_path, configuration) == right


@pytest.mark.parametrize("path", [(), ("providers", 0), ("models", 0), ("models", 0, "deployments", 0)])
def test_what_the_schema_requires_the_loader_requires(tmp_path, path):
    node = SCHEMA
    for step in path:
        node = node["items"] if step == 0 else node["properties"][step]
    for key in node["required"]:
        configuration = copy.deepcopy(LEAST)
        place = configuration
        for step in path:
            place = place[step]
        del place[key]
        assert not is_right(configuration) and not loader_takes(tmp_path, configuration), key
