"""The way in: an event becomes a trigger instance, and what the rules make of it, in one commit.

The source is answered only after that commit. So an acknowledged event has exactly one trigger
instance and one execution per matching rule, whatever dies next; a seen event id has no second effect.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import structlog

from whimbrel import errors, rules
from whimbrel.broker.announce import instance_announcement
from whimbrel.broker.content import Content
from whimbrel.broker.executions import Draft, Executions, Origin
from whimbrel.broker.outbox import Outbox
from whimbrel.broker.records import ENFORCEMENTS, INSTANCES, SEEN_EVENTS, TRACES, SeenEvent
from whimbrel.bus import Announcement
from whimbrel.expr import KeyReader
from whimbrel.model import (
    Event,
    ExecutionRequest,
    Ingested,
    Rule,
    RuleEnforcement,
    Trace,
    TraceLink,
    Trigger,
    TriggerInstance,
    timestamp,
)
from whimbrel.seams import Clock, Ids
from whimbrel.store import Op, RevisionConflict, Store

WEBHOOK_TYPE = "core.st2.webhook"
CREDENTIAL_HEADERS = frozenset(
    {"authorization", "cookie", "proxy-authorization", "st2-api-key", "x-auth-token"}
)
SCAN_LIMIT = 10_000

log = structlog.get_logger(__name__)


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one event may bring."""

    payload_bytes_max: int = 1024 * 1024
    matches_max: int = 300
    """Rules of which something has to be written; what follows from them is one commit of the store."""


class _Outcome(msgspec.Struct):
    """What the rules made of one event, on its way into a commit."""

    instance: TriggerInstance
    trace: Trace
    ops: list[Op]
    announcements: list[Announcement]
    drafts: list[Draft]


class Events:
    """Accepts events and answers questions about them."""

    def __init__(
        self,
        store: Store,
        content: Content,
        executions: Executions,
        outbox: Outbox,
        keys: KeyReader,
        clock: Clock,
        ids: Ids,
        *,
        system_user: str,
        limits: Limits,
    ) -> None:
        self._store = store
        self._content = content
        self._executions = executions
        self._outbox = outbox
        self._keys = keys
        self._clock = clock
        self._ids = ids
        self._system_user = system_user
        self._limits = limits

    # -- in -----------------------------------------------------------------------------------------

    async def ingest(self, event: Event) -> Ingested:
        """Accept an event durably and start what the rules say.

        Raises `NotFound` for an unknown trigger, `LimitExceeded` for a payload that is too large, and
        `InvalidInput` for one that its trigger type's schema does not allow.
        """
        trigger = self._trigger(event)
        self._check_size(event)
        event = msgspec.structs.replace(
            event, payload=self._content.payload_of(trigger.type, event.payload)
        )
        if seen := self._seen(event):
            return seen
        self._executions.check_room()
        outcome = self._decide(event, trigger)
        try:
            await self._executions.commit(outcome.drafts, outcome.ops, outcome.announcements)
        except RevisionConflict as conflict:
            if conflict.table == SEEN_EVENTS.name and (seen := self._seen(event)):
                return seen
            raise
        return Ingested(
            trigger_instance_id=outcome.instance.id,
            duplicate=False,
            trace_id=outcome.trace.id,
            trace_tag=outcome.trace.trace_tag,
            execution_ids=tuple(draft.execution.id for draft in outcome.drafts),
        )

    async def webhook(
        self,
        url: str,
        *,
        body: Any,
        headers: Mapping[str, str],
        trace_tag: str = "",
        event_id: str = "",
    ) -> Ingested:
        """Accept what was posted to `/webhooks/<url>`. Raises `NotFound` for a hook nobody listens to."""
        trigger = self._content.webhook(url)
        shown = {k: v for k, v in headers.items() if k.lower() not in CREDENTIAL_HEADERS}
        payload = {
            "headers": shown,
            "headers_lower": {name.lower(): value for name, value in shown.items()},
            "body": body,
        }
        tag = trace_tag or f"webhook-{url}-{self._ids.secret(8)}"
        event = Event(
            trigger=trigger.ref,
            payload=payload,
            event_id=event_id,
            source="webhook",
            trace_tag=tag,
        )
        return await self.ingest(event)

    async def re_emit(self, instance_id: str) -> TriggerInstance:
        """Send a former trigger instance's payload through the rules again."""
        former = self.instance(instance_id)
        payload = former.payload
        if isinstance(payload, dict):
            payload = {**payload, "__context": {"original_id": former.id}}
        ingested = await self.ingest(
            Event(trigger=former.trigger, payload=payload, source="re_emit")
        )
        return self.instance(ingested.trigger_instance_id)

    def _trigger(self, event: Event) -> Trigger:
        if event.parameters is not None:
            found = self._content.trigger_for(event.trigger, event.parameters)
            if found is None:
                raise errors.NotFound(
                    f'No trigger of type "{event.trigger}" has the parameters {event.parameters}'
                )
            return found
        trigger = self._content.find("trigger", event.trigger)
        assert isinstance(trigger, Trigger)
        return trigger

    def _check_size(self, event: Event) -> None:
        size = len(msgspec.json.encode(event.payload))
        if size > self._limits.payload_bytes_max:
            raise errors.LimitExceeded(
                "max_payload_bytes", value=size, maximum=self._limits.payload_bytes_max
            )

    def _seen(self, event: Event) -> Ingested | None:
        if not event.event_id:
            return None
        seen = SEEN_EVENTS.get(self._store, _event_key(event))
        if seen is None:
            return None
        return Ingested(
            trigger_instance_id=seen.trigger_instance_id,
            duplicate=True,
            trace_id=seen.trace_id,
            trace_tag=seen.trace_tag,
        )

    # -- decide -------------------------------------------------------------------------------------

    def _decide(self, event: Event, trigger: Trigger) -> _Outcome:
        moment = self._clock.now()
        now = timestamp(moment)
        instance = TriggerInstance(
            id=self._ids.object_id(),
            trigger=trigger.ref,
            trigger_type=trigger.type,
            payload=event.payload,
            occurrence_time=now,
            event_id=event.event_id,
        )
        trace = self._trace(event, instance)
        outcome = _Outcome(instance, trace, [], [instance_announcement(instance)], [])
        facts = rules.TriggerFacts(trigger=trigger.ref, payload=event.payload)
        decisions = rules.decide(self._content.rule_set, facts, moment, self._keys)
        if len(decisions) > self._limits.matches_max:
            raise errors.LimitExceeded(
                "the number of rules that match one event",
                value=len(decisions),
                maximum=self._limits.matches_max,
            )
        for decision in decisions:
            self._carry_out(decision, outcome, trigger, now)
        outcome.ops += [INSTANCES.put(instance), TRACES.put(outcome.trace)]
        if event.event_id:
            seen = SeenEvent(
                key=_event_key(event),
                day=now[:10],
                trigger_instance_id=instance.id,
                trace_id=trace.id,
                trace_tag=trace.trace_tag,
            )
            outcome.ops.append(SEEN_EVENTS.put(seen, expect=0))
        return outcome

    def _trace(self, event: Event, instance: TriggerInstance) -> Trace:
        known = TRACES.get(self._store, event.trace_id) if event.trace_id else None
        if known is None:
            tag = event.trace_tag or f"trigger_instance-{instance.id}"
            known = self._executions.new_trace(tag, instance.occurrence_time)
        link = TraceLink(
            object_id=instance.id, ref=instance.trigger, updated_at=instance.occurrence_time
        )
        return msgspec.structs.replace(known, trigger_instances=[*known.trigger_instances, link])

    def _carry_out(
        self, decision: rules.Decision, outcome: _Outcome, trigger: Trigger, now: str
    ) -> None:
        rule = decision.rule
        if isinstance(decision, rules.Failed):
            outcome.ops.append(self._enforcement(rule, outcome, now, failure=decision.reason))
            return
        try:
            draft = self._draft(decision, outcome, trigger)
        except errors.WhimbrelError as error:
            log.info("rule matched, action refused", rule=rule.ref, reason=str(error))
            outcome.ops.append(self._enforcement(rule, outcome, now, failure=str(error)))
            return
        outcome.drafts.append(draft)
        outcome.ops.append(self._enforcement(rule, outcome, now, execution=draft))
        outcome.trace = _linked(outcome.trace, rule, outcome.instance, draft, now)

    def _draft(self, matched: rules.Matched, outcome: _Outcome, trigger: Trigger) -> Draft:
        rule = matched.rule
        trigger_type = self._content.find("trigger_type", trigger.type)
        context = {
            "trigger_instance": {"id": outcome.instance.id, "name": None},
            "rule": {"id": rule.id, "name": rule.name},
            "trace_context": {"id_": outcome.trace.id, "trace_tag": outcome.trace.trace_tag},
        }
        request = ExecutionRequest(
            action=rule.action.ref, parameters=matched.parameters, context=context
        )
        origin = Origin(
            rule={"id": rule.id, "ref": rule.ref, "name": rule.name, "pack": rule.pack},
            trigger={
                "id": trigger.id,
                "ref": trigger.ref,
                "name": trigger.name,
                "type": trigger.type,
            },
            trigger_type={
                "id": trigger_type.id,
                "ref": trigger_type.ref,
                "name": trigger_type.name,
            },
            trigger_instance={"id": outcome.instance.id, "trigger": trigger.ref},
        )
        return self._executions.draft(
            request,
            user=self._system_user,
            origin=origin,
            names={"trigger": outcome.instance.payload},
        )

    def _enforcement(
        self,
        rule: Rule,
        outcome: _Outcome,
        now: str,
        *,
        execution: Draft | None = None,
        failure: str | None = None,
    ) -> Op:
        enforcement_id = self._ids.object_id()
        return ENFORCEMENTS.put(
            RuleEnforcement(
                id=enforcement_id,
                uid=f"rule_enforcement:{enforcement_id}",
                trigger_instance_id=outcome.instance.id,
                execution_id=execution.execution.id if execution else None,
                failure_reason=failure,
                rule={"ref": rule.ref, "id": rule.id, "uid": rule.uid},
                enforced_at=now,
                status="failed" if failure else "succeeded",
            )
        )

    # -- out ----------------------------------------------------------------------------------------

    def instance(self, instance_id: str) -> TriggerInstance:
        """Return a trigger instance. Raises `NotFound`."""
        found = INSTANCES.get(self._store, instance_id)
        if found is None:
            raise errors.NotFound(f'Unable to identify resource with id "{instance_id}".')
        return found

    def instances(
        self,
        *,
        limit: int = 100,
        offset: int = 0,
        ascending: bool = False,
        trigger: str | None = None,
        trigger_type: str | None = None,
        timestamp_gt: str | None = None,
        timestamp_lt: str | None = None,
        status: str | None = None,
    ) -> tuple[list[TriggerInstance], int]:
        """Return a page of trigger instances, newest first, and how many match."""
        index = ("trigger", trigger) if trigger else None
        if index is None and trigger_type:
            index = ("trigger_type", trigger_type)
        if not (timestamp_gt or timestamp_lt or status):
            return _page(INSTANCES, self._store, limit, offset, index, ascending)
        found = [
            instance
            for instance in INSTANCES.page(
                self._store, limit=SCAN_LIMIT, index=index, ascending=ascending
            )
            if (not timestamp_gt or instance.occurrence_time > timestamp_gt)
            and (not timestamp_lt or instance.occurrence_time < timestamp_lt)
            and (not status or instance.status == status)
        ]
        return found[offset : None if limit < 0 else offset + limit], len(found)

    def enforcement(self, enforcement_id: str) -> RuleEnforcement:
        """Return a rule enforcement. Raises `NotFound`."""
        found = ENFORCEMENTS.get(self._store, enforcement_id)
        if found is None:
            raise errors.NotFound(f'Unable to identify resource with id "{enforcement_id}".')
        return found

    def enforcements(
        self,
        *,
        limit: int = 100,
        offset: int = 0,
        ascending: bool = False,
        rule_ref: str | None = None,
        rule_id: str | None = None,
        trigger_instance: str | None = None,
        execution: str | None = None,
        enforced_at_gt: str | None = None,
        enforced_at_lt: str | None = None,
    ) -> tuple[list[RuleEnforcement], int]:
        """Return a page of rule enforcements, newest first, and how many match."""
        asked = (
            ("execution", execution),
            ("trigger_instance", trigger_instance),
            ("rule", rule_ref),
        )
        indexed = [(name, value) for name, value in asked if value]
        index = indexed[0] if indexed else None
        if len(indexed) <= 1 and not (rule_id or enforced_at_gt or enforced_at_lt):
            return _page(ENFORCEMENTS, self._store, limit, offset, index, ascending)
        found = [
            e
            for e in ENFORCEMENTS.page(
                self._store, limit=SCAN_LIMIT, index=index, ascending=ascending
            )
            if (not rule_ref or e.rule["ref"] == rule_ref)
            and (not rule_id or e.rule["id"] == rule_id)
            and (not trigger_instance or e.trigger_instance_id == trigger_instance)
            and (not enforced_at_gt or e.enforced_at > enforced_at_gt)
            and (not enforced_at_lt or e.enforced_at < enforced_at_lt)
        ]
        return found[offset : None if limit < 0 else offset + limit], len(found)

    def trace(self, trace_id: str) -> Trace:
        """Return a trace. Raises `NotFound`."""
        found = TRACES.get(self._store, trace_id)
        if found is None:
            raise errors.NotFound(f'Unable to identify resource with id "{trace_id}".')
        return found

    def traces(
        self,
        *,
        limit: int = 100,
        offset: int = 0,
        ascending: bool = False,
        trace_tag: str | None = None,
        execution: str | None = None,
        rule: str | None = None,
        trigger_instance: str | None = None,
    ) -> tuple[list[Trace], int]:
        """Return a page of traces, newest first, and how many match."""
        index = ("tag", trace_tag) if trace_tag else None
        if not (execution or rule or trigger_instance):
            return _page(TRACES, self._store, limit, offset, index, ascending)
        found = [
            trace
            for trace in TRACES.page(
                self._store, limit=SCAN_LIMIT, index=index, ascending=ascending
            )
            if _links(trace.action_executions, execution)
            and _links(trace.rules, rule)
            and _links(trace.trigger_instances, trigger_instance)
        ]
        return found[offset : None if limit < 0 else offset + limit], len(found)


def _page(
    table: Any,
    store: Store,
    limit: int,
    offset: int,
    index: tuple[str, str] | None,
    ascending: bool,
) -> tuple[list[Any], int]:
    total = store.count(table.name, index=index)
    size = max(1, total if limit < 0 else limit)
    return table.page(store, limit=size, offset=offset, index=index, ascending=ascending), total


def _event_key(event: Event) -> str:
    text = f"{event.trigger}\0{event.parameters or ''}\0{event.event_id}"
    return hashlib.sha256(text.encode()).hexdigest()


def _links(links: Sequence[TraceLink], object_id: str | None) -> bool:
    return object_id is None or any(link.object_id == object_id for link in links)


def _linked(trace: Trace, rule: Rule, instance: TriggerInstance, draft: Draft, now: str) -> Trace:
    by_instance = {"type": "trigger_instance", "id": instance.id}
    by_rule = {"type": "rule", "id": f"{rule.id}:{instance.id}"}
    ran = draft.execution
    return msgspec.structs.replace(
        trace,
        rules=[
            *trace.rules,
            TraceLink(object_id=rule.id, ref=rule.ref, updated_at=now, caused_by=by_instance),
        ],
        action_executions=[
            *trace.action_executions,
            TraceLink(object_id=ran.id, ref=ran.action_ref, updated_at=now, caused_by=by_rule),
        ],
    )
