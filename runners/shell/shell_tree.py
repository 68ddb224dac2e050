"""Finds and ends everything that a command started, also what left its process group."""

import asyncio
import os
import signal
from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from contextlib import ExitStack, suppress
from pathlib import Path

import msgspec

PROC = Path("/proc")
KILL_ROUNDS = 3
KILL_WAIT_SECONDS = 1.0


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the process table. `started` with `pid` names one process for ever."""

    pid: int
    parent: int
    group: int
    started: int


class ProcessTree(msgspec.Struct, frozen=True, kw_only=True):
    """The processes of one command: its group, their descendants, and those that carry `marker`.

    `leader` must not be waited for before `stop` has returned, or its number could be reused.
    `marker` is an environment entry (`NAME=value`) that only this command's processes have; it
    finds those whose parent is gone. With `through_sudo` what may not be signalled is ended by
    `sudo kill`, which reads `sudo_password` when there is one.
    """

    leader: int
    marker: bytes | None = None
    through_sudo: bool = False
    sudo_password: bytes | None = None

    async def stop(self, grace_seconds: float) -> bool:
        """End all: SIGTERM, up to `grace_seconds` to comply, SIGKILL. Return whether all are gone.

        Takes at most the grace and three seconds.
        """
        if await self._signalled(signal.SIGTERM, grace_seconds):
            return True
        for _ in range(KILL_ROUNDS):
            if await self._signalled(signal.SIGKILL, KILL_WAIT_SECONDS):
                return True
        return False

    async def _signalled(self, signal_number: signal.Signals, wait_seconds: float) -> bool:
        """Signal all members and wait for their ends; True when there was none left to signal."""
        processes = await asyncio.to_thread(self.members)
        with ExitStack() as descriptors:
            opened: dict[int, int] = {}
            for process in processes:
                if (pidfd := open_process(process)) is not None:
                    descriptors.callback(os.close, pidfd)
                    opened[process.pid] = pidfd
            if not opened:
                return True
            in_group = {process.pid for process in processes if process.group == self.leader}
            denied = self._signal(opened, in_group, signal_number)
            if denied and self.through_sudo:
                await kill_with_sudo(denied, signal_number, self.sudo_password)
            await _ended(opened.values(), wait_seconds)
        return False

    def _signal(
        self, opened: Mapping[int, int], in_group: Set[int], signal_number: signal.Signals
    ) -> list[int]:
        """Signal every process once and return those that may not be signalled.

        The group gets it in one stroke, or a shell would have time to report its child's end.
        """
        if in_group:
            with suppress(PermissionError, ProcessLookupError):
                os.killpg(self.leader, signal_number)
        denied = []
        for pid, pidfd in opened.items():
            try:
                signal.pidfd_send_signal(pidfd, 0 if pid in in_group else signal_number)
            except ProcessLookupError:
                continue
            except PermissionError:
                denied.append(pid)
        return denied

    def members(self) -> list[Process]:
        """Return the living members; reads the whole process table, so call it in a thread."""
        table = {process.pid: process for process in living_processes()}
        inside = {pid for pid, process in table.items() if process.group == self.leader}
        if self.marker is not None:
            inside |= {pid for pid in table.keys() - inside if _carries(pid, self.marker)}
        children = _children(table)
        frontier = list(inside | {self.leader})
        while frontier:
            new = [pid for pid in children.get(frontier.pop(), ()) if pid not in inside]
            inside.update(new)
            frontier.extend(new)
        inside.discard(os.getpid())
        return [table[pid] for pid in inside]


def living_processes() -> Iterator[Process]:
    """Yield the processes that have not ended; what ends meanwhile is passed over."""
    for entry in PROC.iterdir():
        if entry.name.isdecimal() and (process := read_process(int(entry.name))) is not None:
            yield process


def read_process(pid: int) -> Process | None:
    """Return the process, or None when it has ended."""
    try:
        line = (PROC / str(pid) / "stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The program's name may hold spaces and parentheses; the fields begin after the last one.
    fields = line[line.rindex(b")") + 2 :].split()
    if fields[0] in {b"Z", b"X"}:
        return None
    return Process(pid=pid, parent=int(fields[1]), group=int(fields[2]), started=int(fields[19]))


def open_process(process: Process) -> int | None:
    """Return a pidfd of exactly this process, or None when it has ended."""
    try:
        pidfd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return None
    now = read_process(process.pid)
    if now is not None and now.started == process.started:
        return pidfd
    os.close(pidfd)
    return None


async def kill_with_sudo(
    pids: Sequence[int], signal_number: signal.Signals, password: bytes | None
) -> int:
    """Signal `pids` as root and return sudo's exit code; what it prints is not kept."""
    ask = "-n" if password is None else "-S"
    name = signal_number.name.removeprefix("SIG")
    process = await asyncio.create_subprocess_exec(
        *("sudo", ask, "--", "kill", "-s", name, *map(str, pids)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    await process.communicate(password or b"")
    return await process.wait()


async def _ended(pidfds: Collection[int], wait_seconds: float) -> None:
    """Return when all processes have ended, or after `wait_seconds`."""
    loop = asyncio.get_running_loop()
    left = set(pidfds)
    done = loop.create_future()

    def ended(pidfd: int) -> None:
        loop.remove_reader(pidfd)
        left.discard(pidfd)
        if not left and not done.done():
            done.set_result(None)

    for pidfd in pidfds:
        loop.add_reader(pidfd, ended, pidfd)
    try:
        async with asyncio.timeout(wait_seconds):
            await done
    except TimeoutError:
        return
    finally:
        for pidfd in left:
            loop.remove_reader(pidfd)


def _children(table: Mapping[int, Process]) -> dict[int, list[int]]:
    children: dict[int, list[int]] = {}
    for process in table.values():
        children.setdefault(process.parent, []).append(process.pid)
    return children


def _carries(pid: int, marker: bytes) -> bool:
    try:
        environment = (PROC / str(pid) / "environ").read_bytes()
    except OSError:
        # Ended meanwhile, or another account's: not ours to end.
        return False
    return marker in environment.split(b"\0")
