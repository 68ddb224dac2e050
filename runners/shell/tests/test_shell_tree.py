"""The process table, and who belongs to a command."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from shell_tree import ProcessTree, kill_with_sudo, open_process, read_process

SUDO = """#!/bin/sh
printf '%s\\n' "$*" >"$SUDO_LOG"
cat >>"$SUDO_LOG"
while [ "$1" != -- ]; do shift; done
shift
exec "$@"
"""


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that leads a group of its own."""
    with subprocess.Popen(["sleep", "30"], process_group=0) as process:
        yield process
        process.kill()


def test_a_process_is_read_whatever_its_name(tmp_path: Path) -> None:
    """A program may be called `a) b (c`; the fields after it are still found."""
    program = tmp_path / "a) b (c"
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([program, "30"], process_group=0) as child:
        process = read_process(child.pid)
        child.kill()

    assert process is not None
    assert (process.parent, process.group) == (os.getpid(), child.pid)


def test_a_process_that_has_ended_is_none(sleeper: subprocess.Popen[bytes]) -> None:
    """Also while nobody has waited for it."""
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)

    assert read_process(sleeper.pid) is None


def test_a_number_that_means_another_process_now_is_not_opened(
    sleeper: subprocess.Popen[bytes],
) -> None:
    """The time of its start tells them apart, so nobody else is signalled."""
    process = read_process(sleeper.pid)
    assert process is not None
    earlier = msgspec.structs.replace(process, started=process.started - 1)

    assert open_process(earlier) is None
    pidfd = open_process(process)
    assert pidfd is not None
    os.close(pidfd)


def test_strangers_are_no_members(sleeper: subprocess.Popen[bytes]) -> None:
    """A command's tree holds its own processes, never this one or its other children."""
    with subprocess.Popen(["sleep", "30"], process_group=0) as other:
        members = ProcessTree(leader=sleeper.pid, marker=b"NOBODY=has this").members()
        other.kill()

    assert [process.pid for process in members] == [sleeper.pid]


def test_a_tree_that_has_ended_is_stopped_already(sleeper: subprocess.Popen[bytes]) -> None:
    """Stopping twice does no harm."""
    tree = ProcessTree(leader=sleeper.pid)

    assert asyncio.run(tree.stop(5))
    assert asyncio.run(tree.stop(5))


@pytest.mark.parametrize("password", [None, b"s3cret\n"])
def test_what_may_not_be_signalled_is_ended_through_sudo(
    password: bytes | None,
    sleeper: subprocess.Popen[bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A stand-in for sudo notes how it is called: the password is on its input alone."""
    (tmp_path / "sudo").write_text(SUDO)
    (tmp_path / "sudo").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("SUDO_LOG", str(tmp_path / "log"))

    code = asyncio.run(kill_with_sudo([sleeper.pid], signal.SIGKILL, password))

    assert (code, sleeper.wait(10)) == (0, -signal.SIGKILL)
    option, typed = ("-n", "") if password is None else ("-S", password.decode())
    expected = f"{option} -- kill -s KILL {sleeper.pid}\n{typed}"
    assert (tmp_path / "log").read_text() == expected
