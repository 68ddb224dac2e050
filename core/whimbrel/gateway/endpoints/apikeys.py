"""`/apikeys`: long-lived keys, shown once."""

from typing import Any

import msgspec

from whimbrel.errors import PermissionDenied
from whimbrel.gateway.convert import into
from whimbrel.gateway.endpoint import Endpoint, Param, Reply, Request, described
from whimbrel.gateway.listing import (
    OFFSET,
    SHOW_SECRETS,
    document,
    limit_param,
    listing,
    selected,
    window,
)
from whimbrel.gateway.ports import BrokerPort
from whimbrel.model import MASK, ApiKey

LIMIT = 50


class _KeyBody(msgspec.Struct):
    id: str | None = None
    user: str | None = None
    key_hash: str | None = None
    metadata: dict[str, Any] | None = None
    enabled: bool | None = None


def _shown(key: ApiKey, request: Request) -> dict[str, Any]:
    shown: dict[str, Any] = document(key)
    if not (request.query.get("show_secrets") and request.caller.is_admin):
        shown.update(uid=MASK, key_hash=MASK)
    return shown


def _user(request: Request, asked: str | None) -> str:
    """Return whose key it is to be. Only an administrator may name somebody else."""
    if asked and asked != request.caller.user and not request.caller.is_admin:
        raise PermissionDenied(f'User "{request.caller.user}" may not make a key of "{asked}"')
    return asked or request.caller.user


async def list_keys(broker: BrokerPort, request: Request) -> Reply:
    """Return API keys, oldest first, hashes masked."""
    limit, offset = window(request.query)
    found, total = broker.identity.api_keys(limit=-1)
    wanted = selected(found, request.query, {"user": lambda key: key.user})
    page = wanted[offset : None if limit < 0 else offset + limit]
    total = len(wanted) if request.query["user"] else total
    return listing([_shown(key, request) for key in page], total, limit)


async def get_key(broker: BrokerPort, request: Request) -> Reply:
    """Return one API key by its id or by itself."""
    return Reply(_shown(broker.identity.api_key(request.args["id_or_key"]), request))


async def create_key(broker: BrokerPort, request: Request) -> Reply:
    """Make an API key; the answer is the only one that shows it."""
    body = into(_KeyBody, request.body)
    issued = await broker.identity.create_api_key(
        _user(request, body.user),
        metadata=body.metadata,
        enabled=body.enabled is not False,
        key_hash=body.key_hash or "",
        key_id=body.id or "",
    )
    shown = _shown(issued.record, request)
    del shown["key_hash"]
    return Reply({**shown, "key": issued.key or None})


async def update_key(broker: BrokerPort, request: Request) -> Reply:
    """Change an API key's user, metadata or whether it is enabled."""
    body = into(_KeyBody, request.body)
    changed = await broker.identity.update_api_key(
        request.args["id_or_key"],
        user=_user(request, body.user) if body.user else None,
        metadata=body.metadata,
        enabled=body.enabled,
        key_hash=body.key_hash or "",
    )
    return Reply(_shown(changed, request))


async def delete_key(broker: BrokerPort, request: Request) -> Reply:
    """Remove an API key."""
    await broker.identity.delete_api_key(request.args["id_or_key"])
    return Reply()


ENDPOINTS = described(
    Endpoint(
        method="GET",
        path="/apikeys",
        handler=list_keys,
        summary="List API keys; hashes are masked.",
        params=(limit_param(LIMIT), OFFSET, SHOW_SECRETS, Param("user", "Only keys of this user.")),
    ),
    Endpoint(
        method="POST",
        path="/apikeys",
        handler=create_key,
        summary="Make an API key; `key` is in this answer alone.",
        body="`user`, `metadata`, `enabled`; `key_hash` and `id` take over an exported key",
        success=201,
    ),
    Endpoint(
        method="GET",
        path="/apikeys/{id_or_key}",
        handler=get_key,
        summary="Get an API key by its id or by itself.",
        params=(SHOW_SECRETS,),
    ),
    Endpoint(
        method="PUT",
        path="/apikeys/{id_or_key}",
        handler=update_key,
        summary="Change an API key; its hash stays as it is.",
        body="`user`, `metadata`, `enabled`",
    ),
    Endpoint(
        method="DELETE",
        path="/apikeys/{id_or_key}",
        handler=delete_key,
        summary="Delete an API key.",
        success=204,
    ),
)
