"""The server on real sockets."""

import asyncio
import http.client
import json
import socket
import ssl
import subprocess
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from whimbrel.errors import InvalidInput, Unavailable
from whimbrel.gateway import http as server
from whimbrel.gateway.app import Settings
from whimbrel.gateway.http import Listener, Tls, serve

from tests.unit.gateway.calls import Door

Case = Callable[[Door, Sequence[Listener]], Awaitable[None]]
EVERYTHING = (Listener(),)


def served(
    case: Case,
    listeners: Sequence[Listener] = EVERYTHING,
    *,
    settings: Settings | None = None,
    tls: Tls | None = None,
) -> None:
    """Serve a door, play the case, stop serving."""

    async def run() -> None:
        door = Door(settings)
        await door.log_in()
        bound: asyncio.Future[Sequence[Listener]] = asyncio.get_running_loop().create_future()
        async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            serving = tasks.create_task(serve(listeners, door.app, tls=tls, ready=bound.set_result))
            await case(door, await bound)
            serving.cancel()

    asyncio.run(run())


def exchange(
    port: int, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """Make one request; blocks, so call it in a thread."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()
    finally:
        connection.close()


def raw(port: int, data: bytes) -> bytes:
    """Send bytes and return what comes back until the end; blocks."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(data)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
        return answer


def test_one_application_on_several_listeners() -> None:
    """Each extra listener serves its mount, all the others' paths are unknown there."""
    listeners = (
        Listener(),
        *(Listener(mount="auth"), Listener(mount="api"), Listener(mount="stream")),
    )

    async def case(door: Door, bound: Sequence[Listener]) -> None:
        main, auth, api, stream = (one.port for one in bound)
        for port, path, status in (
            (main, "/api/v1/user", 200),
            (main, "/user", 404),
            (auth, "/sso", 200),
            (auth, "/user", 404),
            (api, "/v1/user", 200),
            (api, "/user/", 200),
            (stream, "/v1/user", 404),
        ):
            got, headers, data = await asyncio.to_thread(
                exchange, port, "GET", path, x_auth_token=door.token
            )
            assert ((port, path), got) == ((port, path), status)
            assert headers["content-type"] == "application/json"
            assert json.loads(data)

    served(case, listeners)


def test_a_connection_is_kept_for_the_next_request() -> None:
    """Also after an error, and after a body that was too large and not read."""

    def talk(port: int, token: str) -> list[int]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        statuses = []
        for body in (b"{}", b"x" * 2000, b"{}"):
            connection.request("POST", "/api/v1/webhooks/in/box", body, {"X-Auth-Token": token})
            response = connection.getresponse()
            response.read()
            statuses.append(response.status)
        assert connection.sock is not None
        connection.close()
        return statuses

    async def case(door: Door, bound: Sequence[Listener]) -> None:
        statuses = await asyncio.to_thread(talk, bound[0].port, door.token)
        assert statuses == [202, 413, 202]

    served(case, settings=Settings(max_webhook_body_bytes=1000))


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense\r\n\r\n",
        b"GET /health HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"GET /health HTTP/1.1\r\nA: " + b"x" * (server.HEADERS_BYTES_MAX + 1) + b"\r\n\r\n",
        b"GET /" + b"x" * (server.HEADERS_BYTES_MAX + 1) + b" HTTP/1.1\r\n\r\n",
    ],
)
def test_what_is_not_http_is_refused(data: bytes) -> None:
    """With 400, a text, and the end of the connection."""

    async def case(door: Door, bound: Sequence[Listener]) -> None:
        answer = await asyncio.to_thread(raw, bound[0].port, data)
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["faultstring"]

    served(case)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_several_requests_in_one_packet_are_answered_in_order(method: str) -> None:
    """Also with methods whose answers have no body."""

    async def case(door: Door, bound: Sequence[Listener]) -> None:
        request = f"{method} /health HTTP/1.1\r\nHost: h\r\n"
        data = f"{request}X-Request-ID: one\r\n\r\n{request}X-Request-ID: two\r\nConnection: close\r\n\r\n"
        answer = await asyncio.to_thread(raw, bound[0].port, data.encode())
        assert answer.count(b"HTTP/1.1 ") == 2
        assert answer.index(b"x-request-id: one") < answer.index(b"x-request-id: two")

    served(case)


def test_a_client_may_ask_before_it_sends() -> None:
    """`Expect: 100-continue` is answered before the body comes, unless the body is too large."""

    async def talk(port: int, token: str, size: int) -> tuple[bytes, bytes]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            f"POST /api/v1/webhooks/in/box HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n"
            f"Content-Length: {size}\r\nX-Auth-Token: {token}\r\n\r\n".encode()
        )
        first = await reader.readline()
        writer.write(b'{"a":1}'.ljust(size))
        writer.write_eof()
        rest = await reader.read(-1)
        writer.close()
        return first, rest

    async def case(door: Door, bound: Sequence[Listener]) -> None:
        first, rest = await talk(bound[0].port, door.token, 50)
        assert first == b"HTTP/1.1 100 Continue\r\n"
        assert rest.startswith(b"\r\nHTTP/1.1 202 ")
        first, _ = await talk(bound[0].port, door.token, 5000)
        assert first.startswith(b"HTTP/1.1 413 ")

    served(case, settings=Settings(max_webhook_body_bytes=1000))


def test_a_connection_has_to_get_to_the_point(monkeypatch: pytest.MonkeyPatch) -> None:
    """Headers that never end, end the connection."""
    monkeypatch.setattr(server, "HEADERS_SECONDS", 0.01)

    async def case(door: Door, bound: Sequence[Listener]) -> None:
        assert await asyncio.to_thread(raw, bound[0].port, b"GET /health HTTP/1.1\r\nA: ") == b""

    served(case)


def test_connections_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """One too many is closed at once; the others go on."""
    monkeypatch.setattr(server, "CONNECTIONS_MAX", 1)

    def talk(port: int) -> bytes:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as first:
            first.sendall(b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n")
            answer = first.recv(1000)
            with (
                socket.create_connection(("127.0.0.1", port), timeout=10) as second,
                suppress(ConnectionResetError),
            ):
                assert second.recv(1000) == b""
            return answer

    async def case(door: Door, bound: Sequence[Listener]) -> None:
        assert (await asyncio.to_thread(talk, bound[0].port)).startswith(b"HTTP/1.1 200 ")

    served(case)


def test_a_stream_ends_when_its_reader_goes_away() -> None:
    """Nothing is kept for who does not listen."""

    async def case(door: Door, bound: Sequence[Listener]) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", bound[0].port)
        request = f"GET /stream/v1/stream?x-auth-token={door.token} HTTP/1.1\r\nHost: h\r\n\r\n"
        writer.write(request.encode())
        assert b"text/event-stream" in await reader.readuntil(b"\r\n\r\n")
        assert door.broker.stream._subscriptions
        writer.close()
        while door.broker.stream._subscriptions:
            await asyncio.sleep(0)

    served(case)


def test_stopping_ends_open_streams() -> None:
    """A stream does not hold up the end of the server."""
    ended: list[bytes] = []

    async def listen(port: int, token: str) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        request = f"GET /stream/v1/stream?x-auth-token={token} HTTP/1.1\r\nHost: h\r\n\r\n"
        writer.write(request.encode())
        ended.append(await reader.read(-1))
        writer.close()

    async def run() -> None:
        door = Door()
        await door.log_in()
        bound: asyncio.Future[Sequence[Listener]] = asyncio.get_running_loop().create_future()
        async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            serving = tasks.create_task(serve(EVERYTHING, door.app, ready=bound.set_result))
            tasks.create_task(listen((await bound)[0].port, door.token))
            while not door.broker.stream._subscriptions:
                await asyncio.sleep(0)
            serving.cancel()

    asyncio.run(run())

    assert ended[0].endswith(b"0\r\n\r\n")


def certificate(folder: Path) -> Tls:
    """Return a certificate for localhost."""
    tls = Tls(certificate=folder / "cert.pem", key=folder / "key.pem")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(tls.key), "-out", str(tls.certificate)]
    subprocess.run([*command.split(), *names, *files], check=True, capture_output=True)
    return tls


def test_tls(tmp_path: Path) -> None:
    """With a certificate the listeners speak HTTPS."""
    tls = certificate(tmp_path)

    def talk(port: int) -> Any:
        context = ssl.create_default_context(cafile=str(tls.certificate))
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=context)
        connection.request("GET", "/health")
        response = connection.getresponse()
        document = json.loads(response.read())
        connection.close()
        return document

    async def case(door: Door, bound: Sequence[Listener]) -> None:
        assert await asyncio.to_thread(talk, bound[0].port) == {"status": "ok"}

    served(case, tls=tls)


def test_unusable_tls_files_are_refused(tmp_path: Path) -> None:
    """Before anything is served."""
    missing = Tls(certificate=tmp_path / "none", key=tmp_path / "none")

    with pytest.raises(InvalidInput, match="tls_cert: the TLS files cannot be used"):
        asyncio.run(serve(EVERYTHING, Door().app, tls=missing))


def test_an_address_that_is_taken_is_refused() -> None:
    """The error names it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Unavailable, match=rf"port: 127\.0\.0\.1:{port}"):
            asyncio.run(serve((Listener(port=port),), Door().app))
