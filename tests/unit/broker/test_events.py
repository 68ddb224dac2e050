"""Events on their way in: one commit, once, with what the rules made of them."""

import asyncio
from typing import Any

import pytest
from whimbrel import errors
from whimbrel.broker.events import Limits
from whimbrel.broker.records import INSTANCES
from whimbrel.model import Event

from tests.unit.broker.application import Application, drive


def hook(n: int = 1, *, url: str = "hook", event_id: str = "") -> Event:
    """Return a webhook's event as a publisher sends it."""
    payload = {"headers": {}, "headers_lower": {}, "body": {"n": n}}
    return Event(
        trigger="core.st2.webhook",
        parameters={"url": url},
        payload=payload,
        event_id=event_id,
    )


def test_instance_execution_and_announcements_are_one_commit() -> None:
    """An accepted event and everything that follows from it become durable together."""

    async def scenario(app: Application) -> None:
        await app.add_rule()
        ingested = await app.events.ingest(hook(event_id="e1"))

        assert [
            "content_version",
            "execution",
            "outbox",
            "rule_enforcement",
            "seen_event",
            "trace",
            "trigger_instance",
        ] == app.store.tables_of(0)
        (execution_id,) = ingested.execution_ids
        instance = app.events.instance(ingested.trigger_instance_id)
        assert {"n": 1} == instance.payload["body"]
        (enforcement,), _ = app.events.enforcements(trigger_instance=instance.id)
        assert ("succeeded", execution_id) == (enforcement.status, enforcement.execution_id)
        trace = app.events.trace(ingested.trace_id)
        assert [execution_id] == [link.object_id for link in trace.action_executions]
        assert "succeeded" == (await app.ended(execution_id)).status

    drive(scenario)


def test_a_repeated_event_id_has_no_second_effect() -> None:
    """The same event id gives the first instance again; another one is another event."""

    async def scenario(app: Application) -> None:
        await app.add_rule()
        first = await app.events.ingest(hook(event_id="e1"))
        again = await app.events.ingest(hook(event_id="e1"))
        other = await app.events.ingest(hook(event_id="e2"))

        assert (True, first.trigger_instance_id) == (again.duplicate, again.trigger_instance_id)
        assert first.trace_id == again.trace_id
        assert not other.duplicate
        assert 2 == app.store.count(INSTANCES.name)

    drive(scenario)


def test_one_event_id_sent_twice_at_once_is_accepted_once() -> None:
    """Of equal events that race each other one wins, and the others are its duplicates."""

    async def scenario(app: Application) -> None:
        await app.add_rule()
        async with asyncio.TaskGroup() as tasks:
            racing = [tasks.create_task(app.events.ingest(hook(event_id="e"))) for _ in range(8)]
        results = [task.result() for task in racing]

        assert 1 == len([r for r in results if not r.duplicate])
        assert 1 == len({r.trigger_instance_id for r in results})
        assert 1 == app.store.count("execution")

    drive(scenario)


def test_an_event_id_belongs_to_its_trigger() -> None:
    """Two hooks may use the same event id for different events."""

    async def scenario(app: Application) -> None:
        await app.add_rule("a", "one")
        await app.add_rule("b", "two")
        await app.events.ingest(hook(url="one", event_id="e"))

        assert not (await app.events.ingest(hook(url="two", event_id="e"))).duplicate

    drive(scenario)


def test_a_rule_that_cannot_be_evaluated_leaves_a_failed_enforcement() -> None:
    """A broken criterion is recorded with its reason; other rules of the event still run."""

    async def scenario(app: Application) -> None:
        await app.add_rule("good")
        criteria = {"trigger.body.n": {"type": "inside", "pattern": "{{ nobody.knows.this }}"}}
        await app.add_rule("broken", criteria=criteria)
        ingested = await app.events.ingest(hook())

        assert 1 == len(ingested.execution_ids)
        (failed,), _ = app.events.enforcements(rule_ref="default.broken")
        assert "failed" == failed.status
        assert failed.failure_reason
        assert failed.execution_id is None

    drive(scenario)


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        ({"ref": "nowhere.to_be_found"}, "nowhere.to_be_found"),
        ({"ref": "core.local", "parameters": {"cmd": "{{ trigger.body.gone }}"}}, "cmd"),
        ({"ref": "core.local", "parameters": {"timeout": "soon"}}, "soon"),
        ({"ref": "core.local", "parameters": {"kmd": "date"}}, "kmd"),
    ],
)
def test_a_rule_whose_action_is_refused_leaves_a_failed_enforcement(
    action: dict[str, Any], reason: str
) -> None:
    """The event is accepted though the rule's action does not exist or its parameters do not fit."""

    async def scenario(app: Application) -> None:
        await app.add_rule(action=action)
        ingested = await app.events.ingest(hook())

        assert () == ingested.execution_ids
        (failed,), _ = app.events.enforcements()
        assert "failed" == failed.status
        assert reason in (failed.failure_reason or "")
        assert 0 == app.store.count("execution")

    drive(scenario)


def test_a_refused_secret_is_not_told_in_the_enforcement() -> None:
    """The reason why a secret parameter does not fit never holds its value."""

    async def scenario(app: Application) -> None:
        parameters = {"cmd": "date", "sudo_password": ["canary"]}
        await app.add_rule(action={"ref": "core.local", "parameters": parameters})
        await app.events.ingest(hook())

        (failed,), _ = app.events.enforcements()
        assert "sudo_password" in (failed.failure_reason or "")
        assert "canary" not in (failed.failure_reason or "")

    drive(scenario)


def test_an_unknown_trigger_is_refused() -> None:
    """An event of a trigger that nobody declared is not stored, and the trigger is named."""

    async def scenario(app: Application) -> None:
        with pytest.raises(errors.NotFound, match=r"nobody\.knows"):
            await app.events.ingest(Event(trigger="nobody.knows", payload={}))
        with pytest.raises(errors.NotFound, match="elsewhere"):
            await app.events.ingest(hook(url="elsewhere"))
        with pytest.raises(errors.NotFound, match="elsewhere"):
            await app.events.webhook("elsewhere", body={}, headers={})

        assert [] == app.store.commits

    drive(scenario)


def test_the_payload_limit_is_exact() -> None:
    """A payload of the limit is accepted; one byte more is refused, naming limit and size."""
    payload = {"text": "x" * 90}

    async def accepted(app: Application) -> None:
        event = Event(trigger="core.st2.generic.notifytrigger", payload=payload)
        await app.events.ingest(event)

    async def refused(app: Application) -> None:
        event = Event(trigger="core.st2.generic.notifytrigger", payload=payload)
        with pytest.raises(
            errors.LimitExceeded, match="max_payload_bytes is limited to 100, got 101"
        ):
            await app.events.ingest(event)

    drive(accepted, lambda: Application(limits=Limits(payload_bytes_max=101)))
    drive(refused, lambda: Application(limits=Limits(payload_bytes_max=100)))


def test_the_limit_of_matches_is_told() -> None:
    """An event that more rules match than one commit can hold is refused by name, and not stored."""

    async def scenario(app: Application) -> None:
        for number in range(4):
            await app.add_rule(f"r{number}")
        with pytest.raises(errors.LimitExceeded, match=r"rules that match one event.* 3, got 4"):
            await app.events.ingest(hook())

        assert [] == app.store.commits

    drive(scenario, lambda: Application(limits=Limits(matches_max=3)))


def test_the_default_limit_of_matches_fits_into_a_commit() -> None:
    """As many rules as the default limit allows can match one event."""

    async def scenario(app: Application) -> None:
        for number in range(Limits().matches_max):
            await app.add_rule(f"r{number}")
        ingested = await app.events.ingest(hook(event_id="e"))

        assert Limits().matches_max == len(ingested.execution_ids)

    drive(scenario)


def test_a_webhooks_credentials_are_not_kept() -> None:
    """Headers that log a caller in are in no trigger instance; others are, under both spellings."""

    async def scenario(app: Application) -> None:
        await app.add_rule()
        credentials = {
            "X-Auth-Token": "canary",
            "St2-Api-Key": "canary",
            "Authorization": "Bearer canary",
            "Proxy-Authorization": "Basic canary",
            "Cookie": "auth-token=canary",
        }
        headers = {**credentials, "X-Github-Event": "push"}
        ingested = await app.events.webhook("hook", body={"n": 1}, headers=headers)

        payload = app.events.instance(ingested.trigger_instance_id).payload
        assert {"X-Github-Event": "push"} == payload["headers"]
        assert {"x-github-event": "push"} == payload["headers_lower"]

    drive(scenario)


def test_an_instance_is_sent_through_the_rules_again() -> None:
    """A re-emitted instance is a new one that names the former, and matches like it."""

    async def scenario(app: Application) -> None:
        await app.add_rule()
        former = (await app.events.ingest(hook(event_id="e"))).trigger_instance_id
        again = await app.events.re_emit(former)

        assert former != again.id
        assert {"original_id": former} == again.payload["__context"]
        found, _ = app.executions.find(trigger_instance=again.id)
        assert 1 == len(found)

    drive(scenario)


def test_re_emitting_what_is_not_there_is_refused() -> None:
    """An unknown instance is named."""

    async def scenario(app: Application) -> None:
        with pytest.raises(errors.NotFound, match="abc"):
            await app.events.re_emit("abc")

    drive(scenario)


def test_instances_are_found_by_what_is_asked() -> None:
    """Listings filter by trigger, type, time and status, and page newest first."""

    async def scenario(app: Application) -> None:
        await app.add_rule("a", "one")
        await app.add_rule("b", "two")
        for number in range(3):
            app.clock.advance(1)
            await app.events.ingest(hook(number, url="one"))
        await app.events.ingest(hook(9, url="two"))
        ref = app.content.webhook("one").ref

        found, total = app.events.instances(trigger=ref, limit=2)
        assert ([2, 1], 3) == ([i.payload["body"]["n"] for i in found], total)
        found, total = app.events.instances(trigger_type="core.st2.webhook", limit=-1)
        assert (4, 4) == (len(found), total)
        late = app.events.instances(timestamp_gt="2026-01-31T09:30:02.500000Z")
        assert 2 == late[1]
        assert 0 == app.events.instances(status="processing_failed")[1]

    drive(scenario)
