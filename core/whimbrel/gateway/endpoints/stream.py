"""`/stream/v1`: what happens, as server-sent events."""

import asyncio
import fnmatch
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec

from whimbrel.errors import InvalidInput
from whimbrel.gateway.endpoint import Endpoint, Kind, Param, Reply, Request, described
from whimbrel.gateway.endpoints.executions import OUTPUT_TYPE
from whimbrel.gateway.ports import BrokerPort, StreamEventLike, SubscriptionLike
from whimbrel.model import COMPLETED, Status

HEARTBEAT_SECONDS = 25.0
HEARTBEAT = b"\n"
END_OF_OUTPUT = b"event: EOF\ndata: ''\n\n"
EVENT_STREAM = b"text/event-stream; charset=UTF-8"
OUTPUT_EVENT = "st2.execution.output__create"
UPDATE_EVENT = "st2.execution__update"
CHANGES = ("create", "update", "delete")
DEFAULT_EVENTS = (
    "st2.announcement__*",
    *(f"st2.execution__{change}" for change in CHANGES),
    *(f"st2.liveaction__{change}" for change in CHANGES),
)
ALLOWED_EVENTS = (
    *DEFAULT_EVENTS,
    OUTPUT_EVENT,
    *(f"st2.actionalias__{change}" for change in CHANGES),
)
AT_REST = {*COMPLETED, Status.PAUSING, Status.RESUMING}
"""Where the output of an execution ends, for the time being or for good."""

ENCODER = msgspec.json.Encoder()
Wanted = Callable[[StreamEventLike], bool]


def frame(name: str, data: Any) -> bytes:
    """Return one event as it goes over the wire."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), ENCODER.encode(data))


async def stream(broker: BrokerPort, request: Request) -> Reply:
    """Send events as they happen, until the asked end; of the execution that ends it, all output."""
    query = request.query
    names = _names(query["events"] or DEFAULT_EVENTS)
    return Reply(stream=_frames(broker, names, query), content_type=EVENT_STREAM)


def _names(asked: Any) -> tuple[str, ...]:
    """Return the allowed events that the asked names and globs stand for."""
    names = tuple(
        allowed
        for allowed in ALLOWED_EVENTS
        if any(
            fnmatch.fnmatchcase(allowed, one) or fnmatch.fnmatchcase(one, allowed) for one in asked
        )
    )
    # An asked name may be narrower than an allowed glob: st2.announcement__chatops.
    narrow = tuple(
        one for one in asked if any(fnmatch.fnmatchcase(one, allowed) for allowed in ALLOWED_EVENTS)
    )
    if not names:
        raise InvalidInput(f"none of {list(asked)} is an event; allowed are {list(ALLOWED_EVENTS)}")
    return narrow if len(narrow) == len(tuple(asked)) else names


async def _frames(
    broker: BrokerPort, names: tuple[str, ...], query: dict[str, Any]
) -> AsyncIterator[bytes]:
    wanted = _filter(query["action_refs"], query["execution_ids"])
    end_event, end_id = query["end_event"], query["end_execution_id"]
    listened = (*names, end_event) if end_event else names
    with broker.stream.subscribe(listened) as events:
        yield HEARTBEAT
        sent: set[str] = set()
        if end_id and OUTPUT_EVENT in names:
            for record in broker.executions.output(end_id):
                sent.add(record.id)
                yield frame(OUTPUT_EVENT, record)
        if end_event and end_id and (over := _already_over(broker, end_id)):
            yield frame(UPDATE_EVENT, over)
            return
        while True:
            event = await _next(events)
            if event is None:
                yield HEARTBEAT
                continue
            if wanted(event) and event.data.get("id") not in sent:
                yield frame(event.name, event.data)
            if _ends(event, end_event, end_id):
                return


def _already_over(broker: BrokerPort, execution_id: str) -> dict[str, Any] | None:
    """Return an execution that ended before anybody listened: its last event will not come."""
    execution = broker.executions.get(execution_id)
    return broker.executions.document(execution) if execution.status in COMPLETED else None


def _ends(event: StreamEventLike, end_event: str | None, end_id: str | None) -> bool:
    if event.name != end_event or (end_id and event.data.get("id") != end_id):
        return False
    status = event.data.get("status")
    return status is None or status in COMPLETED


def _filter(action_refs: list[str] | None, execution_ids: list[str] | None) -> Wanted:
    def wanted(event: StreamEventLike) -> bool:
        data = event.data
        if action_refs:
            action = data.get("action")
            ref = (
                action.get("ref") if isinstance(action, dict) else action or data.get("action_ref")
            )
            if ref not in action_refs:
                return False
        return not execution_ids or data.get("execution_id", data.get("id")) in execution_ids

    return wanted


async def _next(events: SubscriptionLike) -> StreamEventLike | None:
    """Return the next event, or None when it is time to show that the connection lives."""
    try:
        async with asyncio.timeout(HEARTBEAT_SECONDS):
            return await events.__anext__()
    except TimeoutError:
        return None


async def output(broker: BrokerPort, request: Request) -> Reply:
    """Send what an execution printed and prints, until it rests."""
    execution = broker.executions.get(request.args["id"])
    channel = request.query["output_type"] or "all"
    return Reply(stream=_output(broker, execution.id, channel), content_type=EVENT_STREAM)


async def _output(broker: BrokerPort, execution_id: str, channel: str) -> AsyncIterator[bytes]:
    with broker.stream.subscribe((OUTPUT_EVENT, UPDATE_EVENT)) as events:
        yield HEARTBEAT
        sent: set[str] = set()
        for record in broker.executions.output(execution_id, channel=channel):
            sent.add(record.id)
            yield frame(OUTPUT_EVENT, record)
        is_over = broker.executions.get(execution_id).status in AT_REST
        while not is_over:
            event = await _next(events)
            if event is None:
                yield HEARTBEAT
            elif event.name == UPDATE_EVENT:
                data = event.data
                is_over = data.get("id") == execution_id and data.get("status") in AT_REST
            elif _is_new_output(event.data, execution_id, channel, sent):
                yield frame(event.name, event.data)
        yield END_OF_OUTPUT


def _is_new_output(data: dict[str, Any], execution_id: str, channel: str, sent: set[str]) -> bool:
    return (
        data.get("execution_id") == execution_id
        and channel in ("all", data.get("output_type"))
        and data.get("id") not in sent
    )


STREAM_PARAMS = (
    Param("events", "Names or globs of events.", Kind.LIST),
    Param("action_refs", "Only of these actions.", Kind.LIST),
    Param("execution_ids", "Only of these executions.", Kind.LIST),
    Param("end_event", "End after this event, once its execution is over."),
    Param("end_execution_id", "The execution that the end waits for."),
)
ENDPOINTS = described(
    Endpoint(
        mount="stream",
        method="GET",
        path="/stream",
        handler=stream,
        summary="What happens, as server-sent events.",
        params=STREAM_PARAMS,
    ),
    Endpoint(
        method="GET",
        path="/stream",
        handler=stream,
        summary="The same as `/stream/v1/stream`, at its former place.",
        params=STREAM_PARAMS,
    ),
    Endpoint(
        mount="stream",
        method="GET",
        path="/executions/{id}/output",
        handler=output,
        summary="What an execution prints, as server-sent events; the last one is `EOF`.",
        params=(OUTPUT_TYPE,),
    ),
)
