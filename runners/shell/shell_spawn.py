"""Starts `/bin/sh -c` children as cheaply as the kernel allows: posix_spawn, pipes, a pidfd."""

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
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
        with _Descriptors() as opened:
            source = self._empty if stdin is None else opened.filled_pipe(stdin)
            stdout, stdout_end = opened.pipe()
            stderr, stderr_end = opened.pipe()
            with self._inside(cwd):
                pid = os.posix_spawn(
                    SHELL,
                    (SHELL, "-c", command),
                    environment,
                    file_actions=(
                        (os.POSIX_SPAWN_DUP2, source, 0),
                        (os.POSIX_SPAWN_DUP2, stdout_end, 1),
                        (os.POSIX_SPAWN_DUP2, stderr_end, 2),
                    ),
                    setpgroup=0,
                    setsigmask=(),
                    setsigdef=RESET_SIGNALS,
                )
            pidfd = _pidfd(pid)
            opened.keep(stdout, stderr)
        return Child(pid=pid, pidfd=pidfd, stdout=stdout, stderr=stderr)

    @contextmanager
    def _inside(self, cwd: str | None) -> Iterator[None]:
        if not cwd:
            yield
            return
        os.chdir(cwd)
        try:
            yield
        finally:
            os.fchdir(self._home)


def _pidfd(pid: int) -> int:
    try:
        return os.pidfd_open(pid)
    except OSError:
        # Out of descriptors: a child that nobody can follow must not stay.
        os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise


class _Descriptors:
    """Descriptors that are closed at the end of the block, less those that are kept."""

    def __init__(self) -> None:
        self._open: set[int] = set()

    def __enter__(self) -> "_Descriptors":
        return self

    def __exit__(self, *_: object) -> None:
        for descriptor in self._open:
            os.close(descriptor)

    def pipe(self) -> tuple[int, int]:
        """Return a pipe's reading end, which does not block, and its writing end."""
        reading, writing = os.pipe()
        self._open.update((reading, writing))
        os.set_blocking(reading, False)
        return reading, writing

    def filled_pipe(self, content: bytes) -> int:
        """Return the reading end of a pipe that holds `content` and nothing more."""
        if len(content) > MAX_STDIN_BYTES:
            raise ValueError(
                f"standard input is limited to {MAX_STDIN_BYTES} bytes, got {len(content)}"
            )
        reading, writing = os.pipe()
        self._open.add(reading)
        try:
            os.write(writing, content)
        finally:
            os.close(writing)
        return reading

    def keep(self, *descriptors: int) -> None:
        """Leave `descriptors` open after the block; they are the caller's now."""
        self._open.difference_update(descriptors)
