"""The one door: an ASGI application that routes, authenticates, validates, converts; no logic."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableMapping
from typing import Any

import msgspec
import structlog

from whimbrel import errors
from whimbrel.gateway.access import SECRET_QUERY, authenticate
from whimbrel.gateway.bodies import Receive, parse_body, read_body
from whimbrel.gateway.cors import Cors
from whimbrel.gateway.endpoint import Endpoint, Headers, Mount, RawHeaders, Reply, Request
from whimbrel.gateway.faults import fault, internal_fault
from whimbrel.gateway.ports import BrokerPort
from whimbrel.gateway.query import converted, parse_query
from whimbrel.gateway.routing import Router, split_mount
from whimbrel.model import Caller
from whimbrel.seams import Ids

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

REQUEST_ID_LENGTH_MAX = 128
NO_CONTENT = 204
NOBODY = Caller(user="", method="")
ENCODER = msgspec.json.Encoder()

log = structlog.get_logger(__name__)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What can be set of the gateway. `auth_cookie` answers a token with StackStorm's cookie."""

    max_body_bytes: int = 2 << 20
    max_webhook_body_bytes: int = 1 << 20
    max_requests: int = 1000
    max_stream_clients: int = 256
    allow_origin: tuple[str, ...] = ()
    auth_cookie: bool = True
    auth_cookie_secure: bool = True


class Gateway:
    """The application. `mounts` maps a local port to the one mount that it serves; others serve all."""

    def __init__(
        self,
        broker: BrokerPort,
        endpoints: Iterable[Endpoint],
        ids: Ids,
        settings: Settings | None = None,
    ) -> None:
        self.mounts: dict[int, Mount] = {}
        self._broker = broker
        self._ids = ids
        self._settings = settings or Settings()
        self._cors = Cors(self._settings.allow_origin)
        by_mount: dict[Mount, list[Endpoint]] = {"api": [], "auth": [], "stream": [], "root": []}
        for endpoint in endpoints:
            by_mount[endpoint.mount].append(endpoint)
        self._routers = {mount: Router(found) for mount, found in by_mount.items()}
        self._limits = {
            "max_body_bytes": self._settings.max_body_bytes,
            "max_webhook_body_bytes": self._settings.max_webhook_body_bytes,
        }
        self._requests = 0
        self._streams = 0
        self._closing = asyncio.Event()

    def close(self) -> None:
        """End the open streams, so that connections can be closed."""
        self._closing.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        assert scope["type"] == "http", "the server speaks plain HTTP only"
        headers: Headers = dict(reversed(scope["headers"]))
        reference = self._reference(headers)
        self._requests += 1
        try:
            reply = await self._answer(scope, receive, headers)
        except errors.WhimbrelError as error:
            reply = fault(error) or self._broken(scope, reference)
        except RecursionError:
            reply = _too_deep()
        except Exception:  # noqa: BLE001  # the supervisor of all requests: it records and answers
            reply = self._broken(scope, reference)
        finally:
            self._requests -= 1
        answer = [*reply.headers, *self._cors.headers(headers), (b"x-request-id", reference)]
        if reply.stream is None:
            await _send_whole(reply, answer, send)
        else:
            await self._send_stream(reply.stream, reply, answer, receive, send)

    # -- the way in ---------------------------------------------------------------------------------

    async def _answer(self, scope: Scope, receive: Receive, headers: Headers) -> Reply:
        method = scope["method"]
        if method == "OPTIONS":
            return Reply(data=b"", status=200)
        if self._requests > self._settings.max_requests:
            raise errors.Unavailable(
                f"{self._requests} requests are under way; max_requests is"
                f" {self._settings.max_requests}"
            )
        _, port = scope["server"]
        mount, path = split_mount(scope["raw_path"].decode("latin-1"), self.mounts.get(port))
        endpoint, args = self._routers[mount].match(method, path)
        given = parse_query(scope["query_string"]) if scope["query_string"] else {}
        caller, token = NOBODY, ""
        if endpoint.auth:
            caller, token = authenticate(self._broker.identity, headers, given)
        query = converted(endpoint, given) if endpoint.params else {}
        body = await self._body(endpoint, receive, headers) if endpoint.body else None
        request = Request(method, scope["scheme"], args, query, headers, body, caller)
        reply = await endpoint.handler(self._broker, request)
        reply.status = reply.status or endpoint.success
        if reply.data is None and reply.stream is None:
            reply.data = _encoded(reply)
        if token and self._settings.auth_cookie:
            reply.headers = (*reply.headers, self._cookie(token))
        return reply

    async def _body(self, endpoint: Endpoint, receive: Receive, headers: Headers) -> Any:
        data = await read_body(
            receive,
            declared=int(headers.get(b"content-length", b"-1")),
            limit=endpoint.limit,
            maximum=self._limits[endpoint.limit],
        )
        return parse_body(data, headers.get(b"content-type", b"").decode("latin-1"))

    def _reference(self, headers: Headers) -> bytes:
        """Return the id of this request: the caller's own if it is fit to be sent back, else a new one."""
        given = headers.get(b"x-request-id", b"")
        is_fit = 0 < len(given) <= REQUEST_ID_LENGTH_MAX and given.isascii()
        if is_fit and given.decode("ascii").isprintable():
            return given
        return self._ids.uuid().encode()

    def _broken(self, scope: Scope, reference: bytes) -> Reply:
        """Record a failure of our own: where and why, never the query or the body."""
        log.error(
            "a request failed",
            reference=reference.decode(),
            method=scope["method"],
            path=scope["path"],
            exc_info=True,
        )
        return internal_fault(reference.decode())

    def _cookie(self, token: str) -> tuple[bytes, bytes]:
        secure = " Secure;" if self._settings.auth_cookie_secure else ""
        text = f"auth-token={token}; HttpOnly;{secure} Path=/; SameSite=lax"
        return (b"set-cookie", text.encode("latin-1"))

    # -- the way out --------------------------------------------------------------------------------

    async def _send_stream(
        self,
        chunks: AsyncIterator[bytes],
        reply: Reply,
        headers: RawHeaders,
        receive: Receive,
        send: Send,
    ) -> None:
        """Send pieces until they end, the client goes away or the gateway closes."""
        if self._streams >= self._settings.max_stream_clients:
            refused = fault(
                errors.Unavailable(
                    f"{self._streams} streams are open; max_stream_clients is"
                    f" {self._settings.max_stream_clients}"
                )
            )
            assert refused is not None
            return await _send_whole(refused, headers, send)
        self._streams += 1
        try:
            await _send_head(reply, headers, send)
            await self._relay(chunks, receive, send)
        finally:
            self._streams -= 1
        return await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _relay(self, chunks: AsyncIterator[bytes], receive: Receive, send: Send) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                running = [
                    tasks.create_task(_send_chunks(chunks, send)),
                    tasks.create_task(_disconnected(receive)),
                    tasks.create_task(self._closing.wait()),
                ]
                await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in running:
                    task.cancel()
        except* errors.WhimbrelError as group:
            reasons = [str(error) for error in group.exceptions]
            log.info("a stream was ended", reasons=reasons)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send_head(reply: Reply, headers: RawHeaders, send: Send) -> None:
    head = [(b"content-type", reply.content_type), (b"cache-control", b"no-cache"), *headers]
    await send({"type": "http.response.start", "status": reply.status, "headers": head})


async def _send_chunks(chunks: AsyncIterator[bytes], send: Send) -> None:
    async for chunk in chunks:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})


async def _send_whole(reply: Reply, headers: RawHeaders, send: Send) -> None:
    data = _encoded(reply) if reply.data is None else reply.data
    head = list(headers)
    if reply.status != NO_CONTENT:
        head.append((b"content-type", reply.content_type))
        head.append((b"content-length", b"%d" % len(data)))
    await send({"type": "http.response.start", "status": reply.status, "headers": head})
    await send({"type": "http.response.body", "body": data, "more_body": False})


def _encoded(reply: Reply) -> bytes:
    return b"" if reply.status == NO_CONTENT else ENCODER.encode(reply.document)


def _too_deep() -> Reply:
    refused = fault(errors.InvalidInput("the body is nested too deep to be handled"))
    assert refused is not None
    return refused


__all__ = ["SECRET_QUERY", "Gateway", "Settings"]
