"""`/executions`: run actions, look at what ran."""

import asyncio
import gzip
from datetime import datetime, timedelta
from typing import Any

import msgspec

from whimbrel.errors import Conflict, InvalidInput, NotFound
from whimbrel.gateway.bodies import parse_json
from whimbrel.gateway.convert import into, mapping
from whimbrel.gateway.endpoint import Endpoint, Kind, Param, Reply, Request, described
from whimbrel.gateway.listing import (
    EXCLUDE,
    IDS,
    IDS_MAX,
    INCLUDE,
    SHOW_SECRETS,
    SORT,
    Attributes,
    listing,
    page_params,
    window,
)
from whimbrel.gateway.ports import BrokerPort
from whimbrel.gateway.query import parse_timestamp
from whimbrel.model import NO_RESULT, Execution, ExecutionRequest, timestamp

ATTRIBUTES = (
    "id",
    "action",
    "runner",
    "liveaction",
    "status",
    "start_timestamp",
    "end_timestamp",
    "elapsed_seconds",
    "parameters",
    "context",
    "log",
    "result",
    "result_size",
    "parent",
    "children",
    "rule",
    "trigger",
    "trigger_type",
    "trigger_instance",
    "delay",
    "web_url",
    "workflow_execution",
    "task_execution",
)
SEPARABLE = ("result", "trigger_instance", "status")
"""Attributes that can be left out, or asked for alone."""

FILTERS = (
    "status",
    "parent",
    "action",
    "runner",
    "rule",
    "trigger",
    "trigger_type",
    "trigger_instance",
    "user",
    "liveaction",
)
RANGE = ".."
MICROSECOND = timedelta(microseconds=1)
RESULT_SIZE_MAX = 14 << 20
DEPTH_ALL = -1
VIEW_SAMPLE = 1000
"""How many of the newest executions the distinct values for people's filters are taken from."""

CONTEXT_HEADER = b"st2-context"
OUTPUT_TYPE = Param(
    "output_type", "Which output.", default="all", choices=("all", "stdout", "stderr", "other")
)
AFTER = Param("timestamp_gt", "Started later than this; oldest first.", Kind.TIMESTAMP)
BEFORE = Param("timestamp_lt", "Started earlier than this.", Kind.TIMESTAMP)


class _RunBody(msgspec.Struct):
    action: str
    parameters: dict[str, Any] | None = None
    user: str | None = None
    notify: dict[str, Any] | None = None
    context: dict[str, Any] | None = None
    delay: int | None = None
    callback: dict[str, Any] | None = None


class _RerunBody(msgspec.Struct):
    parameters: dict[str, Any] | None = None
    tasks: list[str] | None = None
    reset: list[str] | None = None
    user: str | None = None
    delay: int | None = None


class _StatusBody(msgspec.Struct):
    status: str
    result: Any = None


def _attributes(request: Request) -> Attributes:
    return Attributes(request.query, ATTRIBUTES, excludable=frozenset(SEPARABLE))


def _shown(
    broker: BrokerPort, execution: Execution, request: Request, attributes: Attributes
) -> dict[str, Any]:
    """Return the document; a result that is not wanted is not even decoded."""
    if not attributes.wants("result"):
        execution = msgspec.structs.replace(execution, result=NO_RESULT)
    shown = broker.executions.document(execution, show_secrets=_secrets(request))
    shown.setdefault("web_url", f"{request.base_url}/#/history/{execution.id}/general")
    return attributes.of(shown)


def _secrets(request: Request) -> bool:
    return bool(request.query.get("show_secrets")) and request.caller.is_admin


def _whole(broker: BrokerPort, execution: Execution, request: Request) -> Reply:
    return Reply(_shown(broker, execution, request, Attributes({}, ())))


async def list_executions(broker: BrokerPort, request: Request) -> Reply:
    """Return a page of executions, newest first."""
    query = request.query
    limit, offset = window(query)
    attributes = _attributes(request)
    if len(query["id"] or ()) > IDS_MAX:
        raise InvalidInput(f"at most {IDS_MAX} ids can be asked for", place="id")
    span = _span(query)
    found, total = broker.executions.find(
        limit=limit,
        offset=offset,
        ascending=span.pop("ascending"),
        ids=tuple(query["id"] or ()),
        **{name: query[name] for name in FILTERS if query[name]},
        **span,
    )
    return listing([_shown(broker, e, request, attributes) for e in found], total, limit)


def _span(query: dict[str, Any]) -> dict[str, Any]:
    """Return the asked span of time and the order that follows from it."""
    after, before = query["timestamp_gt"], query["timestamp_lt"]
    ascending = bool(after) or query["sort_asc"] or "+start_timestamp" in (query["sort"] or ())
    if text := query["timestamp"]:
        first, mark, last = text.partition(RANGE)
        bounds = [parse_timestamp(part, "timestamp") for part in (first, last if mark else first)]
        ascending = bounds[0] < bounds[1]
        after, before = _moved(min(bounds), -MICROSECOND), _moved(max(bounds), MICROSECOND)
    return {
        "ascending": ascending and not query["sort_desc"],
        "timestamp_gt": after,
        "timestamp_lt": before,
    }


def _moved(moment: str, by: timedelta) -> str:
    """Return a time a little earlier or later: the broker's bounds are open, a span's are closed."""
    return timestamp(datetime.fromisoformat(moment) + by)


async def get_execution(broker: BrokerPort, request: Request) -> Reply:
    """Return one execution; `last` is the newest."""
    attributes = _attributes(request)
    execution = broker.executions.get(request.args["id"])
    most = request.query["max_result_size"]
    if most is not None and not 1 <= most <= RESULT_SIZE_MAX:
        raise InvalidInput(f"is from 1 to {RESULT_SIZE_MAX}, got {most}", place="max_result_size")
    if most is not None and execution.result_size > most:
        execution = msgspec.structs.replace(execution, result=NO_RESULT)
    return Reply(_shown(broker, execution, request, attributes))


async def run(broker: BrokerPort, request: Request) -> Reply:
    """Run an action."""
    body = into(_RunBody, request.body)
    wanted = ExecutionRequest(
        action=body.action,
        parameters=body.parameters or {},
        user=body.user or None,
        context={**(body.context or {}), **_context(request)},
        notify=body.notify or None,
        delay=_delay(body.delay),
        callback=body.callback or None,
    )
    return _whole(broker, await broker.executions.request(wanted, caller=request.caller), request)


def _context(request: Request) -> dict[str, Any]:
    """Return what the header `st2-context` adds to the context."""
    text = request.header(CONTEXT_HEADER)
    if not text:
        return {}
    return mapping(parse_json(text.encode("latin-1")))


def _delay(milliseconds: int | None) -> int | None:
    if milliseconds is not None and milliseconds < 0:
        raise InvalidInput(f"is a positive number of ms, got {milliseconds}", place="/delay")
    return milliseconds or None


async def rerun(broker: BrokerPort, request: Request) -> Reply:
    """Run an execution's action again."""
    body = into(_RerunBody, request.body)
    tasks, reset = body.tasks or [], body.reset or []
    if body.parameters and (tasks or reset):
        raise InvalidInput("Parameters override is not supported when re-running task(s).")
    if wrong := set(reset) - set(tasks):
        raise InvalidInput(f"reset has to be a part of tasks; it has {sorted(wrong)} besides")
    execution = await broker.executions.rerun(
        request.args["id"],
        parameters=body.parameters or {},
        tasks=tasks,
        reset=reset,
        delay=_delay(body.delay),
        caller=request.caller,
    )
    return _whole(broker, execution, request)


async def change_status(broker: BrokerPort, request: Request) -> Reply:
    """Ask for another state of an execution."""
    body = into(_StatusBody, request.body)
    execution = await broker.executions.set_status(
        request.args["id"], body.status, result=body.result, caller=request.caller
    )
    return _whole(broker, execution, request)


async def cancel(broker: BrokerPort, request: Request) -> Reply:
    """End an execution. One that cannot be ended is answered 200 with a `faultstring`."""
    try:
        execution = await broker.executions.cancel(request.args["id"], user=request.caller.user)
    except Conflict as refusal:
        return Reply({"faultstring": str(refusal)})
    return _whole(broker, execution, request)


async def output(broker: BrokerPort, request: Request) -> Reply:
    """Return what the execution printed so far, as text."""
    records = broker.executions.output(
        request.args["id"], channel=request.query["output_type"] or "all"
    )
    text = "".join(record.data for record in records)
    return Reply(data=text.encode(), content_type=b"text/plain; charset=utf-8")


async def result(broker: BrokerPort, request: Request) -> Reply:
    """Return the result alone."""
    execution = broker.executions.get(request.args["id"])
    shown = broker.executions.document(execution, show_secrets=_secrets(request))
    data = msgspec.json.encode(shown.get("result"))
    headers: list[tuple[bytes, bytes]] = []
    suffix = b"json"
    if request.query["pretty_format"]:
        data = msgspec.json.format(data, indent=4)
    if request.query["compress"]:
        data = await asyncio.to_thread(gzip.compress, data)
        headers.append((b"content-encoding", b"gzip"))
        suffix = b"json.gz" if request.query["download"] else suffix
    if request.query["download"]:
        name = b"execution_%b_result.%b" % (execution.id.encode(), suffix)
        headers.append((b"content-disposition", b"attachment; filename=%b" % name))
    return Reply(data=data, headers=tuple(headers))


async def attribute(broker: BrokerPort, request: Request) -> Reply:
    """Return one attribute alone."""
    name = request.args["attribute"]
    if name not in SEPARABLE:
        raise InvalidInput(f'Invalid attribute "{name}" specified; allowed are {list(SEPARABLE)}')
    execution = broker.executions.get(request.args["id"])
    shown = broker.executions.document(execution, show_secrets=_secrets(request))
    return Reply(shown.get(name))


async def children(broker: BrokerPort, request: Request) -> Reply:
    """Return the descendants of an execution."""
    attributes = _attributes(request)
    depth = request.query["depth"]
    if depth < DEPTH_ALL:
        raise InvalidInput(f"is -1 (all) or a positive number, got {depth}", place="depth")
    found = broker.executions.children(request.args["id"], depth)
    if request.query["result_fmt"] == "sorted":
        found = sorted(found, key=lambda execution: execution.start_timestamp)
    return Reply([_shown(broker, e, request, attributes) for e in found])


async def filters(broker: BrokerPort, request: Request) -> Reply:
    """Return the values that the newest executions have, for people to choose from."""
    found, _ = broker.executions.find(limit=VIEW_SAMPLE, offset=0)
    values: dict[str, set[str | None]] = {
        "action": {e.action_ref for e in found},
        "status": {e.status.value for e in found},
        "rule": {(e.rule or {}).get("ref") for e in found},
        "runner": {e.runner_type for e in found},
        "trigger": {(e.trigger or {}).get("ref") for e in found},
        "trigger_type": {(e.trigger_type or {}).get("ref") for e in found},
        "user": {e.context.get("user") for e in found},
    }
    wanted = request.query["types"] or values
    if unknown := [name for name in wanted if name not in values]:
        raise NotFound(f"there is no filter {unknown}; allowed are {list(values)}")
    return Reply({name: sorted(values[name], key=lambda v: v or "") for name in wanted})


ENDPOINTS = described(
    Endpoint(
        method="GET",
        path="/executions",
        handler=list_executions,
        summary="List executions, newest first.",
        params=(
            *page_params(),
            IDS,
            SORT,
            Param("sort_asc", "Oldest first.", Kind.BOOLEAN, False),
            Param("sort_desc", "Newest first.", Kind.BOOLEAN, False),
            *(
                Param(name, f"Only executions with this {name.replace('_', ' ')}.")
                for name in FILTERS
            ),
            Param("timestamp", "Started then, or in the span `a..b` (`b..a`: newest first)."),
            AFTER,
            BEFORE,
            SHOW_SECRETS,
        ),
    ),
    Endpoint(
        method="POST",
        path="/executions",
        handler=run,
        summary="Run an action. Header `st2-context` (JSON) is merged into the context.",
        params=(SHOW_SECRETS,),
        body="`action`*, `parameters`, `user`, `context`, `notify`, `delay` (ms), `callback`",
        success=201,
    ),
    Endpoint(
        method="GET",
        path="/executions/views/filters",
        handler=filters,
        summary="Values of recent executions, for choosing a filter.",
        params=(Param("types", "Only these fields.", Kind.LIST),),
    ),
    Endpoint(
        method="GET",
        path="/executions/{id}",
        handler=get_execution,
        summary="Get an execution; the id may be `last`.",
        params=(
            INCLUDE,
            EXCLUDE,
            SHOW_SECRETS,
            Param("max_result_size", "Leave out a result of more bytes.", Kind.INTEGER),
        ),
    ),
    Endpoint(
        method="PUT",
        path="/executions/{id}",
        handler=change_status,
        summary="Ask for another state.",
        params=(SHOW_SECRETS,),
        body="`status`*: `canceling`, `pausing`, `resuming`; `result`",
    ),
    Endpoint(
        method="DELETE",
        path="/executions/{id}",
        handler=cancel,
        summary="Cancel an execution.",
        params=(SHOW_SECRETS,),
    ),
    Endpoint(
        method="GET",
        path="/executions/{id}/output",
        handler=output,
        summary="What the execution printed so far, as text.",
        params=(OUTPUT_TYPE,),
    ),
    Endpoint(
        method="GET",
        path="/executions/{id}/result",
        handler=result,
        summary="The result alone.",
        params=(
            Param("download", "Offer it as a file.", Kind.BOOLEAN, False),
            Param("compress", "Send it gzipped.", Kind.BOOLEAN, False),
            Param("pretty_format", "Indent it.", Kind.BOOLEAN, False),
        ),
    ),
    Endpoint(
        method="GET",
        path="/executions/{id}/attribute/{attribute}",
        handler=attribute,
        summary="One attribute alone: `result`, `trigger_instance` or `status`.",
    ),
    Endpoint(
        method="GET",
        path="/executions/{id}/children",
        handler=children,
        summary="The descendants of an execution, depth first.",
        params=(
            Param("depth", "How deep; -1 means all.", Kind.INTEGER, DEPTH_ALL),
            Param("result_fmt", "Order.", default="default", choices=("default", "sorted")),
            INCLUDE,
            EXCLUDE,
            SHOW_SECRETS,
        ),
    ),
    Endpoint(
        method="POST",
        path="/executions/{id}/re_run",
        handler=rerun,
        summary="Run the same action again.",
        params=(SHOW_SECRETS,),
        body="`parameters` (merged over the former), `tasks`, `reset`, `delay` (ms)",
        success=201,
    ),
)
