"""`/runnertypes`, `/sensortypes`, `/ruletypes`."""

import hashlib
from typing import Any

from whimbrel.errors import NotFound
from whimbrel.gateway.convert import mapping
from whimbrel.gateway.endpoint import Endpoint, Kind, Param, Reply, Request, described
from whimbrel.gateway.endpoints.content import ContentKind, endpoints_of
from whimbrel.gateway.listing import IDS, document, listing, page_params, window
from whimbrel.gateway.ports import BrokerPort
from whimbrel.model import RunnerType

RUNNERS = ContentKind(
    "runner_type",
    "/runnertypes",
    RunnerType,
    {"name": lambda runner: runner.name},
    (IDS, Param("name", "Only the runner of this name.")),
    always=("id",),
)


def _rule_type(name: str, description: str) -> dict[str, Any]:
    return {
        "id": hashlib.sha256(f"rule_type:{name}".encode()).hexdigest()[:24],
        "name": name,
        "description": description,
        "enabled": True,
        "parameters": {},
    }


RULE_TYPES = (
    _rule_type("standard", "Considered for every event of its trigger."),
    _rule_type("backstop", "Considered for events that no standard rule matched."),
)


async def update_runner(broker: BrokerPort, request: Request) -> Reply:
    """Enable or disable a runner; nothing else of it can be changed."""
    given = mapping(request.body)
    changed = await broker.content.update("runner_type", request.args["ref_or_id"], given)
    return Reply(document(changed))


async def list_sensor_types(broker: BrokerPort, request: Request) -> Reply:
    """Return no sensor types: this version runs none of packs."""
    limit, _ = window(request.query)
    return listing([], 0, limit)


async def list_rule_types(broker: BrokerPort, request: Request) -> Reply:
    """Return the two types of rules."""
    return Reply(list(RULE_TYPES))


async def get_rule_type(broker: BrokerPort, request: Request) -> Reply:
    """Return a type of rules."""
    wanted = request.args["id"]
    for rule_type in RULE_TYPES:
        if wanted in (rule_type["id"], rule_type["name"]):
            return Reply(rule_type)
    raise NotFound(f'RuleType with id "{wanted}" not found.')


ENDPOINTS = (
    *endpoints_of(RUNNERS),
    *described(
        Endpoint(
            method="PUT",
            path="/runnertypes/{ref_or_id}",
            handler=update_runner,
            summary="Enable or disable a runner.",
            body="`enabled`",
        ),
        Endpoint(
            method="GET",
            path="/sensortypes",
            handler=list_sensor_types,
            summary="List sensor types.",
            params=(*page_params(None), Param("enabled", "By being enabled.", Kind.BOOLEAN)),
        ),
        Endpoint(
            method="GET", path="/ruletypes", handler=list_rule_types, summary="List rule types."
        ),
        Endpoint(
            method="GET",
            path="/ruletypes/{id}",
            handler=get_rule_type,
            summary="Get a rule type by id or name.",
        ),
    ),
)
