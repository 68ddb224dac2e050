"""Be a plugin: obey the host's environment, say when ready, stop when told or left alone."""

import asyncio
import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from whimbrel_sdk.plugin import Plugin
from whimbrel_sdk.runs import RunTable

COOKIE = "whimbrel-plugin-d41e7c"
"""Set by the host in WHIMBREL_PLUGIN_COOKIE. No secret: it only tells a host from a person."""

READY_PREFIX = "WHIMBREL-PLUGIN-1"
EXIT_USAGE = 64
SOCKET_PATH_BYTES = 100
STOP_GRACE_SECONDS = 5.0
EXIT_SECONDS = 2.0
"""What closing the transport may take after the runs have ended."""


@dataclass(frozen=True, slots=True)
class Launch:
    """What the host says in the environment."""

    address: str
    instance_id: str


class Stop:
    """The request to stop, and why. Belongs to the loop's thread."""

    def __init__(self) -> None:
        self.grace_seconds = STOP_GRACE_SECONDS
        self.host_is_gone = False
        self._requested = asyncio.Event()

    def request(self, grace_seconds: float) -> None:
        """Ask to stop; the first request decides the grace time."""
        if not self._requested.is_set():
            self.grace_seconds = grace_seconds or STOP_GRACE_SECONDS
            self._requested.set()

    def lose_host(self) -> None:
        """Ask to stop because nobody is left to serve, or to clean up behind this process."""
        self.host_is_gone = True
        self.request(STOP_GRACE_SECONDS)

    async def requested(self) -> None:
        """Wait for the request."""
        await self._requested.wait()


class Streams:
    """The standard streams, put out of reach of stray prints and of children.

    Afterwards fd 0 is empty and fd 1 is the log; the ready line and the lifeline have private ones.
    """

    def __init__(self) -> None:
        self._lifeline = os.dup(0)
        self._ready = os.dup(1)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        os.dup2(2, 1)

    def announce(self, address: str) -> None:
        """Tell the host that this plugin serves at `address`; once."""
        line = json.dumps({"transport": "grpc", "address": address})
        os.write(self._ready, f"{READY_PREFIX} {line}\n".encode())
        os.close(self._ready)

    def watch_lifeline(self, loop: asyncio.AbstractEventLoop, stop: Stop) -> None:
        """Stop when the host is gone, and leave nobody behind, even if the loop hangs."""

        def watch() -> None:
            while os.read(self._lifeline, 4096):
                pass
            with contextlib.suppress(RuntimeError):  # the loop is closed: the process ends anyway
                loop.call_soon_threadsafe(stop.lose_host)
            time.sleep(STOP_GRACE_SECONDS + EXIT_SECONDS)
            end_group()

        threading.Thread(target=watch, name="lifeline", daemon=True).start()


def end_group() -> NoReturn:
    """Kill the process group that this process leads, itself included."""
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def serve(plugin: Plugin) -> NoReturn:
    """Serve the plugin until the host shuts it down or goes away; then end the process."""
    launch = _launch(plugin, os.environ)
    stop = asyncio.run(_serve(plugin, launch, Streams()))
    if stop.host_is_gone:
        end_group()
    sys.exit(0)


async def _serve(plugin: Plugin, launch: Launch, streams: Streams) -> Stop:
    # Here, because only who serves shall pay for loading gRPC.
    from whimbrel_sdk.grpc_transport import GrpcTransport

    loop, stop = asyncio.get_running_loop(), Stop()
    async with asyncio.TaskGroup() as tasks:
        table = RunTable(plugin, tasks)
        transport = GrpcTransport(plugin, table, instance_id=launch.instance_id, stop=stop.request)
        await transport.listen(launch.address)
        loop.add_signal_handler(signal.SIGTERM, stop.request, STOP_GRACE_SECONDS)
        loop.add_signal_handler(signal.SIGINT, lambda: None)
        streams.watch_lifeline(loop, stop)
        streams.announce(launch.address)
        await stop.requested()
        await table.shut_down(stop.grace_seconds)
        await transport.close()
    return stop


def _launch(plugin: Plugin, environment: Mapping[str, str]) -> Launch:
    if environment.get("WHIMBREL_PLUGIN_COOKIE") != COOKIE:
        _explain(
            f"{plugin.name} {plugin.version} is a Whimbrel plugin: the broker starts it, it is no"
            " command.\nPut its folder, with plugin.yaml, into the broker's plugin path."
            f"\nRunners: {', '.join(plugin.runners) or 'none'}"
        )
    address = environment.get("WHIMBREL_LISTEN", "")
    path = address.removeprefix("unix:")
    if path == address or not path:
        _explain(f"WHIMBREL_LISTEN={address!r}: this plugin can listen on unix:/PATH only")
    if len(os.fsencode(path)) > SOCKET_PATH_BYTES:
        size = len(os.fsencode(path))
        _explain(f"WHIMBREL_LISTEN: a path is limited to {SOCKET_PATH_BYTES} bytes, got {size}")
    return Launch(address, environment.get("WHIMBREL_INSTANCE_ID", ""))


def _explain(text: str) -> NoReturn:
    print(text, file=sys.stderr)
    sys.exit(EXIT_USAGE)
