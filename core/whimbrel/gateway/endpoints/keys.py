"""`/keys`: the datastore."""

import msgspec

from whimbrel.broker.keys import ALL_SCOPES, KeyWrite, full_scope
from whimbrel.errors import InvalidInput, PermissionDenied
from whimbrel.gateway.convert import into
from whimbrel.gateway.endpoint import Endpoint, Kind, Param, Reply, Request, described
from whimbrel.gateway.listing import IDS, OFFSET, SORT, document, limit_param, selected, window
from whimbrel.gateway.ports import BrokerPort
from whimbrel.model import USER_SCOPE

SCOPE = Param(
    "scope", "`system`, `user`, their `st2kv.` forms; lists take `all`.", default="system"
)
USER = Param("user", "Whose key, in the user scope.")
DECRYPT = Param("decrypt", "Give secret values in clear text.", Kind.BOOLEAN, False)
PREFIX = Param("prefix", "Only keys whose name begins so.")
NAME = Param("name", "Only the key of this name.")
KEY_PARAMS = (SCOPE, USER, DECRYPT)


class _KeyBody(msgspec.Struct):
    value: str
    name: str | None = None
    scope: str | None = None
    user: str | None = None
    secret: bool | None = None
    encrypted: bool | None = None
    description: str | None = None
    ttl: int | None = None


def _owner(request: Request, scope: str, user: str | None) -> tuple[str, str | None]:
    """Return scope and user of a call. Raises `PermissionDenied` for another user's keys."""
    if user and user != request.caller.user and not request.caller.is_admin:
        raise PermissionDenied(
            f'User "{request.caller.user}" may not use the keys of user "{user}"'
        )
    if scope == ALL_SCOPES:
        return scope, user or request.caller.user
    full = full_scope(scope, user)
    return full, (user or request.caller.user) if full == USER_SCOPE else None


async def list_keys(broker: BrokerPort, request: Request) -> Reply:
    """Return items in the order of their names."""
    query = request.query
    limit, offset = window(query)
    scope, user = _owner(request, query["scope"], query["user"])
    prefix = query["name"] or query["prefix"] or ""
    found = broker.keys.find(scope=scope, user=user, prefix=prefix, limit=limit, offset=offset)
    kept = selected(found, query, {"name": lambda item: item.name})
    headers = ((b"x-limit", b"%d" % limit),) if limit > 0 else ()
    return Reply([document(item) for item in kept], headers=headers)


async def get_key(broker: BrokerPort, request: Request) -> Reply:
    """Return one item."""
    scope, user = _owner(request, request.query["scope"], request.query["user"])
    return Reply(document(broker.keys.get(request.args["name"], scope=scope, user=user)))


async def put_key(broker: BrokerPort, request: Request) -> Reply:
    """Create or replace an item."""
    body = into(_KeyBody, request.body)
    name = request.args["name"]
    if body.name not in (None, "", name):
        raise InvalidInput(f'the path says "{name}", the body "{body.name}"', place="/name")
    scope, user = _owner(request, body.scope or request.query["scope"], body.user)
    write = KeyWrite(
        name=name,
        value=body.value,
        scope=scope,
        user=user,
        secret=bool(body.secret),
        encrypted=bool(body.encrypted),
        description=body.description,
        ttl=body.ttl,
    )
    return Reply(document(await broker.keys.set(write)))


async def delete_key(broker: BrokerPort, request: Request) -> Reply:
    """Remove an item."""
    scope, user = _owner(request, request.query["scope"], request.query["user"])
    await broker.keys.delete(request.args["name"], scope=scope, user=user)
    return Reply()


ENDPOINTS = described(
    Endpoint(
        method="GET",
        path="/keys",
        handler=list_keys,
        summary="List datastore items. Scope `all` gives the system's and then the user's.",
        params=(PREFIX, NAME, SCOPE, USER, DECRYPT, limit_param(), OFFSET, SORT, IDS),
    ),
    Endpoint(
        method="GET",
        path="/keys/{name}",
        handler=get_key,
        summary="Get a datastore item.",
        params=KEY_PARAMS,
    ),
    Endpoint(
        method="PUT",
        path="/keys/{name}",
        handler=put_key,
        summary="Create or replace a datastore item.",
        params=(SCOPE,),
        body="`value`*, `scope`, `user`, `secret`, `encrypted`, `ttl` (seconds), `description`",
    ),
    Endpoint(
        method="DELETE",
        path="/keys/{name}",
        handler=delete_key,
        summary="Delete a datastore item.",
        params=(SCOPE, USER),
        success=204,
    ),
)
