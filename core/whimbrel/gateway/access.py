"""Who calls: the credentials of a request, in StackStorm's order of carriers."""

from collections.abc import Mapping

from whimbrel.broker.identity import Identity
from whimbrel.errors import Unauthenticated
from whimbrel.gateway.endpoint import RawHeaders
from whimbrel.model import Caller

COOKIE = "auth-token"
QUERY_TOKEN = "x-auth-token"  # noqa: S105  # the name of a parameter
QUERY_KEY = "st2-api-key"
SECRET_QUERY = frozenset({QUERY_TOKEN, QUERY_KEY})


def authenticate(
    identity: Identity, headers: RawHeaders, query: Mapping[str, str]
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
    identity: Identity, headers: RawHeaders, query: Mapping[str, str]
) -> tuple[Caller, str]:
    token = key = cookies = ""
    for name, value in headers:
        if name == b"x-auth-token":
            token = value.decode("latin-1")
        elif name == b"st2-api-key":
            key = value.decode("latin-1")
        elif name == b"cookie":
            cookies = value.decode("latin-1")
    if token:
        return identity.authenticate(token=token), token
    if key:
        return identity.authenticate(api_key=key), ""
    if token := query.get(QUERY_TOKEN, ""):
        return identity.authenticate(token=token, location="query"), token
    if key := query.get(QUERY_KEY, ""):
        return identity.authenticate(api_key=key, location="query"), ""
    return identity.authenticate(token=_cookie(cookies), location="cookie"), ""


def _cookie(cookies: str) -> str:
    for pair in cookies.split(";"):
        name, _, value = pair.strip().partition("=")
        if name == COOKIE:
            return value.strip('"')
    return ""
