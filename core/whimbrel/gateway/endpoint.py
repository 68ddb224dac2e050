"""An endpoint, described once: routing, validation, OpenAPI and the reference page follow from it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from enum import StrEnum
from typing import Any, Literal

import msgspec

from whimbrel.gateway.ports import BrokerPort
from whimbrel.model import Caller

RawHeaders = list[tuple[bytes, bytes]]
Headers = Mapping[bytes, bytes]
"""By lower-case name; of a header that was sent twice the first one."""

Mount = Literal["api", "auth", "stream", "root"]


class Kind(StrEnum):
    """How a query parameter is read."""

    TEXT = "text"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    LIST = "list"
    TIMESTAMP = "timestamp"


class Param(msgspec.Struct, frozen=True):
    """A query parameter. A call without it gets `default`."""

    name: str
    summary: str
    kind: Kind = Kind.TEXT
    default: Any = None
    choices: tuple[str, ...] = ()


class Request(msgspec.Struct):
    """A call that was routed, authenticated and read; `query` holds every declared parameter."""

    method: str
    scheme: str
    args: dict[str, str]
    query: dict[str, Any]
    headers: Headers
    body: Any
    caller: Caller

    def header(self, name: bytes) -> str:
        """Return a header's text, by its lower-case name; empty when it was not sent."""
        return self.headers.get(name, b"").decode("latin-1")

    @property
    def base_url(self) -> str:
        """The URL of this server as the caller wrote it, without a path."""
        return f"{self.scheme}://{self.header(b'host')}"


class Reply(msgspec.Struct):
    """An answer: a document for JSON, or `data` as it is. Status 0 is the endpoint's success."""

    document: Any = None
    status: int = 0
    headers: tuple[tuple[bytes, bytes], ...] = ()
    data: bytes | None = None
    content_type: bytes = b"application/json"
    stream: AsyncIterator[bytes] | None = None


Handler = Callable[[BrokerPort, Request], Awaitable[Reply]]


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """One method on one path. `{name}` takes a segment of the path, `{name:path}` all that follows.

    `limit` names the setting that bounds the body; `body` describes it for people, empty: none.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    params: tuple[Param, ...] = ()
    body: str = ""
    success: int = 200
    auth: bool = True
    limit: Literal["max_body_bytes", "max_webhook_body_bytes"] = "max_body_bytes"
    mount: Mount = "api"
    empty: Mapping[str, Any] = msgspec.field(default_factory=dict)
    """The query of a call that gives no parameter; made by `described`."""


def described(*endpoints: Endpoint) -> tuple[Endpoint, ...]:
    """Return the endpoints with the defaults of their parameters gathered."""
    return tuple(
        msgspec.structs.replace(one, empty={param.name: param.default for param in one.params})
        for one in endpoints
    )
