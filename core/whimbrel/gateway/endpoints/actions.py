"""`/actions`."""

import asyncio
from typing import Any

import msgspec

from whimbrel.gateway.convert import into, mapping
from whimbrel.gateway.endpoint import Endpoint, Param, Reply, Request, described
from whimbrel.gateway.endpoints.content import ContentKind, endpoints_of
from whimbrel.gateway.listing import (
    IDS,
    Attributes,
    document,
    listing,
    page_params,
    selected,
    window,
)
from whimbrel.gateway.ports import BrokerPort
from whimbrel.model import Action

FILTERS = {
    "name": lambda action: action.name,
    "pack": lambda action: action.pack,
    "tags": lambda action: frozenset(tag.get("name") for tag in action.tags),
}
FILTER_PARAMS = (
    IDS,
    Param("name", "Only actions of this name."),
    Param("pack", "Only actions of this pack."),
    Param("tags", "Only actions with a tag of this name."),
)
KIND = ContentKind(
    "action",
    "/actions",
    Action,
    FILTERS,
    FILTER_PARAMS,
    excludable=frozenset({"parameters", "notify"}),
)


class _CloneBody(msgspec.Struct):
    dest_pack: str
    dest_action: str
    overwrite: bool = False


class _DeleteBody(msgspec.Struct):
    remove_files: bool = False


async def create(broker: BrokerPort, request: Request) -> Reply:
    """Create an action; `data_files` are written into its pack."""
    return Reply(document(await broker.content.create("action", mapping(request.body))))


async def update(broker: BrokerPort, request: Request) -> Reply:
    """Replace an action."""
    ref_or_id = request.args["ref_or_id"]
    changed = await broker.content.update("action", ref_or_id, mapping(request.body))
    return Reply(document(changed))


async def delete(broker: BrokerPort, request: Request) -> Reply:
    """Remove an action, and its files when asked to."""
    body = into(_DeleteBody, request.body)
    await broker.content.delete("action", request.args["ref_or_id"], remove_files=body.remove_files)
    return Reply()


async def clone(broker: BrokerPort, request: Request) -> Reply:
    """Copy an action into a pack, with its file."""
    body = into(_CloneBody, request.body)
    copied = await broker.content.clone(
        request.args["ref_or_id"], body.dest_pack, body.dest_action, overwrite=body.overwrite
    )
    return Reply(document(copied))


def _with_runner(broker: BrokerPort, action: Action) -> dict[str, Any]:
    """Return the action with its runner's parameters beside its own, its own in front."""
    shown: dict[str, Any] = document(action)
    shown["parameters"] = merged_parameters(broker, action)
    return shown


def merged_parameters(broker: BrokerPort, action: Action) -> dict[str, Any]:
    """Return the parameters that a caller of the action can give: the runner's, changed by its own."""
    runner = broker.content.find("runner_type", action.runner_type)
    merged = {name: dict(schema) for name, schema in runner.runner_parameters.items()}
    for name, schema in action.parameters.items():
        merged[name] = {**merged.get(name, {}), **schema}
    return merged


async def parameters_view(broker: BrokerPort, request: Request) -> Reply:
    """Return an action's and its runner's parameters together."""
    action = broker.content.find("action", request.args["ref_or_id"])
    return Reply({"parameters": merged_parameters(broker, action)})


async def overview(broker: BrokerPort, request: Request) -> Reply:
    """Return actions with their runners' parameters."""
    limit, offset = window(request.query)
    attributes = Attributes(request.query, Action.__struct_fields__, always=("id", "ref"))
    found = selected(broker.content.all("action"), request.query, FILTERS)
    page = found[offset : None if limit < 0 else offset + limit]
    shown = [attributes.of(_with_runner(broker, action)) for action in page]
    return listing(shown, len(found), limit)


async def overview_of_one(broker: BrokerPort, request: Request) -> Reply:
    """Return one action with its runner's parameters."""
    action = broker.content.find("action", request.args["ref_or_id"])
    return Reply(_with_runner(broker, action))


async def entry_point(broker: BrokerPort, request: Request) -> Reply:
    """Return the text of an action's entry point."""
    action: Action = broker.content.find("action", request.args["ref_or_id"])
    text = await asyncio.to_thread(broker.content.entry_point_text, action)
    is_yaml = action.entry_point.endswith((".yaml", ".yml"))
    return Reply(
        data=text.encode(), content_type=b"application/x-yaml" if is_yaml else b"text/plain"
    )


ENDPOINTS = (
    *endpoints_of(KIND, limit=None),
    *described(
        Endpoint(
            method="POST",
            path="/actions",
            handler=create,
            summary="Create an action.",
            body="the action; `data_files`: [{`file_path`, `content`}] written into its pack",
            success=201,
        ),
        Endpoint(
            method="PUT",
            path="/actions/{ref_or_id}",
            handler=update,
            summary="Replace an action.",
            body="the action; `data_files` as for creating",
        ),
        Endpoint(
            method="DELETE",
            path="/actions/{ref_or_id}",
            handler=delete,
            summary="Delete an action.",
            body="`remove_files`",
            success=204,
        ),
        Endpoint(
            method="POST",
            path="/actions/{ref_or_id}/clone",
            handler=clone,
            summary="Copy an action.",
            body="`dest_pack`*, `dest_action`*, `overwrite`",
            success=201,
        ),
        Endpoint(
            method="GET",
            path="/actions/views/parameters/{ref_or_id}",
            handler=parameters_view,
            summary="An action's parameters with its runner's.",
        ),
        Endpoint(
            method="GET",
            path="/actions/views/overview",
            handler=overview,
            summary="Actions with their runners' parameters.",
            params=(*page_params(None), *FILTER_PARAMS),
        ),
        Endpoint(
            method="GET",
            path="/actions/views/overview/{ref_or_id}",
            handler=overview_of_one,
            summary="An action with its runner's parameters.",
        ),
        Endpoint(
            method="GET",
            path="/actions/views/entry_point/{ref_or_id}",
            handler=entry_point,
            summary="The text of an action's entry point.",
        ),
    ),
)
