"""The HTTP server: one uvicorn on several listening sockets, in the broker's own event loop."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from whimbrel.errors import InvalidInput, Unavailable
from whimbrel.gateway.app import Gateway
from whimbrel.gateway.endpoint import Mount

BACKLOG = 1024
CONNECTIONS_MAX = 4096
HEADERS_BYTES_MAX = 64 * 1024
"""Of the request line and the headers of one request; more ends the connection."""

HEADERS_SECONDS = 30.0
"""How long a connection may take for the headers of a request that it began."""

CONTINUE = b"HTTP/1.1 100 "
KEEP_ALIVE_SECONDS = 65
SHUTDOWN_SECONDS = 3
TICK_SECONDS = 1.0


class Listener(msgspec.Struct, frozen=True, kw_only=True):
    """An address to listen on; port 0 takes a free one. `mount` None serves everything."""

    host: str = "127.0.0.1"
    port: int = 0
    mount: Mount | None = None


class Tls(msgspec.Struct, frozen=True, kw_only=True):
    """The certificate chain and its key (PEM files), for all listeners."""

    certificate: Path
    key: Path


class _OneWrite:
    """The transport of one answer, which sends the head together with the first piece of the body."""

    def __init__(self, transport: asyncio.Transport, *, has_body: bool) -> None:
        self._transport = transport
        self._head: bytes | None = b"" if has_body else None
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        """Keep the head; send anything else, with the head in front."""
        if self._head is None or data.startswith(CONTINUE):
            self._transport.write(data)
        elif not self._head:
            self._head = data
        else:
            head, self._head = self._head, None
            self._transport.write(head + data)

    def close(self) -> None:
        """Send what was kept, and end the connection."""
        if self._head:
            self._transport.write(self._head)
        self._transport.close()


class _Protocol(HttpToolsProtocol):
    """uvicorn's protocol with limits on what comes before a body, and one write for a short answer."""

    def connection_made(  # type: ignore[override]  # as uvicorn's own: TCP gives no other transport
        self, transport: asyncio.Transport
    ) -> None:
        super().connection_made(transport)
        self._in_headers = False
        self._header_bytes = 0
        self._header_timer: asyncio.TimerHandle | None = None
        if len(self.connections) > CONNECTIONS_MAX:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_header_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._in_headers and not self.transport.is_closing():
            self._wait_for_headers(len(data))

    def on_message_begin(self) -> None:
        self._in_headers = True
        self._header_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_headers = False
        self._stop_header_timer()
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if size > HEADERS_BYTES_MAX:
            raise ValueError(f"headers are limited to {HEADERS_BYTES_MAX} bytes, got {size}")
        super().on_headers_complete()
        writer = _OneWrite(self.transport, has_body=self.scope["method"] != "HEAD")
        self.cycle.transport = writer  # type: ignore[assignment]  # a cycle writes and closes, no more

    def _wait_for_headers(self, size: int) -> None:
        """Wait for the rest of the headers, not for ever and not for any size."""
        self._header_bytes += size
        if self._header_bytes > HEADERS_BYTES_MAX:
            return self.send_400_response(f"Headers are limited to {HEADERS_BYTES_MAX} bytes.")
        if self._header_timer is None:
            self._header_timer = self.loop.call_later(HEADERS_SECONDS, self.transport.close)
        return None

    def _stop_header_timer(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP the way all errors are told."""
        body = msgspec.json.encode({"faultstring": msg})
        self.transport.write(
            b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\n"
            b"content-length: %d\r\n\r\n%b" % (len(body), body)
        )
        self.transport.close()


class _Server(uvicorn.Server):
    """A server that leaves signals to the application and wakes once a second, not ten times."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()

    async def main_loop(self) -> None:
        while not await self.on_tick(0):  # noqa: ASYNC110  # a tick is a tick of the clock, no event
            await asyncio.sleep(TICK_SECONDS)  # the date in answers is a second old at most


async def serve(
    listeners: Sequence[Listener],
    app: Gateway,
    *,
    tls: Tls | None = None,
    ready: Callable[[Sequence[Listener]], None] | None = None,
) -> None:
    """Serve until cancelled; then end the streams and let requests under way finish for some seconds.

    `ready` is called with the listeners and their true ports once connections are accepted. Raises
    `Unavailable` for an address that cannot be had and `InvalidInput` for unusable TLS files.
    """
    with contextlib.ExitStack() as opened:
        sockets = [opened.enter_context(_bound(listener)) for listener in listeners]
        bound = [
            msgspec.structs.replace(listener, port=one.getsockname()[1])
            for listener, one in zip(listeners, sockets, strict=True)
        ]
        app.mounts.update({one.port: one.mount for one in bound if one.mount is not None})
        server = _Server(_config(app, tls), lambda: ready(bound) if ready else None)
        try:
            await server.serve(sockets)
        finally:
            app.close()
            if server.started:
                await server.shutdown(sockets)


def _config(app: Gateway, tls: Tls | None) -> uvicorn.Config:
    options: dict[str, Any] = {}
    if tls is not None:
        options = {"ssl_certfile": tls.certificate, "ssl_keyfile": tls.key}
    config = uvicorn.Config(
        app,
        http=_Protocol,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        **options,
    )
    try:
        config.load()
    except OSError as error:  # also what ssl raises for files that are no certificate or key
        raise InvalidInput(f"the TLS files cannot be used: {error}", place="tls_cert") from error
    return config


def _bound(listener: Listener) -> socket.socket:
    try:
        return socket.create_server(
            (listener.host, listener.port),
            family=socket.AF_INET6 if ":" in listener.host else socket.AF_INET,
            backlog=BACKLOG,
        )
    except OSError as error:
        option = f"{listener.mount}_port" if listener.mount else "port"
        raise Unavailable(
            f"{option}: {listener.host}:{listener.port} cannot be listened on:"
            f" {os.strerror(error.errno or 0)}. Choose another with --{option.replace('_', '-')}"
        ) from error


__all__ = ["Listener", "Tls", "serve"]
