"""Announcements say what happened, and never with what."""

import msgspec
from whimbrel.broker.announce import (
    execution_announcement,
    instance_announcement,
    key_announcement,
    rule_announcement,
)
from whimbrel.bus import Announcement
from whimbrel.bus.subjects import is_announced
from whimbrel.model import SYSTEM_SCOPE, KeyValue, LogEntry, Status, TriggerInstance

from tests.unit.broker.test_views import NOW, execution


def read(announcement: Announcement) -> dict[str, object]:
    """Return the CloudEvent, having checked what all announcements share."""
    event: dict[str, object] = msgspec.json.decode(announcement.data)
    assert is_announced(announcement.subject)
    assert b"canary" not in announcement.data
    assert ("1.0", announcement.message_id) == (event["specversion"], event["id"])
    return event


def test_an_execution_is_announced_by_its_state() -> None:
    """Subject and id hold the state that was entered; parameters, result and context do not appear."""
    ended = execution(
        Status.FAILED,
        parameters={"x": "canary"},
        result=msgspec.Raw(b'{"stdout":"canary"}'),
        context={"user": "u", "secret": "canary"},
        log=(LogEntry(Status.REQUESTED, NOW), LogEntry(Status.FAILED, NOW)),
    )
    announcement = execution_announcement(ended)
    event = read(announcement)

    assert "whimbrel.execution.failed.p.a" == announcement.subject
    assert f"{ended.id}.2.failed" == announcement.message_id
    assert ("whimbrel.execution", NOW) == (event["type"], event["time"])


def test_each_state_of_an_execution_has_an_id_of_its_own() -> None:
    """The same state announced again has the same id; another state another."""
    running = execution(log=(LogEntry(Status.REQUESTED, NOW), LogEntry(Status.RUNNING, NOW)))
    again = execution_announcement(running).message_id
    assert again == execution_announcement(running).message_id
    assert again != execution_announcement(execution()).message_id


def test_an_instance_is_announced_without_its_payload() -> None:
    """The trigger and the instance are named; the payload stays in the store."""
    instance = TriggerInstance(
        id="c" * 24,
        trigger="core.some-uuid",
        trigger_type="core.st2.webhook",
        payload={"body": "canary"},
        occurrence_time=NOW,
    )
    announcement = instance_announcement(instance)
    event = read(announcement)

    assert "whimbrel.trigger.core.st2.webhook" == announcement.subject
    assert instance.id == event["data"]["trigger_instance_id"]  # type: ignore[index]  # JSON


def test_a_key_is_announced_without_its_value() -> None:
    """Name and scope of a datastore item are told; its value never, secret or not."""
    item = KeyValue(id="i", uid="u", name="a name with.dots", value="canary", scope=SYSTEM_SCOPE)
    event = read(key_announcement(item, "update", message_id="m", time=NOW))
    assert "a name with.dots" == event["data"]["name"]  # type: ignore[index]  # JSON


def test_a_rule_is_announced_by_its_change() -> None:
    """The subject names the change and the rule."""
    announcement = rule_announcement("p.r", "create", message_id="m", time=NOW)
    read(announcement)
    assert "whimbrel.rule.create.p.r" == announcement.subject
