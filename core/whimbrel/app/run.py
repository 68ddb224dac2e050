"""`whimbrel up`: starts a broker, serves it, and ends it in order."""

import asyncio
import gc
import signal
import socket
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import msgspec
import structlog

from whimbrel.app import logs
from whimbrel.app.config import Settings
from whimbrel.app.wiring import build, served
from whimbrel.broker.application import Broker
from whimbrel.errors import WhimbrelError

ADMIN = "admin"
GRACE_SECONDS = 10.0
"""How long runs that are under way may go on when the broker is asked to end."""

GC_ALLOCATIONS = 50_000
"""Objects that may be allocated before the collector looks; Python's 700 is a look at every request."""

SWITCH_SECONDS = 0.0005
"""How long one thread may keep another waiting; Python's 5 ms is longer than a whole run."""

SaveLogin = Callable[[str, str, str, datetime], Path]
"""Keeps a credential (URL, user, token, expiry) for the person who started the broker."""

log = structlog.get_logger(__name__)


def main(settings: Settings, *, save_login: SaveLogin) -> int:
    """Run until SIGTERM or SIGINT; return the exit code."""
    logs.configure(settings)
    try:
        asyncio.run(_run(settings, save_login))
    except (WhimbrelError, OSError, BaseExceptionGroup) as error:
        for reason in _reasons(error):
            print(f"whimbrel: {reason}", file=sys.stderr)
        return 1
    return 0


def _reasons(error: BaseException) -> list[str]:
    """Return what a person should read of it; what is not meant for people is raised."""
    if isinstance(error, BaseExceptionGroup):
        return [reason for inner in error.exceptions for reason in _reasons(inner)]
    if isinstance(error, OSError) and error.filename:
        return [f"{error.filename}: {error.strerror}"]
    if not isinstance(error, WhimbrelError):
        raise error
    return [str(error)]


async def _run(settings: Settings, save_login: SaveLogin) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    settings = _with_port(settings)
    for folder in (settings.folder, settings.run_folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    async with build(settings) as broker:
        await _life(settings, broker, stopped, save_login)


def _with_port(settings: Settings) -> Settings:
    """Choose the free port that port 0 asks for now: plugins are told the URL before it is served."""
    if settings.port != 0:
        return settings
    with socket.socket() as probe:
        probe.bind((settings.host, 0))
        return msgspec.structs.replace(settings, port=probe.getsockname()[1])


async def _life(
    settings: Settings,
    broker: Broker,
    stopped: asyncio.Event,
    save_login: SaveLogin,
) -> None:
    ready = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        working = tasks.create_task(broker.run(ready))
        await ready.wait()
        async with served(settings, broker):
            await _welcome(settings, broker, save_login)
            broker.host.warm()
            _settle()
            await stopped.wait()
            log.info("stopping", active=broker.dispatcher.active(), grace_seconds=GRACE_SECONDS)
        await broker.dispatcher.rest(GRACE_SECONDS)
        working.cancel()


def _settle() -> None:
    """Spare the collector what was built to stay, and let the store's writer have its turn sooner.

    What requests allocate is freed by its references.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_ALLOCATIONS)
    sys.setswitchinterval(SWITCH_SECONDS)


async def _welcome(settings: Settings, broker: Broker, save_login: SaveLogin) -> None:
    """Say that the broker is ready; at the very first start, make an admin and log the caller in."""
    scheme = "https" if settings.tls_cert else "http"
    url = f"{scheme}://{settings.host}:{settings.port}"
    if not settings.users_file and not broker.identity.users.names():
        password = await broker.identity.create_admin(ADMIN)
        issued = await broker.identity.issue_token(ADMIN)
        saved = save_login(url, ADMIN, issued.token, datetime.fromisoformat(issued.record.expiry))
        _say(f"Made the user {ADMIN}; the whimbrel command of this account is logged in ({saved}).")
        if sys.stdout.isatty():
            _say(
                f"Log in elsewhere with: whimbrel login {ADMIN}   (password, shown once: {password})"
            )
        else:
            _say(f"Give it a password of your own with: whimbrel passwd {ADMIN}")
    _say(f"Whimbrel {broker.version} is ready at {url}  (data: {settings.folder})")


def _say(line: str) -> None:
    print(line, flush=True)
