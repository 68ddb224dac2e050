"""A child process that cannot outlive us, whatever way we end.

A small `sh` in the child's process group reads a pipe whose other end only we hold. When we end, by
`kill -9` too, it reads end-of-file and kills the group, itself included. It needs no process id, so a
reused id cannot mislead it, and the child itself needs to know nothing of it.
"""

import asyncio
import os
from asyncio.subprocess import Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

GUARDED: Final = """
exec 3<&0 </dev/null
( trap '' INT TERM HUP; read -r _ <&3; kill -KILL 0 ) >/dev/null 2>&1 &
exec 3<&- "$@"
"""
"""The shell becomes the child, so that the child's process id, exit code and signals are ours."""


class GuardedProcess:
    """A running child; make it with `spawn`."""

    def __init__(self, process: Process, lifeline: int) -> None:
        self._process = process
        self._lifeline: int | None = lifeline

    @classmethod
    async def spawn(
        cls,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        errors_to: Path,
        keep_open: Sequence[int] = (),
    ) -> Self:
        """Start `argv` with its standard error in a file; it inherits the `keep_open` descriptors."""
        watched, lifeline = os.pipe()
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        output = os.open(errors_to, flags, 0o600)
        try:
            process = await asyncio.create_subprocess_exec(
                *("/bin/sh", "-c", GUARDED, "guarded", *argv),
                stdin=watched,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=output,
                env=dict(env),
                pass_fds=tuple(keep_open),
                start_new_session=True,
            )
        except BaseException:
            os.close(lifeline)
            raise
        finally:
            os.close(output)
            os.close(watched)
        return cls(process, lifeline)

    @property
    def pid(self) -> int:
        """The child's process id, also that of its process group."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the child has not been seen to end."""
        return self._process.returncode is None

    async def wait(self) -> int:
        """Return the exit code when the child ends by itself; negative means a signal."""
        code = await self._process.wait()
        self._let_go()
        return code

    async def stop(self, grace_seconds: float) -> int:
        """Ask the child to end, kill its group after the grace; return its exit code."""
        with suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(grace_seconds):
                return await self.wait()
        except TimeoutError:
            self._let_go()
            return await self._process.wait()

    def _let_go(self) -> None:
        if self._lifeline is not None:
            os.close(self._lifeline)
            self._lifeline = None
