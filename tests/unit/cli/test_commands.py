"""The commands with a way of their own: keys, API keys, packs, triggers, traces, status."""

from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.conftest import Whimbrel
from tests.unit.cli.documents import KEY, TRACE
from tests.unit.cli.served import Reply, Request, Served


def stored(request: Request) -> Reply:
    """Answer as the datastore does."""
    item = request.document()
    return Reply({"name": item["name"], "value": item["value"], "scope": "st2kv.system"})


# ------------------------------------------------------------------ key
def test_setting_a_key_sends_all_that_is_said_of_it(server: Served, whimbrel: Whimbrel) -> None:
    """Secret, life, scope and user are told; the answer is a table."""
    server.on("PUT", "/api/v1/keys/k", stored)

    outcome = whimbrel("key", "set", "k", "v", "-e", "-l", "60", "-s", "user", "-u", "bob")

    assert "| expire_timestamp |" in outcome.output
    assert server.requests[0].document() == {
        "name": "k",
        "value": "v",
        "scope": "user",
        "user": "bob",
        "secret": True,
        "ttl": 60,
    }


@pytest.mark.parametrize("words", [[], ["-"]])
def test_a_value_can_be_read_from_standard_input(
    words: list[str], server: Served, whimbrel: Whimbrel
) -> None:
    """A secret need not stand on the command line, where others can see it."""
    server.on("PUT", "/api/v1/keys/k", stored)

    whimbrel("key", "set", "k", *words, typed="from stdin")

    assert server.requests[0].document()["value"] == "from stdin"


def test_loading_keys_checks_all_before_it_stores_any(
    server: Served, whimbrel: Whimbrel, tmp_path: Path
) -> None:
    """A value that is no text is refused, or stored as JSON with -c."""
    server.on("PUT", "/api/v1/keys/a", stored)
    server.on("PUT", "/api/v1/keys/b", stored)
    file = tmp_path / "k.yaml"
    file.write_text("- {name: a, value: x, ttl: 5}\n- {name: b, value: {n: 1}}\n")

    refused = whimbrel("key", "load", str(file))
    assert refused.code == 1
    assert "Item 'b' has a value that is not a string" in refused.errors
    assert server.requests == []

    loaded = whimbrel("key", "load", "-c", str(file), "-j")
    assert [item["value"] for item in loaded.json()] == ["x", '{"n": 1}']
    assert (server.requests[0].document()) == {
        "name": "a",
        "value": "x",
        "ttl": 5,
        "scope": "system",
    }


def test_deleting_by_prefix_names_what_was_deleted(server: Served, whimbrel: Whimbrel) -> None:
    """One that has gone in the meantime is as good as deleted."""
    server.on("GET", "/api/v1/keys", Reply([{**KEY, "name": "pa"}, {**KEY, "name": "pb"}]))
    server.on("DELETE", "/api/v1/keys/pa", Reply(status=204))

    outcome = whimbrel("key", "delete_by_prefix", "-p", "p")

    assert outcome[:2] == (0, "Deleted 2 keys\nDeleted key ids: pa, pb\n")
    assert whimbrel("key", "delete_by_prefix", "-p", "").code == 2


# ------------------------------------------------------------------ apikey
def test_an_api_key_is_made_with_its_metadata(server: Served, whimbrel: Whimbrel) -> None:
    """-k prints the key alone, for scripts."""
    made = {"id": "1", "key": "KEY", "user": "u", "metadata": {"a": 1}, "enabled": True}
    server.on("POST", "/api/v1/apikeys", Reply(made, 201))

    assert whimbrel("apikey", "create", "-m", '{"a": 1}', "-u", "u", "-k").output == "KEY\n"
    assert server.requests[0].document() == {"user": "u", "metadata": {"a": 1}}
    assert whimbrel("apikey", "create", "-m", "[1]").code == 2


def test_loading_api_keys_replaces_or_makes_them(
    server: Served, whimbrel: Whimbrel, tmp_path: Path
) -> None:
    """A key with an id that is not there is made; none is enabled unless the file says so."""
    document = {"id": "9", "user": "u", "key_hash": "h"}
    server.on("POST", "/api/v1/apikeys", Reply(document, 201))
    (tmp_path / "a.yaml").write_text("{id: '9', user: u, key_hash: h}")

    assert whimbrel("apikey", "load", str(tmp_path / "a.yaml")).code == 0
    assert server.calls() == ["PUT /api/v1/apikeys/9", "POST /api/v1/apikeys"]
    assert {**document, "enabled": False} == server.requests[1].document()


# ------------------------------------------------------------------ pack, trigger, trace
def test_registering_packs_shows_the_counts(server: Served, whimbrel: Whimbrel) -> None:
    """Packs and kinds are sent when they are named; a refusal exits with 2."""
    refusal = Reply({"faultstring": "no pack x"}, 400)
    server.on("POST", "/api/v1/packs/register", Reply({"actions": 2, "rules": 1}), refusal)

    outcome = whimbrel("pack", "register", "core", "--types", "actions", "rules", "-j")

    assert outcome.json() == {"actions": 2, "rules": 1}
    assert server.requests[0].document() == {"packs": ["core"], "types": ["actions", "rules"]}
    assert whimbrel("pack", "register", "x").code == 2


def test_an_event_can_be_made_to_happen_again(server: Served, whimbrel: Whimbrel) -> None:
    """The server's message is shown."""
    server.on("POST", "/api/v1/triggerinstances/1/re_emit", Reply({"message": "sent."}))

    assert whimbrel("trigger-instance", "re-emit", "1").output == "sent.\n"
    assert whimbrel("trigger-instance", "re-emit", "2").code == 1


def test_the_triggers_of_a_kind_are_listed(server: Served, whimbrel: Whimbrel) -> None:
    """Getspecs asks for the kind."""
    server.on("GET", "/api/v1/triggers", Reply([{"ref": "core.x", "type": "core.y"}]))

    assert "| core.x | core.y |" in whimbrel("trigger", "getspecs", "core.y").output
    assert server.requests[0].query == {"type": "core.y"}


def test_a_single_trace_is_shown_in_full(server: Served, whimbrel: Whimbrel) -> None:
    """What happened stands in a table below."""
    server.on("GET", "/api/v1/traces", Reply([TRACE]))

    assert (
        f"id: {TRACE['id']}\n"
        "trace_tag: tag\n"
        "start_timestamp: Tue, 14 Nov 2023 22:10:00 UTC\n"
        "+-----+------------------+------------+----------------------+\n"
        "| id  | type             | ref        | updated_at           |\n"
        "+-----+------------------+------------+----------------------+\n"
        "| ti1 | trigger-instance | core.x     | 2023-11-14T22:10:00Z |\n"
        "| ti2 | trigger-instance | core.x     | 2023-11-14T22:10:01Z |\n"
        "| ru  | rule             | default.r  | 2023-11-14T22:10:02Z |\n"
        "| ex  | execution        | core.local | 2023-11-14T22:10:03Z |\n"
        "+-----+------------------+------------+----------------------+\n"
    ) == whimbrel("trace", "list", "-c", "tag").output


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["--show-rules"], {"ru"}),
        (["--show-rules", "--show-executions"], {"ru", "ex"}),
        (["-n"], {"ti1", "ru", "ex"}),
        (["-g", "ti2"], {"ti2", "ru", "ex"}),
    ],
)
def test_parts_of_a_trace(
    words: list[str], shown: set[str], server: Served, whimbrel: Whimbrel
) -> None:
    """Flags choose kinds, single members, and events that had an effect."""
    server.on("GET", f"/api/v1/traces/{TRACE['id']}", Reply(TRACE))

    found: dict[str, Any] = whimbrel("trace", "get", TRACE["id"], "-j", *words).json()

    members = ("trigger_instances", "rules", "action_executions")
    assert shown == {item["object_id"] for name in members for item in found.get(name, [])}


# ------------------------------------------------------------------ status
STATUS = {
    "version": "0.1.0",
    "uptime_seconds": 93784,
    "ready": True,
    "bus": {"connected": True},
    "store": {"file_bytes": 3 << 20},
    "plugins": [{"name": "shell", "kind": "runner", "state": "ready", "pid": 7}],
}


def test_status_renders_whatever_the_broker_tells(server: Served, whimbrel: Whimbrel) -> None:
    """Inner values have dotted names, units are people's, lists of objects are tables."""
    server.on("GET", "/api/v1/status", Reply(STATUS))

    outcome = whimbrel("status")

    assert outcome.code == 0
    for line in (
        "| uptime_seconds   | 1d 2h 3m 4s",
        "| bus.connected    | yes",
        "| store.file_bytes | 3.0 MiB",
        "| shell | runner | ready | 7   |",
    ):
        assert line in outcome.output
    assert whimbrel("status", "-j").json() == STATUS


def test_status_of_a_broker_that_is_not_ready_exits_1(server: Served, whimbrel: Whimbrel) -> None:
    """Scripts can wait for it."""
    server.on("GET", "/api/v1/status", Reply({**STATUS, "ready": False}))

    assert whimbrel("status").code == 1


def test_status_of_another_server_says_so(whimbrel: Whimbrel) -> None:
    """A server without the endpoint is no broker of ours."""
    outcome = whimbrel("status")

    assert outcome.code == 1
    assert "is no Whimbrel broker" in outcome.errors


def test_plugins_are_listed_from_the_status(server: Served, whimbrel: Whimbrel) -> None:
    """The usual columns are those that the broker tells."""
    server.on("GET", "/api/v1/status", Reply(STATUS))

    assert (whimbrel("plugin", "list", "-j").json()) == [
        {"name": "shell", "kind": "runner", "state": "ready"}
    ]
