"""Both runners as the SDK runs them, on real processes."""

import os
import signal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from shell_runner import MARKER_VARIABLE, build
from shell_tree import read_process
from whimbrel_sdk import FailureKind, Status
from whimbrel_sdk.testing import Finished, run_once

SCRIPT = """#!/bin/sh
printf '%s|' "$@"
"""
SUDO = """#!/bin/sh
echo "sudo $*" >>"$SUDO_LOG"
case $1 in -S) read password; echo "$password" >>"$SUDO_LOG" ;; esac
while [ "$1" != -- ]; do shift; done
shift
exec "$@"
"""


def command(cmd: str, params: dict[str, Any] | None = None, **more: Any) -> Finished:
    """Run a command as the host would."""
    environment = more.pop("environment", dict(os.environ))
    given = {"cmd": cmd, "cwd": None, "env": None, "sudo": False, "timeout": 60, **(params or {})}
    return run_once(build(environment), "local-shell-cmd", given, **more)


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A pack's script as git may leave it: not executable, in a folder with a blank."""
    path = tmp_path / "my pack" / "print.sh"
    path.parent.mkdir()
    path.write_text(SCRIPT)
    path.chmod(0o644)
    return path


@pytest.fixture
def sudo_log(tmp_path: Path) -> Path:
    """Where the stand-in for sudo notes its arguments and what it reads."""
    program = tmp_path / "bin" / "sudo"
    program.parent.mkdir()
    program.write_text(SUDO)
    program.chmod(0o755)
    return tmp_path / "sudo.log"


def with_sudo(log: Path, **more: str) -> dict[str, str]:
    """Return the plugin's environment when its sudo is the stand-in."""
    path = f"{log.parent / 'bin'}:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "SUDO_LOG": str(log), **more}


def test_a_command_succeeds() -> None:
    """The result is StackStorm's, the output was shown as it came."""
    ended = command("echo hi; echo there >&2")

    assert ended.status is Status.SUCCEEDED
    assert ended.result == {
        "failed": False,
        "succeeded": True,
        "return_code": 0,
        "stdout": "hi",
        "stderr": "there",
    }
    assert (ended.stdout, ended.stderr) == (b"hi\n", b"there\n")


def test_a_command_fails_with_its_code() -> None:
    """The status follows the return code."""
    ended = command("exit 3")

    assert ended.status is Status.FAILED
    assert (ended.result["return_code"], ended.result["failed"]) == (3, True)


def test_the_environment_is_the_documented_one() -> None:
    """The action's variables and its token, the user's, and nothing of the plugin's own."""
    ended = command(
        "env",
        {"env": {"MINE": "yes", "ST2_ACTION_PACK_NAME": "forged"}},
        environment={"PATH": os.environ["PATH"], "WHIMBREL_LISTEN": "unix:/secret"},
        env={"ST2_ACTION_PACK_NAME": "core", MARKER_VARIABLE: "e1"},
        token="t0ken",
    )

    lines = set(ended.result["stdout"].splitlines())
    assert lines > {
        "MINE=yes",
        "ST2_ACTION_PACK_NAME=core",
        "ST2_ACTION_EXECUTION_ID=e1",
        "ST2_ACTION_AUTH_TOKEN=t0ken",
    }
    assert not [line for line in lines if line.startswith("WHIMBREL_")]


def test_without_a_token_there_is_no_variable_for_it() -> None:
    """An empty token would be sent, and refused."""
    assert "ST2_ACTION_AUTH_TOKEN" not in command("env").result["stdout"]


@pytest.mark.parametrize(("ours", "hosts"), [(0.2, 60.0), (60, 0.2), (0, 0.2)])
def test_the_shorter_limit_counts(ours: float, hosts: float) -> None:
    """The parameter's, or the host's; 0 is no limit."""
    ended = command("echo partial; sleep 30", {"timeout": ours}, timeout_seconds=hosts)

    assert ended.status is Status.TIMED_OUT
    assert ended.result == {
        "failed": True,
        "succeeded": False,
        "return_code": -9,
        "stdout": "partial",
        "stderr": "",
        "error": "Action failed to complete in 0.2 seconds",
    }


def test_a_cancellation_ends_everything_and_keeps_the_output() -> None:
    """What was said until then is in the result."""
    ended = command(
        "setsid sleep 30 & echo $!; wait",
        env={MARKER_VARIABLE: "cancel-test"},
        cancel_on_output=b"\n",
    )

    assert ended.status is Status.CANCELED
    assert read_process(ended.result["stdout"]) is None


def test_a_signal_from_outside_is_told_from_a_failure() -> None:
    """The return code says SIGTERM; the message, that nobody here sent it."""
    ended = command("kill -TERM $$")

    assert ended.status is Status.FAILED
    assert ended.result["return_code"] == -signal.SIGTERM
    assert "SIGTERM" in ended.message


def test_what_cannot_be_started_is_the_callers_mistake() -> None:
    """The reason names the folder, and the run has failed in good order."""
    ended = command("true", {"cwd": "/no/such/folder"})

    assert (ended.status, ended.kind) == (Status.FAILED, FailureKind.INVALID_INPUT)
    assert "/no/such/folder" in ended.result["error"]


def test_cut_output_says_so(tmp_path: Path) -> None:
    """Half an output shall not pass for a whole one."""
    ended = command("head -c 1100000 /dev/zero | tr '\\0' x")

    assert len(ended.result["stdout"]) == 1024 * 1024
    assert "cut to 1048576 bytes" in ended.message
    assert len(ended.stdout) == 1_100_000


def test_sudo_reads_the_password_and_nobody_else_sees_it(sudo_log: Path) -> None:
    """It is in no argument; the command itself reads an empty input."""
    ended = command(
        "cat; cat /proc/$$/cmdline | tr '\\0' ' '",
        {"sudo": True, "sudo_password": "s3cret"},
        environment=with_sudo(sudo_log),
    )

    said = sudo_log.read_text().splitlines()
    assert said[0].startswith("sudo -S -E -- bash -c")
    assert (said[-1], "s3cret" in "".join(said[:-1])) == ("s3cret", False)
    assert "s3cret" not in msgspec.json.encode(ended.result).decode()


def test_commands_run_as_the_account_that_the_operator_names(sudo_log: Path) -> None:
    """Another account than the service's is reached through sudo."""
    ended = command(
        "echo done", environment=with_sudo(sudo_log, WHIMBREL_ACTION_USER="nobody-else")
    )

    assert ended.result["stdout"] == "done"
    assert sudo_log.read_text() == "sudo -E -H -u nobody-else -- bash -c echo done\n"


def test_a_script_gets_its_arguments(script: Path) -> None:
    """Named first, then positional; the script is made executable on its first run."""
    for _ in range(2):
        ended = run_once(
            build(os.environ),
            "local-shell-script",
            {"kwarg_op": "--"},
            entry_point=str(script),
            action_params={"name": "it's", "count": 2, "flag": True, "first": "a b", "last": None},
            action_schema={
                "first": {"type": "string", "position": 0},
                "last": {"type": "string", "position": 1},
            },
        )

        assert ended.result["stdout"] == "--name=it's|--count=2|--flag|a b||"
    assert script.stat().st_mode & 0o111


def test_the_operator_of_named_arguments_may_be_empty(script: Path) -> None:
    """`name=value` is what some scripts want."""
    ended = run_once(
        build(os.environ),
        "local-shell-script",
        {"kwarg_op": ""},
        entry_point=str(script),
        action_params={"a": 1},
    )

    assert ended.result["stdout"] == "a=1|"
