"""A key gets a new secret: the former one has a grace, or ends at once."""

import json
import re

import pytest

from processes import ADMIN_KEY, http_request, run_cli, wait_until

CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}


def chat(gateway, key, headers=None):
    return gateway.request("POST", "/v1/chat/completions", CHAT, key=key, headers=headers).status


def rotate(gateway, key, body=None):
    return gateway.api("POST", f"/keys/{key['id']}/rotate", body)


def listed(gateway, key):
    return next(item for item in gateway.api("GET", "/keys")["data"] if item["id"] == key["id"])


def test_both_secrets_work_within_the_grace_and_are_the_same_key(gateway):
    key = gateway.create_key(name="rotated", tenant="acme", models=["gpt-4o*"])
    new = rotate(gateway, key, {"grace": "24h"})
    assert re.fullmatch(r"mk_[0-9A-Za-z]{38}", new["key"]) and new["key"] != key["key"] and new["id"] == key["id"]
    assert new["previous_expires_at"] and new["rotated_at"] and new["tenant"] == "acme" and new["models"] == ["gpt-4o*"]
    assert chat(gateway, key["key"], {"x-request-id": "by-old"}) == 200
    assert chat(gateway, new["key"], {"x-request-id": "by-new"}) == 200
    assert gateway.row("by-old")["key_id"] == gateway.row("by-new")["key_id"] == key["id"]
    entry = listed(gateway, key)
    assert entry["previous_expires_at"] == new["previous_expires_at"] and entry["last4"] == new["key"][-4:] and "key" not in entry
    for path in gateway.directory.rglob("*"):
        if path.is_file():
            assert new["key"].encode() not in path.read_bytes(), f"{path} holds the secret"


@pytest.mark.parametrize("body", [None, {}, {"grace": 0}, {"grace": "0"}, {"grace": "0s"}])
def test_without_a_grace_the_former_secret_ends_at_once(gateway, body):
    key = gateway.create_key()
    new = rotate(gateway, key, body)
    assert chat(gateway, key["key"]) == 401 and chat(gateway, new["key"]) == 200
    assert new["previous_expires_at"] is None


def test_the_former_secret_ends_with_its_grace(gateway):
    key = gateway.create_key()
    new = rotate(gateway, key, {"grace": 1.5})
    assert chat(gateway, key["key"]) == 200
    wait_until(lambda: chat(gateway, key["key"]) == 401, 10, "the grace has ended")
    answer = gateway.request("POST", "/v1/chat/completions", CHAT, key=key["key"])
    assert answer.json()["error"]["code"] == "expired_api_key"
    assert chat(gateway, new["key"]) == 200 and listed(gateway, key)["previous_expires_at"] is None


def test_a_key_has_two_secrets_at_most(gateway):
    first = gateway.create_key()
    second = rotate(gateway, first, {"grace": "1h"})
    third = rotate(gateway, first, {"grace": "1h"})
    assert [chat(gateway, key["key"]) for key in (first, second, third)] == [401, 200, 200]
    fourth = rotate(gateway, first)
    assert [chat(gateway, key["key"]) for key in (first, second, third, fourth)] == [401, 401, 401, 200]


def test_revoking_ends_both_secrets(gateway):
    key = gateway.create_key()
    new = rotate(gateway, key, {"grace": "1h"})
    gateway.api("DELETE", f"/keys/{key['id']}")
    assert chat(gateway, key["key"]) == 401 and chat(gateway, new["key"]) == 401
    answer = gateway.api("POST", f"/keys/{key['id']}/rotate", {"grace": "1h"}, expect=(409,))
    assert answer["error"]["code"] == "key_revoked"
    assert chat(gateway, new["key"]) == 401 and listed(gateway, key)["previous_expires_at"] is None


def test_both_secrets_survive_a_restart_and_a_lost_store(make_gateway):
    gateway = make_gateway().start()
    key = gateway.create_key()
    new = rotate(gateway, key, {"grace": "1h"})
    gateway.kill()
    gateway.start()
    assert chat(gateway, key["key"]) == 200 and chat(gateway, new["key"]) == 200
    gateway.kill()
    for path in (gateway.directory / "data").glob("martlet.db*"):
        path.unlink()
    (gateway.directory / "data" / "martlet.db").mkdir()
    gateway.start()
    assert chat(gateway, key["key"]) == 200 and chat(gateway, new["key"]) == 200, "the last snapshot on disk knows both"


def test_a_rotation_in_the_store_is_in_force_within_a_second(make_gateway):
    """Another process writes the same tables, as another gateway's command would."""
    import sqlite3

    gateway = make_gateway().start()
    first, second = gateway.create_key(), gateway.create_key()
    with sqlite3.connect(gateway.directory / "data" / "martlet.db") as store:
        # The second key's secret becomes the first key's former one.
        (stolen,) = store.execute("SELECT hash FROM api_keys WHERE id = ?", (second["id"],)).fetchone()
        store.execute("UPDATE api_keys SET hash = randomblob(32) WHERE id = ?", (second["id"],))
        store.execute(
            "UPDATE api_keys SET previous_hash = ?, previous_expires_at = 4000000000000000 WHERE id = ?", (stolen, first["id"])
        )
    store.close()
    wait_until(
        lambda: gateway.request("POST", "/v1/chat/completions", CHAT, key=second["key"], headers={"x-request-id": "moved"}).status == 200
        and gateway.row("moved")["key_id"] == first["id"],
        2,
        "the change is seen",
    )


def test_whoever_may_make_keys_cannot_take_over_one_that_may_more(gateway):
    maker = gateway.create_key(rights=["keys"])["key"]
    admin, plain = gateway.create_key(rights=["admin"]), gateway.create_key()
    answer = http_request(gateway.port, "POST", f"/api/v1/keys/{admin['id']}/rotate", {}, key=maker)
    assert answer.status == 403 and gateway.request("GET", "/api/v1/keys", key=admin["key"]).status == 200
    assert http_request(gateway.port, "POST", f"/api/v1/keys/{plain['id']}/rotate", {}, key=maker).status == 200
    assert http_request(gateway.port, "POST", f"/api/v1/keys/{plain['id']}/rotate", {}, key=plain["key"]).status in (401, 403)


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("key_admin", {"grace": "1h"}, 409, "key_is_configured"),
        ("key_nobody", {}, 404, "key_not_found"),
        (None, {"grace": "soon"}, 400, "invalid_value"),
        (None, {"grace": -1}, 400, "invalid_value"),
        (None, {"grace": "400d"}, 400, "invalid_value"),
        (None, {"grace": True}, 400, None),
        (None, {"grave": "1h"}, 400, "unknown_parameter"),
    ],
)
def test_what_cannot_be_rotated_is_refused_with_the_reason(gateway, path, body, status, code):
    key = gateway.create_key()
    answer = gateway.request("POST", f"/api/v1/keys/{path or key['id']}/rotate", body, key=ADMIN_KEY)
    assert answer.status == status
    if code:
        assert answer.json()["error"]["code"] == code
    if path == "key_admin":
        assert "MARTLET_ADMIN_KEY" in answer.json()["error"]["message"]
    assert chat(gateway, key["key"]) == 200


def test_the_command_line_rotates(gateway):
    key = gateway.create_key()
    environment = {"MARTLET_ADMIN_KEY": ADMIN_KEY}
    done = run_cli("keys", "rotate", key["id"], "--grace", "24h", "--url", gateway.url, "--json", environment=environment)
    assert done.returncode == 0, done.stderr
    new = json.loads(done.stdout)
    assert chat(gateway, key["key"]) == 200 and chat(gateway, new["key"]) == 200
    done = run_cli("keys", "rotate", key["id"], "--url", gateway.url, environment=environment)
    secret = re.findall(r"mk_[0-9A-Za-z]{38}", done.stdout)
    assert done.returncode == 0 and len(secret) == 1 and "has ended" in done.stderr
    assert [chat(gateway, text) for text in (key["key"], new["key"], secret[0])] == [401, 401, 200]
    assert run_cli("keys", "rotate", key["id"], "--grace", "soon", "--url", gateway.url, environment=environment).returncode == 64
