"""Calls the application as a server would, without one."""

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec
from whimbrel.gateway.app import Gateway, Settings
from whimbrel.gateway.endpoint import Endpoint
from whimbrel.gateway.endpoints import ENDPOINTS
from whimbrel.testing import CountedIds

from tests.unit.gateway.fakes import FakeBroker

PORT = 9110


class Answer(msgspec.Struct):
    """What came back."""

    status: int
    headers: dict[str, str]
    data: bytes

    @property
    def document(self) -> Any:
        """The JSON document."""
        return json.loads(self.data)

    @property
    def fault(self) -> str:
        """The text of the error."""
        text: str = self.document["faultstring"]
        return text


class Door:
    """The application over a fake broker, with a caller called ada."""

    def __init__(
        self, settings: Settings | None = None, endpoints: tuple[Endpoint, ...] = ENDPOINTS
    ) -> None:
        self.broker = FakeBroker()
        self.app = Gateway(self.broker, endpoints, CountedIds(), settings)
        self.token = ""

    async def log_in(self) -> None:
        """Get a token for ada."""
        self.token = (await self.broker.identity.issue_token("ada")).token

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: dict[str, str] | None = None,
        port: int = PORT,
        pieces: int = 1,
    ) -> Answer:
        """Make a call with ada's token; `body` bytes go as they are, anything else as JSON."""
        sent = {"X-Auth-Token": self.token, **(headers or {})}
        data = (
            body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        )
        if pieces == 1 and data:
            sent.setdefault("Content-Length", str(len(data)))
        route, _, query = path.partition("?")
        scope = {
            "type": "http",
            "method": method,
            "path": route,
            "raw_path": route.encode(),
            "query_string": query.encode(),
            "headers": [
                (name.lower().encode(), value.encode("latin-1"))
                for name, value in sent.items()
                if value
            ],
            "server": ("127.0.0.1", port),
            "scheme": "http",
        }
        return await _exchange(self.app, scope, _split(data, pieces))


def _split(data: bytes, pieces: int) -> list[MutableMapping[str, Any]]:
    size = max(1, -(-len(data) // pieces))
    parts = [data[i : i + size] for i in range(0, len(data), size)] or [b""]
    return [
        {"type": "http.request", "body": part, "more_body": number < len(parts)}
        for number, part in enumerate(parts, start=1)
    ]


async def _exchange(
    app: Gateway, scope: MutableMapping[str, Any], messages: list[MutableMapping[str, Any]]
) -> Answer:
    answer = Answer(0, {}, b"")

    async def receive() -> MutableMapping[str, Any]:
        if messages:
            return messages.pop(0)
        await asyncio.get_running_loop().create_future()
        raise AssertionError("nothing ever comes here")

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = {n.decode(): v.decode("latin-1") for n, v in message["headers"]}
        else:
            answer.data += message["body"]

    await app(scope, receive, send)
    return answer


def play(case: Callable[[Door], Awaitable[None]], door: Callable[[], Door] = Door) -> None:
    """Run a case against a door of its own."""

    async def run() -> None:
        opened = door()
        await opened.log_in()
        await case(opened)

    asyncio.run(run())
