"""`/auth/v1`: tokens for passwords."""

import base64
import binascii

import msgspec

from whimbrel.errors import InvalidInput, Unauthenticated
from whimbrel.gateway.convert import into
from whimbrel.gateway.endpoint import Endpoint, Reply, Request, described
from whimbrel.gateway.ports import BrokerPort

MISSING = "Invalid or missing credentials"


class _TokenBody(msgspec.Struct):
    ttl: int | None = None
    user: str | None = None
    impersonate_user: str | None = None
    metadata: dict[str, object] | None = None


class _ValidateBody(msgspec.Struct):
    token: str


async def create_token(broker: BrokerPort, request: Request) -> Reply:
    """Answer a name and password with a token."""
    user, password = _basic(request.header(b"authorization"))
    body = into(_TokenBody, request.body)
    other = body.impersonate_user or body.user
    if other and other != user:
        raise InvalidInput(f'User "{user}" may not get a token for "{other}"', place="/user")
    issued = await broker.identity.login(
        user, password, ttl_seconds=body.ttl, metadata=body.metadata
    )
    document = {
        "id": issued.record.id,
        "user": issued.record.user,
        "token": issued.token,
        "expiry": issued.record.expiry,
        "metadata": issued.record.metadata,
    }
    return Reply(document, headers=((b"x-api-url", f"{request.base_url}/api".encode("latin-1")),))


async def validate_token(broker: BrokerPort, request: Request) -> Reply:
    """Say whether a token would be accepted."""
    body = into(_ValidateBody, request.body)
    return Reply({"valid": broker.identity.is_valid(body.token)})


async def sso(broker: BrokerPort, request: Request) -> Reply:
    """Say that there is no single sign-on."""
    return Reply({"enabled": False})


def _basic(authorization: str) -> tuple[str, str]:
    """Return name and password of a Basic header. Raises `Unauthenticated`."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        raise Unauthenticated(MISSING)
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise Unauthenticated(MISSING) from error
    user, colon, password = text.partition(":")
    if not colon or not user:
        raise Unauthenticated(MISSING)
    return user, password


ENDPOINTS = described(
    Endpoint(
        mount="auth",
        method="POST",
        path="/tokens",
        handler=create_token,
        summary="Get a token for a name and password (HTTP Basic).",
        body="`ttl` (seconds), `metadata`; all optional",
        success=201,
        auth=False,
    ),
    Endpoint(
        mount="auth",
        method="POST",
        path="/tokens/validate",
        handler=validate_token,
        summary="Ask whether a token is valid.",
        body="`token`",
        auth=False,
    ),
    Endpoint(
        mount="auth",
        method="GET",
        path="/sso",
        handler=sso,
        summary="Ask whether single sign-on is on.",
        auth=False,
    ),
)
