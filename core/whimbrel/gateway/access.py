"""Who calls: the credentials of a request, in StackStorm's order of carriers."""

from collections.abc import Mapping

from whimbrel.broker.identity import Identity
from whimbrel.errors import Unauthenticated
from whimbrel.gateway.endpoint import Headers
from whimbrel.model import Caller

COOKIE = "auth-token"
QUERY_TOKEN = "x-auth-token"  # noqa: S105  # the name of a parameter
QUERY_KEY = "st2-api-key"
SECRET_QUERY = frozenset({QUERY_TOKEN, QUERY_KEY})


def authenticate(
    identity: Identity, headers: Headers, query: Mapping[str, str]
) -> tuple[Caller, str]:
    """Return the caller and the token that said so (empty for an API key or a cookie).

    The first carrier that is there decides: header `X-Auth-Token`, header `St2-Api-Key`, the same two
    in the query, cookie `auth-token`. Raises `Unauthenticated`.
    """
    try:
        return _authenticate(identity, headers, query)
    except Unauthenticated as error:
        raise Unauthenticated(f"Unauthorized - {error}") from error


def _authenticate(
    identity: Identity, headers: Headers, query: Mapping[str, str]
) -> tuple[Caller, str]:
    if token := headers.get(b"x-auth-token", b"").decode("latin-1"):
        return identity.authenticate(token=token), token
    if key := headers.get(b"st2-api-key", b"").decode("latin-1"):
        return identity.authenticate(api_key=key), ""
    if token := query.get(QUERY_TOKEN, ""):
        return identity.authenticate(token=token, location="query"), token
    if key := query.get(QUERY_KEY, ""):
        return identity.authenticate(api_key=key, location="query"), ""
    return identity.authenticate(token=_cookie(headers.get(b"cookie", b"")), location="cookie"), ""


def _cookie(cookies: bytes) -> str:
    for pair in cookies.decode("latin-1").split(";"):
        name, _, value = pair.strip().partition("=")
        if name == COOKIE:
            return value.strip('"')
    return ""
