"""`/packs`: installed packs, registering them from disk."""

import msgspec

from whimbrel.gateway.convert import into
from whimbrel.gateway.endpoint import Endpoint, Param, Reply, Request, described
from whimbrel.gateway.endpoints.content import ContentKind, endpoints_of
from whimbrel.gateway.faults import NotOffered
from whimbrel.gateway.listing import IDS
from whimbrel.gateway.ports import BrokerPort
from whimbrel.model import Pack

PACKS = ContentKind(
    "pack",
    "/packs",
    Pack,
    {"name": lambda pack: pack.name, "ref": lambda pack: pack.ref},
    (IDS, Param("name", "Only the pack of this name."), Param("ref", "Only the pack of this ref.")),
)


class _RegisterBody(msgspec.Struct):
    packs: list[str] | None = None
    types: list[str] | None = None
    fail_on_failure: bool | None = None
    all: bool | None = None


async def register(broker: BrokerPort, request: Request) -> Reply:
    """Read packs from disk and register what is in them."""
    body = into(_RegisterBody, request.body)
    counts = await broker.content.register(
        body.packs or None, body.types or None, fail_on_failure=body.fail_on_failure is not False
    )
    return Reply(counts)


async def not_offered(broker: BrokerPort, request: Request) -> Reply:
    """Refuse what this version does not do, and say what does it instead."""
    raise NotOffered(
        "This version does not install or remove packs by itself, and has no pack index. Put the"
        " pack's folder into a packs folder and register it: POST /api/v1/packs/register"
    )


ENDPOINTS = (
    *endpoints_of(PACKS, limit=None),
    *described(
        Endpoint(
            method="POST",
            path="/packs/register",
            handler=register,
            summary="Register packs from disk; answers how many of each kind.",
            body="`packs` (all), `types` (all), `fail_on_failure` (true)",
        ),
        *(
            Endpoint(
                method=method,
                path=f"/packs/{name}",
                handler=not_offered,
                summary="Not offered by this version (501).",
                body=body,
                success=202,
            )
            for method, name, body in (
                ("POST", "install", "any"),
                ("POST", "uninstall", "any"),
                ("GET", "index", ""),
                ("GET", "index/health", ""),
                ("POST", "index/search", "any"),
            )
        ),
    ),
)
