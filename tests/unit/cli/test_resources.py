"""List, get, create, update, delete: requests and what is shown."""

import json
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Whimbrel
from tests.unit.cli.documents import ACTION, KEY, RULE
from tests.unit.cli.served import Reply, Served

NOT_FOUND = Reply({"faultstring": "not there"}, 404)


def test_one_object_is_a_property_table(server: Served, whimbrel: Whimbrel) -> None:
    """What is absent is an empty cell; moments are shown as people read them."""
    server.on("GET", "/api/v1/keys/k", Reply({**KEY, "expire_timestamp": "2023-11-14T22:10:00Z"}))

    assert whimbrel("key", "get", "k").output == (
        "+------------------+-------------------------------+\n"
        "| Property         | Value                         |\n"
        "+------------------+-------------------------------+\n"
        "| name             | k                             |\n"
        "| value            | v                             |\n"
        "| secret           | False                         |\n"
        "| encrypted        | False                         |\n"
        "| scope            | st2kv.system                  |\n"
        "| expire_timestamp | Tue, 14 Nov 2023 22:10:00 UTC |\n"
        "+------------------+-------------------------------+\n"
    )


def test_json_is_indented_and_sorted_and_has_no_nulls(server: Served, whimbrel: Whimbrel) -> None:
    """Programs get the chosen attributes that have a value."""
    server.on("GET", "/api/v1/keys/k", Reply({**KEY, "expire_timestamp": None, "uid": "u"}))

    assert whimbrel("key", "get", "k", "-j").output == (
        "{\n"
        '    "encrypted": false,\n'
        '    "name": "k",\n'
        '    "scope": "st2kv.system",\n'
        '    "secret": false,\n'
        '    "value": "v"\n'
        "}\n"
    )


def test_yaml_is_in_block_style(server: Served, whimbrel: Whimbrel) -> None:
    """Inner values are indented by four; text of several lines stays readable."""
    server.on("GET", "/api/v1/actions/a", Reply({"tags": [{"name": "x"}], "description": "a\nb"}))

    assert (
        whimbrel("action", "get", "a", "-y").output
        == "description: |-\n    a\n    b\ntags:\n-   name: x\n"
    )


def test_a_list_is_a_table_of_the_usual_columns(server: Served, whimbrel: Whimbrel) -> None:
    """The server is asked for the shown attributes alone."""
    server.on("GET", "/api/v1/actions", Reply([ACTION]))

    outcome = whimbrel("action", "list", "-p", "core")

    assert outcome.output == (
        "+------------+------+-----------------+\n"
        "| ref        | pack | description     |\n"
        "+------------+------+-----------------+\n"
        "| core.local | core | Runs a command. |\n"
        "+------------+------+-----------------+\n"
    )
    assert (server.requests[0].query) == {
        "include_attributes": "ref,pack,description",
        "pack": "core",
    }


def test_attributes_are_chosen_by_dotted_paths(server: Served, whimbrel: Whimbrel) -> None:
    """Chosen attributes are nested in JSON as in the document."""
    server.on("GET", "/api/v1/rules", Reply([RULE]))

    outcome = whimbrel("rule", "list", "-j", "-a", "ref", "trigger.parameters.url")

    assert outcome.json() == [{"ref": "default.r", "trigger": {"parameters": {"url": "u"}}}]
    assert server.requests[0].query["include_attributes"] == "ref,trigger.parameters.url"


def test_all_attributes_are_asked_for_without_a_choice(server: Served, whimbrel: Whimbrel) -> None:
    """`-a all` shows whole documents."""
    server.on("GET", "/api/v1/rules", Reply([RULE]))

    assert whimbrel("rule", "list", "-j", "-a", "all").json() == [RULE]
    assert "include_attributes" not in server.requests[0].query


def test_an_empty_list_says_so(server: Served, whimbrel: Whimbrel) -> None:
    """People read a sentence, programs an empty list."""
    server.on("GET", "/api/v1/actions", Reply([]))

    assert whimbrel("action", "list").output == "No matching items found\n"
    assert whimbrel("action", "list", "-j").json() == []


def test_more_than_are_shown_is_noted_on_stderr(server: Served, whimbrel: Whimbrel) -> None:
    """The answer stays clean; the note tells how to see more."""
    server.on("GET", "/api/v1/keys", Reply([KEY, KEY], headers={"X-Total-Count": "3"}))

    outcome = whimbrel("key", "list", "-n", "2", "-j")

    assert len(outcome.json()) == 2
    assert (
        "| Note: Only first 2 key value pairs are displayed. Use -n/--last flag" in outcome.errors
    )
    assert server.requests[0].query == {"limit": "2", "scope": "all"}


def test_rules_by_trigger_and_action(server: Served, whimbrel: Whimbrel) -> None:
    """--iftt shows what a rule connects; --disabled asks for those alone."""
    server.on("GET", "/api/v1/rules", Reply([RULE]))

    outcome = whimbrel("rule", "list", "--iftt", "--disabled", "-c", "core.noop")

    assert "| default.r | core.x      | core.noop  | True    |" in outcome.output
    query = server.requests[0].query
    assert (query["enabled"], query["action"]) == ("false", "core.noop")


def test_a_webhook_shows_its_address(server: Served, whimbrel: Whimbrel) -> None:
    """The url of a webhook stands in its parameters; its name may hold slashes."""
    hook = {"type": "core.st2.webhook", "parameters": {"url": "a/b"}}
    server.on("GET", "/api/v1/webhooks", Reply([hook]))
    server.on("GET", "/api/v1/webhooks/a/b", Reply(hook))

    assert whimbrel("webhook", "list", "-j").json() == [{"url": "a/b", "type": "core.st2.webhook"}]
    assert hook == whimbrel("webhook", "get", "a/b", "-j").json()


def test_one_that_is_missing_exits_1_and_several_are_shown_without_it(
    server: Served, whimbrel: Whimbrel
) -> None:
    """The missing one is named; the others are shown all the same."""
    server.on("GET", "/api/v1/keys/k", Reply(KEY))

    alone = whimbrel("key", "get", "nope")
    several = whimbrel("key", "get", "nope", "k", "-j")

    assert alone[:3] == (1, "", 'Key Value Pair "nope" is not found.\n')
    assert several.code == 0
    assert several.json()["name"] == "k"


def test_create_sends_the_file(server: Served, whimbrel: Whimbrel, tmp_path: Path) -> None:
    """JSON and YAML files are sent alike, and the new object is shown."""
    server.on("POST", "/api/v1/rules", Reply(RULE, 201))
    for name, text in (("r.json", '{"name": "r", "n": 1}'), ("r.yaml", "name: r\nn: 1\n")):
        (tmp_path / name).write_text(text)

        outcome = whimbrel("rule", "create", str(tmp_path / name), "-j")

        assert outcome.json() == RULE
        assert server.requests[-1].document() == {"name": "r", "n": 1}


def test_a_refused_create_exits_2(server: Served, whimbrel: Whimbrel, tmp_path: Path) -> None:
    """Scripts tell a refused change from other errors."""
    server.on("POST", "/api/v1/rules", Reply({"faultstring": "taken"}, 409))
    (tmp_path / "r.yaml").write_text("name: r\n")

    outcome = whimbrel("rule", "create", str(tmp_path / "r.yaml"))

    assert (
        outcome.code,
        outcome.errors,
    ) == (2, "ERROR: 409 Client Error: Conflict\nMESSAGE: taken\n")


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("missing.yaml", None, "missing.yaml"),
        ("bad.json", "{", "is not JSON"),
        ("bad.yaml", "a: [", "neither JSON nor YAML"),
        ("list.yaml", "- 1", "must hold one mapping, got list"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_before_anything_is_sent(
    name: str, text: str | None, told: str, server: Served, whimbrel: Whimbrel, tmp_path: Path
) -> None:
    """The message names the file and what is wrong with it."""
    if text is not None:
        (tmp_path / name).write_text(text)

    outcome = whimbrel("rule", "create", str(tmp_path / name))

    assert outcome.code == 1
    assert told in outcome.errors
    assert server.requests == []


def test_update_keeps_the_id(server: Served, whimbrel: Whimbrel, tmp_path: Path) -> None:
    """The object is looked up by its name and replaced under its id."""
    server.on("GET", "/api/v1/rules/default.r", Reply(RULE))
    server.on("PUT", f"/api/v1/rules/{RULE['id']}", Reply(RULE))
    (tmp_path / "r.yaml").write_text("name: r\n")

    assert whimbrel("rule", "update", "default.r", str(tmp_path / "r.yaml")).code == 0
    assert {"name": "r", "id": RULE["id"]} == server.requests[-1].document()


@pytest.mark.parametrize(("verb", "enabled"), [("enable", True), ("disable", False)])
def test_switching_sends_the_whole_object_back(
    verb: str, enabled: bool, server: Served, whimbrel: Whimbrel
) -> None:
    """Only `enabled` is another; the reference is left out, as the server derives it."""
    server.on("GET", "/api/v1/rules/default.r", Reply(RULE))
    server.on("PUT", f"/api/v1/rules/{RULE['id']}", Reply(RULE))

    assert whimbrel("rule", verb, "default.r").code == 0
    expected = {name: value for name, value in RULE.items() if name != "ref"}
    assert {**expected, "enabled": enabled} == server.requests[-1].document()


def test_delete_says_that_it_is_done(server: Served, whimbrel: Whimbrel) -> None:
    """A deleted object is named; one that is missing exits with 2."""
    server.on("DELETE", "/api/v1/keys/k", Reply(status=204), NOT_FOUND)

    done, missing = whimbrel("key", "delete", "k", "-s", "user"), whimbrel("key", "delete", "k")

    assert done[:2] == (0, 'Resource with id "k" has been successfully deleted.\n')
    assert missing[:3] == (2, "", 'Key Value Pair "k" is not found.\n')
    assert [request.query["scope"] for request in server.requests] == ["user", "system"]


def test_deleting_an_action_that_is_missing_is_no_error(server: Served, whimbrel: Whimbrel) -> None:
    """Scripts that clean up rely on it."""
    server.on("DELETE", "/api/v1/actions/a", NOT_FOUND)

    outcome = whimbrel("action", "delete", "-r", "a")

    assert (outcome.code, outcome.errors) == (0, 'Action "a" is not found.\n')
    assert server.requests[0].document() == {"remove_files": True}


@pytest.mark.parametrize(
    ("words", "typed", "overwrite"),
    [([], "n\n", None), ([], "y\n", True), (["--force"], "", True)],
)
def test_cloning_onto_an_action_asks_first(
    words: list[str], typed: str, overwrite: bool | None, server: Served, whimbrel: Whimbrel
) -> None:
    """Without a yes nothing is replaced; --force is a yes."""
    server.on("GET", "/api/v1/actions/core.local", Reply(ACTION))
    server.on("GET", "/api/v1/actions/default.x", Reply(ACTION))
    server.on("POST", "/api/v1/actions/core.local/clone", Reply(ACTION, 201))

    outcome = whimbrel("action", "clone", "core.local", "default", "x", *words, typed=typed)

    assert outcome.code == 0
    sent = [request.document() for request in server.requests if request.method == "POST"]
    if overwrite is None:
        assert "Action is not cloned." in outcome.output
        assert sent == []
    else:
        assert [{"dest_pack": "default", "dest_action": "x", "overwrite": overwrite}] == sent


def test_names_are_quoted_in_addresses(server: Served, whimbrel: Whimbrel) -> None:
    """A name cannot reach another path."""
    whimbrel("key", "get", "a/../b?c d")

    assert server.requests[0].path == "/api/v1/keys/a%2F..%2Fb%3Fc%20d"


def test_output_is_json_that_python_reads_back(server: Served, whimbrel: Whimbrel) -> None:
    """Text beyond ASCII stays as it is."""
    server.on("GET", "/api/v1/keys/k", Reply({**KEY, "value": 'é"世\n'}))

    outcome = whimbrel("key", "get", "k", "-j")

    assert json.loads(outcome.output)["value"] == 'é"世\n'
    assert "世" in outcome.output
