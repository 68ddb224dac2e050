"""Follows a started child to its end: output as it comes, time limit, cancellation, what it left."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec
from shell_command import Command
from shell_result import Ending, Stop
from shell_spawn import Child, Spawner
from shell_tree import ProcessTree

READ_BYTES = 64 * 1024
# Two streams of this, with every byte written as \u0000, still fit the 16 MiB of a message.
OUTPUT_BYTES = 1024 * 1024
# The kernel's largest pipe for an ordinary account holds 1 MiB.
READS_AT_END = 16


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a command may take.

    `output_bytes` is kept per stream, the rest is read, shown and dropped. `cancel_grace_seconds`
    and `timeout_grace_seconds` lie between SIGTERM and SIGKILL. `linger_seconds` is how long
    output of background processes is awaited after the command itself has ended. `ahead_bytes` may
    be read before the reader of the output has to catch up. Output and cancellation are first
    looked at after `quick_seconds`.
    """

    output_bytes: int = OUTPUT_BYTES
    cancel_grace_seconds: float = 2.0
    timeout_grace_seconds: float = 0.5
    linger_seconds: float = 0.25
    ahead_bytes: int = 1024 * 1024
    quick_seconds: float = 0.02


class Sink(Protocol):
    """Where output is shown while the command runs."""

    def write(self, channel: str, data: bytes) -> None:
        """Take a piece of output; never blocks."""
        ...

    async def drain(self) -> None:
        """Wait until the reader has caught up."""
        ...


class Kept:
    """The first `limit` bytes of a stream; the rest is counted as cut."""

    __slots__ = ("_left", "_pieces", "truncated")

    def __init__(self, limit: int) -> None:
        self._pieces: list[bytes] = []
        self._left = limit
        self.truncated = False

    def add(self, piece: bytes) -> None:
        """Keep what fits of `piece`."""
        if len(piece) > self._left:
            self.truncated = True
            piece = piece[: self._left]
        self._left -= len(piece)
        self._pieces.append(piece)

    def content(self) -> bytes:
        """Return what was kept."""
        return b"".join(self._pieces)


class ShellCommands:
    """Runs commands on the running event loop, any number at a time."""

    def __init__(self, spawner: Spawner, limits: Limits) -> None:
        self._spawner = spawner
        self._limits = limits

    async def run(
        self,
        command: Command,
        environment: Mapping[str, str],
        *,
        cwd: str | None,
        timeout_seconds: float | None,
        cancelled: asyncio.Event,
        sink: Sink,
        marker: bytes | None = None,
    ) -> Ending:
        """Run `command` to its end and return how it ended.

        After `timeout_seconds` (None: never), or when `cancelled` is set, everything that it
        started is ended; `marker` helps to find it (see ProcessTree). Raises OSError and
        ValueError when it cannot be started.
        """
        child = self._spawner.spawn(command.text, environment, cwd=cwd, stdin=command.stdin)
        tree = ProcessTree(
            leader=child.pid,
            marker=marker,
            through_sudo=command.through_sudo,
            sudo_password=command.stdin,
        )
        follower = _Follower(child, tree, sink, self._limits)
        try:
            await follower.follow(timeout_seconds, cancelled)
        finally:
            return_code = follower.release()
        return Ending(
            return_code=return_code,
            stdout=follower.kept["stdout"].content(),
            stderr=follower.kept["stderr"].content(),
            stopped=follower.stopped,
            truncated=any(kept.truncated for kept in follower.kept.values()),
        )


class _Follower:
    """One child on the loop. It is over when the child has ended and its pipes too.

    Most commands end within milliseconds and print little: at first only the child's end is
    awaited, what it printed waits in the pipes. One that takes longer is watched in full.
    The child is waited for at the very end: until then its number and its group's are its own.
    """

    def __init__(self, child: Child, tree: ProcessTree, sink: Sink, limits: Limits) -> None:
        self.kept = {"stdout": Kept(limits.output_bytes), "stderr": Kept(limits.output_bytes)}
        self.stopped: Stop | None = None
        self._child = child
        self._tree = tree
        self._sink = sink
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._pipes = {"stdout": child.stdout, "stderr": child.stderr}
        self._listening: set[str] = set()
        self._exited = False
        self._over = False
        self._ahead_bytes = 0
        self._waiter: asyncio.Future[None] | None = None
        self._linger: asyncio.TimerHandle | None = None

    async def follow(self, timeout_seconds: float | None, cancelled: asyncio.Event) -> None:
        """Return when the command is over, and so is the ending of it if it had to be stopped."""
        self._loop.add_reader(self._child.pidfd, self._on_exit)
        quick_seconds = self._limits.quick_seconds
        if timeout_seconds is not None:
            quick_seconds = min(quick_seconds, timeout_seconds)
            timeout_seconds -= quick_seconds
        timer = self._loop.call_later(quick_seconds, self._wake)
        await self._woken()
        timer.cancel()
        if not self._over:
            await self._watch(timeout_seconds, cancelled)

    async def _watch(self, timeout_seconds: float | None, cancelled: asyncio.Event) -> None:
        loop = self._loop
        self._listen()
        self._look_for_end()
        async with asyncio.TaskGroup() as group:

            def stop(why: Stop) -> None:
                if self.stopped is None and not self._exited:
                    self.stopped = why
                    group.create_task(self._stop(why))

            canceller = group.create_task(_when_set(cancelled, stop))
            timer = None
            if timeout_seconds is not None:
                timer = loop.call_later(timeout_seconds, stop, Stop.TIMEOUT)
            try:
                await self._until_over()
            finally:
                canceller.cancel()
                if timer is not None:
                    timer.cancel()

    async def _until_over(self) -> None:
        """Serve the sink's wish for rest until the command is over."""
        while not self._over:
            await self._woken()
            if self._is_far_ahead():
                await self._sink.drain()
                self._ahead_bytes = 0
                self._listen()

    async def _stop(self, why: Stop) -> None:
        limits = self._limits
        by_timeout = why is Stop.TIMEOUT
        grace = limits.timeout_grace_seconds if by_timeout else limits.cancel_grace_seconds
        await self._tree.stop(grace)
        self._end()

    async def _woken(self) -> None:
        """Wait for the next `_wake`; look at the state before: an earlier one is not remembered."""
        self._waiter = self._loop.create_future()
        await self._waiter

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def release(self) -> int:
        """Take everything off the loop and return the child's return code.

        A child that nobody could end is left to be waited for when it ends; its code is SIGKILL's.
        """
        loop, child = self._loop, self._child
        if not self._exited:
            loop.remove_reader(child.pidfd)
        for channel in tuple(self._pipes):
            self._close(channel)
        if self._linger is not None:
            self._linger.cancel()
        pid, status = os.waitpid(child.pid, os.WNOHANG)
        if pid:
            os.close(child.pidfd)
            return os.waitstatus_to_exitcode(status)
        with contextlib.suppress(PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        loop.add_reader(child.pidfd, _reap, loop, child)
        return -int(signal.SIGKILL)

    def _on_exit(self) -> None:
        self._loop.remove_reader(self._child.pidfd)
        self._exited = True
        self._take_all()
        self._look_for_end()
        self._wake()

    def _on_output(self, channel: str) -> None:
        self._take(channel)
        self._look_for_end()
        if self._is_far_ahead():
            for waiting in self._pipes:
                self._rest(waiting)
            self._wake()

    def _look_for_end(self) -> None:
        """Over when the child and its pipes have ended; only the child: the pipes get a moment."""
        if not self._exited:
            return
        if not self._pipes:
            self._end()
        elif self._linger is None:
            self._linger = self._loop.call_later(self._limits.linger_seconds, self._end)

    def _end(self) -> None:
        """Take what the pipes hold now, and be over."""
        self._take_all()
        self._over = True
        self._wake()

    def _take_all(self) -> None:
        for channel in tuple(self._pipes):
            for _ in range(READS_AT_END):
                if not self._take(channel):
                    break

    def _take(self, channel: str) -> bool:
        """Take a piece; False when there is none now, or when the pipe has ended and was closed."""
        try:
            piece = os.read(self._pipes[channel], READ_BYTES)
        except BlockingIOError:
            return False
        if not piece:
            self._close(channel)
            return False
        self._ahead_bytes += len(piece)
        self.kept[channel].add(piece)
        self._sink.write(channel, piece)
        return True

    def _is_far_ahead(self) -> bool:
        return self._ahead_bytes > self._limits.ahead_bytes

    def _listen(self) -> None:
        for channel, pipe in self._pipes.items():
            self._loop.add_reader(pipe, self._on_output, channel)
        self._listening.update(self._pipes)

    def _rest(self, channel: str) -> None:
        if channel in self._listening:
            self._loop.remove_reader(self._pipes[channel])
            self._listening.discard(channel)

    def _close(self, channel: str) -> None:
        self._rest(channel)
        os.close(self._pipes.pop(channel))


async def _when_set(cancelled: asyncio.Event, stop: Callable[[Stop], None]) -> None:
    await cancelled.wait()
    stop(Stop.CANCEL)


def _reap(loop: asyncio.AbstractEventLoop, child: Child) -> None:
    loop.remove_reader(child.pidfd)
    os.close(child.pidfd)
    os.waitpid(child.pid, 0)
