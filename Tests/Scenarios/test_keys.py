"""The life of an API key, through the management API and the command line."""

import datetime
import json
import re

from processes import ADMIN_KEY, Gateway, http_request, run_cli, wait_until

CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}


def chat(gateway, key, headers=None):
    return gateway.request("POST", "/v1/chat/completions", CHAT, key=key, headers=headers)


def test_a_key_is_shown_once_and_stored_only_as_a_hash(gateway):
    created = gateway.create_key(name="once", team="birds", agent="swift", user="ann")
    assert re.fullmatch(r"mk_[0-9A-Za-z]{38}", created["key"])
    listed = gateway.api("GET", "/keys")["data"]
    entry = next(item for item in listed if item["id"] == created["id"])
    assert entry["name"] == "once" and entry["team"] == "birds" and entry["agent"] == "swift" and entry["user"] == "ann"
    assert created["key"] not in json.dumps(listed)
    for path in gateway.directory.rglob("*"):
        if path.is_file():
            assert created["key"].encode() not in path.read_bytes(), f"{path} holds the key in clear"


def test_the_row_of_a_call_names_its_key_team_agent_and_user(gateway):
    created = gateway.create_key(name="attributed", tenant="acme", team="birds", agent="swift", user="ann")
    assert chat(gateway, created["key"], {"x-request-id": "attributed"}).status == 200
    row = gateway.row("attributed")
    assert row["key_id"] == created["id"]
    assert [row[field] for field in ("tenant", "team", "agent", "user")] == ["acme", "birds", "swift", "ann"]


def test_what_the_client_says_about_itself_is_recorded(gateway, key):
    headers = {"x-request-id": "told", "x-martlet-session": "session-7", "x-martlet-tags": "season=spring,trial"}
    body = {**CHAT, "user": "customer-20817"}
    assert gateway.request("POST", "/v1/chat/completions", body, key=key, headers=headers).status == 200
    row = gateway.row("told")
    assert [row[field] for field in ("end_user", "session", "tags")] == ["customer-20817", "session-7", "season=spring,trial"]
    assert row["client_address"] == "127.0.0.1" and row["prompt_bytes"] > 50


def test_a_revoked_key_is_refused_from_that_moment_on(gateway):
    created = gateway.create_key(name="short life")
    for _ in range(3):
        assert chat(gateway, created["key"]).status == 200
    gateway.api("DELETE", f"/keys/{created['id']}")
    answer = chat(gateway, created["key"])
    assert answer.status == 401 and answer.json()["error"]["code"] == "invalid_api_key"
    entry = next(item for item in gateway.api("GET", "/keys")["data"] if item["id"] == created["id"])
    assert entry["revoked_at"]
    assert gateway.request("DELETE", "/api/v1/keys/key_nobody", key=ADMIN_KEY).status == 404


def test_a_key_expires_by_itself(gateway):
    moment = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=2)
    key = gateway.create_key(name="brief", expires_at=moment.isoformat().replace("+00:00", "Z"))["key"]
    assert chat(gateway, key).status == 200
    answer = wait_until(lambda: (found := chat(gateway, key)).status == 401 and found, 5, "the key has expired")
    assert answer.json()["error"]["code"] == "expired_api_key"


def test_a_key_is_bound_to_its_models(gateway):
    key = gateway.create_key(name="embeddings only", models=["text-embedding-*"])["key"]
    answer = chat(gateway, key)
    assert answer.status == 403 and answer.json()["error"]["code"] == "model_not_allowed"
    assert gateway.request("POST", "/v1/embeddings", {"model": "text-embedding-3-small", "input": "x"}, key=key).status == 200
    assert [model["id"] for model in gateway.request("GET", "/v1/models", key=key).json()["data"]] == ["text-embedding-3-small"]


def test_an_ordinary_key_reads_its_own_usage_only(gateway):
    mine, other = gateway.create_key(name="mine"), gateway.create_key(name="other")
    assert chat(gateway, mine["key"], {"x-request-id": "mine-1"}).status == 200
    assert chat(gateway, other["key"], {"x-request-id": "other-1"}).status == 200
    gateway.flush()
    page = gateway.request("GET", "/api/v1/usage", key=mine["key"])
    assert page.status == 200
    assert [row["request_id"] for row in page.json()["data"]] == ["mine-1"]
    assert gateway.request("GET", "/api/v1/usage/other-1", key=mine["key"]).status in (403, 404)
    assert gateway.request("GET", "/api/v1/usage/mine-1", key=mine["key"]).status == 200


def test_keys_survive_a_restart_and_so_do_revocations(make_gateway):
    gateway = make_gateway().start()
    kept, revoked = gateway.create_key(name="kept"), gateway.create_key(name="revoked")
    gateway.api("DELETE", f"/keys/{revoked['id']}")
    gateway.kill()
    gateway.start()
    assert chat(gateway, kept["key"]).status == 200
    assert chat(gateway, revoked["key"]).status == 401


def test_without_an_administrator_s_key_one_is_made_and_printed_once(make_gateway):
    gateway: Gateway = make_gateway(admin_key=None).start()
    found = re.findall(r"mk_[0-9A-Za-z]{38}", gateway.output())
    assert len(found) == 1, "printed exactly once"
    created = http_request(gateway.port, "POST", "/api/v1/keys", {"name": "first"}, key=found[0])
    assert created.status in (200, 201)
    gateway.terminate()
    assert gateway.wait() == 0
    gateway.start()
    assert len(re.findall(r"mk_[0-9A-Za-z]{38}", gateway.output())) == 1, "not printed again"
    assert http_request(gateway.port, "GET", "/api/v1/keys", key=found[0]).status == 200


def test_the_command_line_creates_lists_and_revokes_keys(gateway):
    environment = {"MARTLET_ADMIN_KEY": ADMIN_KEY}

    def martlet(*arguments):
        done = run_cli(*arguments, "--url", gateway.url, "--json", environment=environment)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    created = martlet("keys", "create", "--name", "by hand", "--models", "gpt-4o*")
    assert chat(gateway, created["key"], {"x-request-id": "by-hand"}).status == 200
    listed = martlet("keys", "list")
    assert created["id"] in json.dumps(listed) and created["key"] not in json.dumps(listed)
    gateway.flush()
    assert "by-hand" in json.dumps(martlet("usage", "show", "by-hand"))
    martlet("keys", "revoke", created["id"])
    assert chat(gateway, created["key"]).status == 401
