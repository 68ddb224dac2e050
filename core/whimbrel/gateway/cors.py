"""Which pages of other origins may call (CORS). Without a list of origins none may."""

from collections.abc import Iterable

from whimbrel.gateway.endpoint import Headers, RawHeaders

ANY = "*"
METHODS = b"GET,POST,PUT,DELETE,OPTIONS"
REQUEST_HEADERS = b"Content-Type,Authorization,X-Auth-Token,St2-Api-Key,X-Request-ID"
EXPOSED_HEADERS = b"Content-Type,X-Limit,X-Total-Count,X-Request-ID"


class Cors:
    """Answers `Origin` headers."""

    def __init__(self, origins: Iterable[str]) -> None:
        """`*` allows every origin."""
        self._origins = frozenset(origins)

    def headers(self, request: Headers) -> RawHeaders:
        """Return the headers that let an allowed origin's page read the answer; else none."""
        if not self._origins:
            return []
        origin = request.get(b"origin", b"")
        if not origin or not ({ANY, origin.decode("latin-1")} & self._origins):
            return []
        return [
            (b"access-control-allow-origin", origin),
            (b"access-control-allow-methods", METHODS),
            (b"access-control-allow-headers", REQUEST_HEADERS),
            (b"access-control-allow-credentials", b"true"),
            (b"access-control-expose-headers", EXPOSED_HEADERS),
            (b"vary", b"Origin"),
        ]
