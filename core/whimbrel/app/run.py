"""`whimbrel up`: starts a broker, serves it, and ends it in order."""

import asyncio
import gc
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import structlog

from whimbrel.app import logs
from whimbrel.app.config import Settings
from whimbrel.app.wiring import build, gateway
from whimbrel.broker.application import Broker
from whimbrel.errors import Unavailable, WhimbrelError

ADMIN = "admin"
GRACE_SECONDS = 10.0
"""How long runs that are under way may go on when the broker is asked to end."""

BACKLOG = 1024

SaveLogin = Callable[[str, str, str, str], Path]
"""Keeps a credential (URL, user, token, expiry) for the person who started the broker."""

log = structlog.get_logger(__name__)


def main(settings: Settings, *, save_login: SaveLogin) -> int:
    """Run until SIGTERM or SIGINT; return the exit code."""
    logs.configure(settings)
    try:
        asyncio.run(_run(settings, save_login))
    except* WhimbrelError as group:
        for error in _leaves(group):
            print(f"whimbrel: {error}", file=sys.stderr)
        return 1
    return 0


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


async def _run(settings: Settings, save_login: SaveLogin) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    with Sockets(settings) as sockets:
        settings = sockets.settings
        async with build(settings) as broker:
            await _life(settings, broker, sockets, stopped, save_login)


class Sockets:
    """Listening sockets, bound before anything else is started: a busy port is known at once."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.by_name: dict[str, socket.socket] = {}

    def __enter__(self) -> "Sockets":
        try:
            for name in ("port", "grpc_port", "auth_port", "api_port", "stream_port"):
                if getattr(self.settings, name) is not None:
                    self._bind(name)
        except BaseException:
            self.__exit__()
            raise
        return self

    def _bind(self, name: str) -> None:
        asked: int = getattr(self.settings, name)
        family = socket.AF_INET6 if ":" in self.settings.host else socket.AF_INET
        opened = socket.socket(family, socket.SOCK_STREAM)
        self.by_name[name] = opened
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            opened.bind((self.settings.host, asked))
        except OSError as error:
            raise Unavailable(
                f"{name} {asked} of {self.settings.host} cannot be listened on: {error.strerror}. "
                f"Choose another with --{name.replace('_', '-')}; 0 takes a free one"
            ) from error
        opened.listen(BACKLOG)
        opened.setblocking(False)
        self.settings = msgspec.structs.replace(
            self.settings, **{name: opened.getsockname()[1]}
        )

    def __exit__(self, *_: object) -> None:
        for opened in self.by_name.values():
            opened.close()


async def _life(
    settings: Settings,
    broker: Broker,
    sockets: Sockets,
    stopped: asyncio.Event,
    save_login: SaveLogin,
) -> None:
    ready = asyncio.Event()
    async with AsyncExitStack() as stack:
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        working = tasks.create_task(broker.run(ready))
        await ready.wait()
        await stack.enter_async_context(gateway(settings, broker, sockets.by_name))
        await _welcome(settings, broker, save_login)
        warming = tasks.create_task(broker.host.warm())
        gc.collect()
        gc.freeze()
        await stopped.wait()
        log.info("stopping", active=broker.dispatcher.active(), grace_seconds=GRACE_SECONDS)
        await broker.dispatcher.rest(GRACE_SECONDS)
        warming.cancel()
        working.cancel()


async def _welcome(settings: Settings, broker: Broker, save_login: SaveLogin) -> None:
    """Say that the broker is ready; at the very first start, make an admin and log the caller in."""
    scheme = "https" if settings.tls_cert else "http"
    url = f"{scheme}://{settings.host}:{settings.port}"
    if not settings.users_file and not broker.identity.users.names():
        password = await broker.identity.create_admin(ADMIN)
        issued = await broker.identity.issue_token(ADMIN)
        saved = save_login(url, ADMIN, issued.token, issued.record.expiry)
        _say(f"Made the user {ADMIN}; the whimbrel command of this account is logged in ({saved}).")
        if sys.stdout.isatty():
            _say(f"Log in elsewhere with: whimbrel login {ADMIN}   (password, shown once: {password})")
        else:
            _say(f"Give it a password of your own with: whimbrel passwd {ADMIN}")
    _say(f"Whimbrel {broker.version} is ready at {url}  (data: {settings.folder})")


def _say(line: str) -> None:
    print(line, flush=True)
