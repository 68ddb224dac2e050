"""What happens: trigger instances, what rules made of them, and the traces that link them."""

from typing import Any

import msgspec

PROCESSED = "processed"
PROCESSING_FAILED = "processing_failed"


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """An occurrence on its way in, from whichever source.

    `trigger` is the ref of a concrete trigger or of a trigger type; with `parameters` it names the
    trigger of that type which has them. `event_id` deduplicates: a seen one has no second effect.
    `payload` is JSON data. `source` is shown to people: `webhook`, `nats`, `api`, `sensor:x`.
    """

    trigger: str
    payload: Any
    parameters: dict[str, Any] | None = None
    event_id: str = ""
    source: str = "api"
    trace_id: str = ""
    trace_tag: str = ""


class Ingested(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an event once it is durable."""

    trigger_instance_id: str
    duplicate: bool
    trace_id: str = ""
    trace_tag: str = ""
    execution_ids: tuple[str, ...] = ()


class TriggerInstance(msgspec.Struct, frozen=True, kw_only=True):
    """A durable occurrence of a trigger, in REST's shape."""

    id: str
    trigger: str
    payload: Any
    occurrence_time: str
    status: str = PROCESSED
    trigger_type: str = ""
    event_id: str = ""


class RuleEnforcement(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A rule that matched, or failed while it was matched; `failure_reason` says why."""

    id: str
    trigger_instance_id: str
    rule: dict[str, str]
    enforced_at: str
    status: str
    uid: str = ""
    execution_id: str | None = None
    failure_reason: str | None = None


class TraceLink(msgspec.Struct, frozen=True, kw_only=True):
    """One object of a trace and what caused it."""

    object_id: str
    ref: str
    updated_at: str
    caused_by: dict[str, str] = {}


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that one occurrence led to."""

    id: str
    uid: str
    trace_tag: str
    start_timestamp: str
    action_executions: list[TraceLink] = []
    rules: list[TraceLink] = []
    trigger_instances: list[TraceLink] = []
