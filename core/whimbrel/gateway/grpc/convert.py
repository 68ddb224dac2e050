"""Wire messages from and to values; `to_*` write them, the rest read them."""

from typing import Any

import msgspec
from whimbrel_sdk.wire.api.v1 import (
    content_service_pb2 as content_pb,
)
from whimbrel_sdk.wire.api.v1 import (
    datastore_service_pb2 as datastore_pb,
)
from whimbrel_sdk.wire.api.v1 import (
    event_service_pb2 as event_pb,
)
from whimbrel_sdk.wire.api.v1 import (
    execution_service_pb2 as execution_pb,
)
from whimbrel_sdk.wire.api.v1 import types_pb2 as types_pb

from whimbrel import errors, nesting
from whimbrel.gateway.bodies import checked_depth
from whimbrel.model import COMPLETED, Event, Execution, KeyValue, TriggerInstance
from whimbrel.model import USER_SCOPE as USER

PAGE_SIZE_DEFAULT = 100
ENCODINGS = (types_pb.ENCODING_UNSPECIFIED, types_pb.ENCODING_JSON)


def page_size(asked: int) -> int:
    """Return how many to list. Raises `InvalidInput` for a negative number."""
    if asked < 0:
        raise errors.InvalidInput(f"must not be negative, got {asked}", place="page_size")
    return asked or PAGE_SIZE_DEFAULT


def skipped(offset: int) -> int:
    """Return how many to pass over. Raises `InvalidInput` for a negative number."""
    if offset < 0:
        raise errors.InvalidInput(f"must not be negative, got {offset}", place="offset")
    return offset


def to_payload(value: Any) -> types_pb.Payload:
    """Return a value as JSON."""
    return types_pb.Payload(encoding=types_pb.ENCODING_JSON, data=msgspec.json.encode(value))


def from_payload(payload: types_pb.Payload, place: str) -> Any:
    """Return the value of a payload. Raises `InvalidInput` naming the field."""
    if payload.encoding not in ENCODINGS:
        raise errors.InvalidInput(
            f"has encoding {payload.encoding}; allowed is {types_pb.ENCODING_JSON}, JSON",
            place=place,
        )
    if not payload.data:
        return None
    try:
        return checked_depth(msgspec.json.decode(payload.data), payload.data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise errors.InvalidInput(f"is not JSON: {error}", place=place) from error
    except RecursionError as error:
        raise errors.InvalidInput(
            f"is nested too deep, more than {nesting.DEPTH_MAX} levels", place=place
        ) from error


def from_object(payload: types_pb.Payload, place: str) -> dict[str, Any]:
    """Return the JSON object of a payload; an empty one is `{}`."""
    value = from_payload(payload, place)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise errors.InvalidInput("must be a JSON object", place=place)
    return value


def to_execution(execution: Execution, document: dict[str, Any]) -> execution_pb.Execution:
    """Return an execution; `document` is its masked REST document."""
    finished = execution.status in COMPLETED
    return execution_pb.Execution(
        id=execution.id,
        action_ref=execution.action_ref,
        status=execution.status.value,
        finished=finished,
        user=str(execution.context.get("user") or ""),
        start_timestamp=execution.start_timestamp,
        end_timestamp=execution.end_timestamp or "",
        parameters=to_payload(document.get("parameters") or {}),
        result=to_payload(document.get("result")) if finished else None,
        parent_id=execution.parent or "",
        trigger_instance_id=(execution.trigger_instance or {}).get("id", ""),
        rule_ref=(execution.rule or {}).get("ref", ""),
    )


def to_content(item: Any, document: dict[str, Any]) -> content_pb.Content:
    """Return a document of any kind; `document` is what is shown of the item."""
    return content_pb.Content(
        id=item.id,
        ref=getattr(item, "ref", item.name),
        description=item.description or "",
        document=to_payload(document),
    )


def from_event(event: event_pb.Event) -> Event:
    """Return an event that a client sent."""
    if not event.trigger:
        raise errors.InvalidInput("is required", place="trigger")
    parameters = (
        from_object(event.parameters, "parameters") if event.HasField("parameters") else None
    )
    return Event(
        trigger=event.trigger,
        parameters=parameters,
        payload=from_payload(event.payload, "payload"),
        event_id=event.event_id,
        source="grpc",
        trace_tag=event.trace_tag,
    )


def to_trigger_instance(instance: TriggerInstance) -> event_pb.TriggerInstance:
    """Return a trigger instance."""
    return event_pb.TriggerInstance(
        id=instance.id,
        trigger=instance.trigger,
        occurrence_time=instance.occurrence_time,
        status=instance.status,
        payload=to_payload(instance.payload),
    )


def to_item(item: KeyValue) -> datastore_pb.Item:
    """Return a datastore item."""
    scope = datastore_pb.ITEM_SCOPE_USER if item.scope == USER else datastore_pb.ITEM_SCOPE_SYSTEM
    return datastore_pb.Item(
        name=item.name,
        value=item.value,
        scope=scope,
        expire_timestamp=item.expire_timestamp or "",
    )
