"""Starts `/bin/sh -c` children as cheaply as the kernel allows: posix_spawn, pipes, a pidfd."""

import os
import signal
from collections.abc import Mapping, Sequence
from typing import NamedTuple

SHELL = "/bin/sh"
MAX_STDIN_BYTES = 4096
# Python ignores these, and what is ignored stays ignored in a child: `yes | head -1` would never end.
RESET_SIGNALS = (
    signal.SIGPIPE,
    signal.SIGXFSZ,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGHUP,
    signal.SIGTERM,
)


class Child(NamedTuple):
    """A started child, leader of its own process group; the descriptors belong to the caller.

    `stdout` and `stderr` are not blocking. `pidfd` gets readable when the child has ended; until
    the caller waits for it, `pid` cannot mean another process.
    """

    pid: int
    pidfd: int
    stdout: int
    stderr: int


class Spawner:
    """Starts children for one thread. It is the only one to change the working directory.

    `posix_spawn` takes no working directory, and a second shell for `cd` costs as much as the
    command. So the directory is changed around the call: nothing else runs on the loop meanwhile.
    """

    def __init__(self) -> None:
        self._home = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._empty = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def close(self) -> None:
        """Give the two descriptors back; starting is over."""
        os.close(self._home)
        os.close(self._empty)

    def spawn(
        self,
        command: str,
        environment: Mapping[str, str],
        *,
        cwd: str | None = None,
        stdin: bytes | None = None,
    ) -> Child:
        """Start `/bin/sh -c command`; blocks for about 0.2 ms.

        `stdin` is at most 4096 bytes; without it the child reads end of file. Raises OSError
        (no such `cwd`, command or environment over the kernel's limits) and ValueError (NUL).
        """
        if stdin is not None and len(stdin) > MAX_STDIN_BYTES:
            raise ValueError(f"input is limited to {MAX_STDIN_BYTES} bytes, got {len(stdin)}")
        opened: list[int] = []
        try:
            source = self._empty if stdin is None else _filled_pipe(stdin, opened)
            opened += os.pipe()
            opened += os.pipe()
            stdout, stdout_end, stderr, stderr_end = opened[-4:]
            actions = (
                (os.POSIX_SPAWN_DUP2, source, 0),
                (os.POSIX_SPAWN_DUP2, stdout_end, 1),
                (os.POSIX_SPAWN_DUP2, stderr_end, 2),
            )
            pid = self._start(command, environment, actions, cwd)
            pidfd = _pidfd(pid)
            opened.remove(stdout)
            opened.remove(stderr)
        finally:
            for descriptor in opened:
                os.close(descriptor)
        os.set_blocking(stdout, False)
        os.set_blocking(stderr, False)
        return Child(pid, pidfd, stdout, stderr)

    def _start(
        self,
        command: str,
        environment: Mapping[str, str],
        actions: Sequence[tuple[int, int, int]],
        cwd: str | None,
    ) -> int:
        if cwd:
            os.chdir(cwd)
        try:
            return os.posix_spawn(
                SHELL,
                (SHELL, "-c", command),
                environment,
                file_actions=actions,
                setpgroup=0,
                setsigmask=(),
                setsigdef=RESET_SIGNALS,
            )
        finally:
            if cwd:
                os.fchdir(self._home)


def _pidfd(pid: int) -> int:
    try:
        return os.pidfd_open(pid)
    except OSError:
        # Out of descriptors: a child that nobody can follow must not stay.
        os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise


def _filled_pipe(content: bytes, opened: list[int]) -> int:
    """Return the reading end of a pipe that holds `content` and nothing more."""
    reading, writing = os.pipe()
    opened.append(reading)
    try:
        os.write(writing, content)
    finally:
        os.close(writing)
    return reading
