"""`/triggertypes`, `/triggers`, `/triggerinstances`, `/traces`."""

from typing import Any

from whimbrel.gateway.convert import mapping
from whimbrel.gateway.endpoint import Endpoint, Kind, Param, Reply, Request, described
from whimbrel.gateway.endpoints.content import ContentKind, endpoints_of
from whimbrel.gateway.listing import (
    IDS,
    SORT,
    Attributes,
    document,
    listing,
    page_params,
    window,
)
from whimbrel.gateway.ports import BrokerPort
from whimbrel.model import Trace, Trigger, TriggerInstance, TriggerType

TYPES = ContentKind(
    "trigger_type",
    "/triggertypes",
    TriggerType,
    {"name": lambda one: one.name, "pack": lambda one: one.pack},
    (IDS, Param("name", "Only of this name."), Param("pack", "Only of this pack.")),
)
TRIGGERS = ContentKind(
    "trigger",
    "/triggers",
    Trigger,
    {"type": lambda one: one.type},
    (IDS, Param("type", "By type.")),
)
INSTANCE_FILTERS = (
    Param("trigger", "Only of the trigger of this ref."),
    Param("trigger_type", "Only of this trigger type."),
    Param("status", "Only of this status."),
    Param("timestamp_gt", "Only later than this.", Kind.TIMESTAMP),
    Param("timestamp_lt", "Only earlier than this.", Kind.TIMESTAMP),
)
TRACE_FILTERS = (
    Param("trace_tag", "Only of this tag."),
    Param("execution", "Only with this execution."),
    Param("rule", "Only with this rule."),
    Param("trigger_instance", "Only with this trigger instance."),
)


async def create_type(broker: BrokerPort, request: Request) -> Reply:
    """Create a trigger type."""
    return Reply(document(await broker.content.create(TYPES.name, mapping(request.body))))


async def update_type(broker: BrokerPort, request: Request) -> Reply:
    """Replace a trigger type."""
    given = mapping(request.body)
    return Reply(
        document(await broker.content.update(TYPES.name, request.args["ref_or_id"], given))
    )


async def delete_type(broker: BrokerPort, request: Request) -> Reply:
    """Remove a trigger type that no rule uses."""
    await broker.content.delete(TYPES.name, request.args["ref_or_id"])
    return Reply()


def _given(request: Request, params: tuple[Param, ...]) -> dict[str, Any]:
    query = request.query
    return {param.name: query[param.name] for param in params if query[param.name]}


def _ascending(request: Request, field: str) -> bool:
    query = request.query
    sort = query["sort"] or ()
    return bool(query.get("sort_asc") or f"+{field}" in sort or field in sort)


async def list_instances(broker: BrokerPort, request: Request) -> Reply:
    """Return a page of trigger instances, newest first."""
    limit, offset = window(request.query)
    attributes = Attributes(request.query, TriggerInstance.__struct_fields__)
    found, total = broker.events.instances(
        limit=limit,
        offset=offset,
        ascending=_ascending(request, "occurrence_time"),
        **_given(request, INSTANCE_FILTERS),
    )
    return listing([attributes.of(document(one)) for one in found], total, limit)


async def get_instance(broker: BrokerPort, request: Request) -> Reply:
    """Return one trigger instance."""
    return Reply(document(broker.events.instance(request.args["id"])))


async def re_emit(broker: BrokerPort, request: Request) -> Reply:
    """Send a trigger instance through the rules again."""
    former = request.args["id"]
    again = await broker.events.re_emit(former)
    message = (
        f"Trigger instance {former} succesfully re-sent."  # codespell:ignore  # clients show it so
    )
    return Reply({"message": message, "payload": again.payload})


async def list_traces(broker: BrokerPort, request: Request) -> Reply:
    """Return a page of traces, newest first."""
    limit, offset = window(request.query)
    attributes = Attributes(request.query, Trace.__struct_fields__)
    found, total = broker.events.traces(
        limit=limit,
        offset=offset,
        ascending=_ascending(request, "start_timestamp") and not request.query["sort_desc"],
        **_given(request, TRACE_FILTERS),
    )
    return listing([attributes.of(document(one)) for one in found], total, limit)


async def get_trace(broker: BrokerPort, request: Request) -> Reply:
    """Return one trace."""
    return Reply(document(broker.events.trace(request.args["id"])))


ENDPOINTS = (
    *endpoints_of(TYPES),
    *endpoints_of(TRIGGERS, limit=None),
    *described(
        Endpoint(
            method="POST",
            path="/triggertypes",
            handler=create_type,
            summary="Create a trigger type.",
            body="the trigger type",
            success=201,
        ),
        Endpoint(
            method="PUT",
            path="/triggertypes/{ref_or_id}",
            handler=update_type,
            summary="Replace a trigger type.",
            body="the trigger type",
        ),
        Endpoint(
            method="DELETE",
            path="/triggertypes/{ref_or_id}",
            handler=delete_type,
            summary="Delete a trigger type that no rule uses.",
            success=204,
        ),
        Endpoint(
            method="GET",
            path="/triggerinstances",
            handler=list_instances,
            summary="List trigger instances, newest first.",
            params=(*page_params(), SORT, *INSTANCE_FILTERS),
        ),
        Endpoint(
            method="GET",
            path="/triggerinstances/{id}",
            handler=get_instance,
            summary="Get a trigger instance.",
        ),
        Endpoint(
            method="POST",
            path="/triggerinstances/{id}/re_emit",
            handler=re_emit,
            summary="Send a trigger instance through the rules again.",
            body="nothing",
        ),
        Endpoint(
            method="GET",
            path="/traces",
            handler=list_traces,
            summary="List traces, newest first.",
            params=(
                *page_params(),
                SORT,
                Param("sort_asc", "Oldest first.", Kind.BOOLEAN, False),
                Param("sort_desc", "Newest first.", Kind.BOOLEAN, False),
                *TRACE_FILTERS,
            ),
        ),
        Endpoint(method="GET", path="/traces/{id}", handler=get_trace, summary="Get a trace."),
    ),
)
