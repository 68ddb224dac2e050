"""Executions as clients see them."""

import asyncio
from typing import Any

import msgspec
import pytest
from whimbrel.broker.records import CONTENT_VERSIONS, ContentVersion
from whimbrel.broker.views import Versions, execution_document, masked_parameters, summary
from whimbrel.errors import Corrupt
from whimbrel.model import MASK, Execution, LogEntry, Status
from whimbrel.store.memory import MemoryStore

NOW = "2026-01-31T09:30:00.000000Z"
LATER = "2026-01-31T09:30:01.500000Z"
VERSION = ContentVersion(
    key="v",
    action={"ref": "p.a", "parameters": {"token": {"type": "string", "secret": True}, "x": {}}},
    runner={"name": "r", "runner_parameters": {"sudo_password": {"secret": True}}},
)


def execution(status: Status = Status.RUNNING, **fields: Any) -> Execution:
    """Return an execution of `p.a`."""
    made = Execution(
        id="a" * 24,
        liveaction_id="b" * 24,
        action_ref="p.a",
        action_version="v",
        runner_type="r",
        status=status,
        start_timestamp=NOW,
        context={"user": "u"},
        log=(LogEntry(Status.REQUESTED, NOW),),
    )
    return msgspec.structs.replace(made, **fields)


def test_secrets_of_action_and_runner_are_masked_everywhere() -> None:
    """A secret parameter of either is masked in the parameters and in the liveaction's."""
    given = {"token": "canary", "sudo_password": "canary", "x": "plain"}
    document = execution_document(execution(parameters=given), VERSION)

    masked = {"token": MASK, "sudo_password": MASK, "x": "plain"}
    assert (masked, masked) == (document["parameters"], document["liveaction"]["parameters"])
    assert b"canary" not in msgspec.json.encode(document)


def test_who_may_see_secrets_sees_them() -> None:
    """Asked for secrets, the document has the values."""
    document = execution_document(
        execution(parameters={"token": "canary"}), VERSION, show_secrets=True
    )
    assert "canary" == document["parameters"]["token"]


def test_the_mask_says_nothing_of_the_value() -> None:
    """Values of any kind are masked alike; only one that is not there shows as such."""
    schema = {name: {"secret": True} for name in "abcd"}
    given: dict[str, Any] = {"a": "", "b": 0, "c": {"deep": ["canary"]}, "d": None}
    assert {"a": MASK, "b": MASK, "c": MASK, "d": None} == masked_parameters(given, schema)


def test_an_ended_execution_shows_its_result_and_duration() -> None:
    """Result, end and elapsed seconds are there when it has ended, and not before."""
    ended = execution(
        Status.SUCCEEDED, end_timestamp=LATER, result=msgspec.Raw(b'{"n":0}'), result_size=7
    )
    document = execution_document(ended, VERSION)
    assert ({"n": 0}, 1.5) == (document["result"], document["elapsed_seconds"])

    running = execution_document(execution(), VERSION)
    assert not {"result", "elapsed_seconds", "end_timestamp"} & running.keys()


def test_a_result_that_is_false_or_nothing_much_is_shown() -> None:
    """Zero and false are results and are not left out as empty values are."""
    for text in (b"0", b"false"):
        shown = execution_document(execution(Status.SUCCEEDED, result=msgspec.Raw(text)), VERSION)
        assert "result" in shown


def test_the_summary_has_neither_parameters_nor_result() -> None:
    """What is announced of an execution names it and its state, and nothing it was given or made."""
    secretive = execution(
        parameters={"x": "canary"},
        result=msgspec.Raw(b'"canary"'),
        context={"user": "u", "note": "canary"},
        notify={"on-success": {"message": "canary"}},
        callback={"source": "canary"},
    )
    told = summary(secretive)
    assert b"canary" not in msgspec.json.encode(told)
    assert ("p.a", "running", "u") == (told["action"], told["status"], told["user"])


def test_a_version_that_is_gone_is_damage() -> None:
    """An execution whose documents are not in the store cannot be shown; nothing is guessed."""
    with pytest.raises(Corrupt, match="content version gone"):
        Versions(MemoryStore()).get("gone")


def test_a_stored_version_is_read_once() -> None:
    """The documents of a version come from the store the first time, from memory after."""

    async def scenario() -> None:
        store = MemoryStore()
        await store.commit([CONTENT_VERSIONS.put(VERSION)])
        versions = Versions(store)
        assert not versions.is_stored(VERSION)
        assert VERSION == versions.get("v")
        assert versions.is_stored(VERSION)
        assert versions.get("v") is versions.get("v")

    asyncio.run(scenario())
