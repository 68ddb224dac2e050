"""Start a plugin's process, hear that it is ready, and make sure that nothing of it is left."""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from whimbrel import errors, seams
from whimbrel.host.lines import LineSplitter, OnLine, PluginLog
from whimbrel.host.manifest import InstalledPlugin, Manifest
from whimbrel.host.port import PluginFailed

COOKIE = "whimbrel-plugin-d41e7c"
"""Tells a plugin that a host started it, not a person. No secret."""

READY_PREFIX = "WHIMBREL-PLUGIN-1 "
SOCKET_NAME = "p.sock"
SOCKET_PATH_BYTES = 100
"""Systems differ from 104 to 108; the same everywhere is easier to explain."""

FOLDER_ID_BYTES = 4
PASSED_ON = ("HOME", "LANG", "LC_ALL", "PATH", "TZ")
"""All that a plugin sees of the broker's environment, beside what its manifest names."""

SESSION_FIELD = 3
"""Of /proc/PID/stat, counted from behind the command's name."""
EXIT_POLL_SECONDS = 0.05
"""How often a system without pidfds is asked whether the plugin has ended."""


STALE_SECONDS = 600.0
"""A younger launch folder may belong to a plugin that is still starting."""

LAST_WORDS_SECONDS = 0.5
"""How long a dead plugin's pipes are read; a child that left its group may hold them open."""


class ReadyLine(msgspec.Struct, frozen=True):
    """What a plugin announces on stdout."""

    transport: str
    address: str


class LaunchFolder:
    """A private folder with a short path, for one launch's socket. A context manager."""

    def __init__(self, root: Path, ids: seams.Ids) -> None:
        self._path = root / ids.secret(FOLDER_ID_BYTES)
        self.socket = self._path / SOCKET_NAME
        size = len(os.fsencode(self.socket))
        if size > SOCKET_PATH_BYTES:
            raise errors.LimitExceeded(
                f"the path of a plugin's socket ({self.socket})",
                value=size,
                maximum=SOCKET_PATH_BYTES,
                unit="bytes",
            )

    def __enter__(self) -> "LaunchFolder":
        self._path.mkdir(mode=0o700)
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._path, ignore_errors=True)


def runtime_root(environment: Mapping[str, str]) -> Path:
    """Return the user's private folder for sockets, made when absent.

    Raises PluginFailed when somebody else owns it or may look into it.
    """
    runtime = environment.get("XDG_RUNTIME_DIR")
    # S108: not $TMPDIR, which may be long; the folder below it is private, and that is checked.
    temporary = Path("/tmp") / f"whim-{os.getuid()}"  # noqa: S108
    root = Path(runtime) / "whim" if runtime and Path(runtime).is_dir() else temporary
    root.mkdir(mode=0o700, exist_ok=True)
    found = root.lstat()
    private = stat.S_ISDIR(found.st_mode) and not stat.S_IMODE(found.st_mode) & 0o077
    if not private or found.st_uid != os.getuid():
        raise PluginFailed(f"{root} must be a folder that only user {os.getuid()} can enter")
    return root


def session_members(session: int) -> list[int]:
    """Return the processes of a session; runs have process groups of their own within the plugin's.

    Empty where there is no /proc.
    """
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended
        if int(fields[SESSION_FIELD]) == session:
            found.append(int(entry.parent.name))
    return found


def remove_stale_folders(root: Path, now_seconds: float) -> None:
    """Remove what killed hosts left: old launch folders whose socket nobody listens on."""
    for folder in filter(Path.is_dir, root.iterdir()):
        with contextlib.suppress(FileNotFoundError):  # its owner was quicker
            if now_seconds - folder.lstat().st_mtime > STALE_SECONDS and not _is_served(folder):
                shutil.rmtree(folder)


def _is_served(folder: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(folder / SOCKET_NAME))
        except BlockingIOError:
            return True
        except (ConnectionRefusedError, FileNotFoundError):
            return False
    return True


class PluginProcess:
    """A plugin's process, the leader of its own session.

    When the leader has ended, what is left of the session is killed: no run's child stays behind.
    Its stdin stays open and empty; the plugin reads its end as the end of this process.
    """

    def __init__(self, popen: subprocess.Popen[bytes], log: PluginLog, name: str) -> None:
        loop = asyncio.get_running_loop()
        self.pid = popen.pid
        self.log = log
        self.exited: asyncio.Future[int] = loop.create_future()
        self._popen = popen
        self._name = name
        self._ready: asyncio.Future[str] = loop.create_future()
        self._pipes: list[asyncio.ReadTransport] = []
        self._readers: list[_LineReader] = []

    async def open(self) -> None:
        """Begin to read what it prints and to watch for its end."""
        loop = asyncio.get_running_loop()
        assert self._popen.stdout is not None
        assert self._popen.stderr is not None
        for pipe, on_line in (
            (self._popen.stdout, self._take_line),
            (self._popen.stderr, self.log.add),
        ):
            reader = _LineReader(on_line, loop.create_future())
            transport, _ = await loop.connect_read_pipe(lambda r=reader: r, pipe)  # type: ignore[misc]  # mypy does not infer a lambda's default
            self._readers.append(reader)
            self._pipes.append(transport)
        if hasattr(os, "pidfd_open"):
            pidfd = os.pidfd_open(self.pid)
            loop.add_reader(pidfd, self._pidfd_readable, pidfd)
        else:
            self._poll_exit()

    async def ready(self, timeout_seconds: float) -> str:
        """Return the address it announced. Raises PluginFailed when it ends or takes too long."""
        waiting: set[asyncio.Future[str] | asyncio.Future[int]] = {self._ready, self.exited}
        await asyncio.wait(waiting, timeout=timeout_seconds, return_when=asyncio.FIRST_COMPLETED)
        if self._ready.done():
            return self._ready.result()
        if self.exited.done():
            raise self.failure(f"{await self.last_words()} before it was ready")
        raise self.failure(f"was not ready within {timeout_seconds:g} s")

    async def last_words(self) -> str:
        """Read what it still had to say; then say how it ended: `exited with code 3`."""
        await asyncio.wait({r.closed for r in self._readers}, timeout=LAST_WORDS_SECONDS)
        code = await self.exited
        if code >= 0:
            return f"exited with code {code}"
        return f"was killed by {signal.Signals(-code).name}"

    def failure(self, message: str) -> PluginFailed:
        """Return the error that says what happened, with the last lines it printed."""
        return PluginFailed(f"plugin {self._name} {message}", last_lines=self.log.last_lines)

    async def stop(self, grace_seconds: float) -> None:
        """End it and its group: SIGTERM, and SIGKILL after the grace time. Idempotent."""
        try:
            if not await self._signal_and_wait(signal.SIGTERM, grace_seconds):
                await self._signal_and_wait(signal.SIGKILL, None)
        finally:
            if not self.exited.done():
                self._signal_group(signal.SIGKILL)
            self._close()

    async def wait(self, timeout_seconds: float | None) -> bool:
        """Wait for its end; return whether it came in time."""
        await asyncio.wait({self.exited}, timeout=timeout_seconds)
        return self.exited.done()

    async def _signal_and_wait(self, number: signal.Signals, seconds: float | None) -> bool:
        if self.exited.done():
            return True
        if seconds != 0:
            self._signal_group(number)
        return await self.wait(seconds)

    def _signal_group(self, number: signal.Signals) -> None:
        """The group's id is its leader's; it is ours for as long as the leader is not reaped."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def _take_line(self, line: str) -> None:
        if not line.startswith(READY_PREFIX) or self._ready.done():
            return self.log.add(line)
        try:
            said = msgspec.json.decode(line.removeprefix(READY_PREFIX), type=ReadyLine)
        except msgspec.MsgspecError as error:
            return self.log.add(f"{line} (no ready line: {error})")
        return self._ready.set_result(said.address)

    def _pidfd_readable(self, pidfd: int) -> None:
        asyncio.get_running_loop().remove_reader(pidfd)
        os.close(pidfd)
        self._reap()

    def _poll_exit(self) -> None:
        if os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            asyncio.get_running_loop().call_later(EXIT_POLL_SECONDS, self._poll_exit)
        else:
            self._reap()

    def _reap(self) -> None:
        """Kill the rest of the session while the dead leader still holds its id."""
        self._signal_group(signal.SIGKILL)
        for pid in session_members(self.pid):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        self.exited.set_result(self._popen.wait())

    def _close(self) -> None:
        assert self._popen.stdin is not None
        self._popen.stdin.close()
        for pipe in self._pipes:
            pipe.close()


class _LineReader(asyncio.Protocol):
    def __init__(self, on_line: OnLine, closed: asyncio.Future[None]) -> None:
        self.closed = closed
        self._lines = LineSplitter(on_line)

    def data_received(self, data: bytes) -> None:
        self._lines.feed(data)

    def connection_lost(self, error: Exception | None) -> None:
        self._lines.close()
        self.closed.set_result(None)


async def launch(
    plugin: InstalledPlugin,
    *,
    socket_path: Path,
    instance_id: str,
    environment: Mapping[str, str],
    log: PluginLog,
) -> PluginProcess:
    """Start the plugin; it is not ready yet. Raises PluginFailed when it cannot be started."""
    manifest = plugin.manifest
    try:
        popen = _spawn(plugin, _environment(manifest, environment, socket_path, instance_id))
    except OSError as error:
        command = " ".join(_command(manifest))
        message = f"plugin {manifest.name} cannot be started: {command}: {error.strerror}"
        raise PluginFailed(message) from error
    process = PluginProcess(popen, log, manifest.name)
    await process.open()
    return process


def _spawn(plugin: InstalledPlugin, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """Spawn without a hook between fork and exec: gRPC's threads and such hooks deadlock."""
    return subprocess.Popen(
        _command(plugin.manifest),
        cwd=plugin.folder,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def _command(manifest: Manifest) -> tuple[str, ...]:
    program, *arguments = manifest.command
    return (sys.executable if program == "python" else program, *arguments)


def _environment(
    manifest: Manifest, environment: Mapping[str, str], socket_path: Path, instance_id: str
) -> dict[str, str]:
    passed = {
        name: environment[name] for name in (*PASSED_ON, *manifest.env) if name in environment
    }
    return passed | {
        "WHIMBREL_PLUGIN_COOKIE": COOKIE,
        "WHIMBREL_PROTOCOLS": ",".join(map(str, manifest.protocols)),
        "WHIMBREL_LISTEN": f"unix:{socket_path}",
        "WHIMBREL_INSTANCE_ID": instance_id,
    }
