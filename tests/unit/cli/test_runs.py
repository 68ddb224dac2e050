"""`run` and its kin."""

import itertools
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.conftest import Whimbrel
from tests.unit.cli.documents import ACTION, EXECUTION, EXECUTION_ID, RUNNER, RUNNING
from tests.unit.cli.served import Reply, Served

PATH = f"/api/v1/executions/{EXECUTION_ID}"
REQUESTED = {"id": EXECUTION_ID, "status": "requested"}


@pytest.fixture(autouse=True)
def _content(server: Served) -> None:
    """Serve an action, its runner and an execution that has ended."""
    server.on("GET", "/api/v1/actions/core.local", Reply(ACTION))
    server.on("GET", "/api/v1/runnertypes", Reply([RUNNER]))
    server.on("POST", "/api/v1/executions", Reply(REQUESTED, 201))
    server.on("GET", PATH, Reply(EXECUTION))


def sent(server: Served) -> Any:
    """Return the body of the last request with one."""
    return next(r.document() for r in reversed(server.requests) if r.method == "POST")


def test_run_waits_and_shows_the_result(server: Served, whimbrel: Whimbrel) -> None:
    """Parameters are typed by action and runner; the log is left out."""
    outcome = whimbrel("run", "core.local", "timeout=5", "echo", "hi")

    assert outcome.code == 0
    assert "status: succeeded (2s elapsed)" in outcome.output
    assert "log:" not in outcome.output
    assert sent(server) == {
        "action": "core.local",
        "parameters": {"timeout": 5, "cmd": "echo hi"},
        "user": None,
    }


def test_run_asks_soon_and_then_less_often(server: Served, whimbrel: Whimbrel) -> None:
    """Quick actions are answered at once, slow ones asked for once a second."""
    server.on("GET", PATH, *[Reply(RUNNING)] * 12, Reply(EXECUTION))

    pauses = whimbrel("run", "core.local", "cmd=x").pauses

    assert (len(pauses), pauses[0], pauses[-1]) == (12, 0.05, 1.0)
    assert all(earlier <= later for earlier, later in itertools.pairwise(pauses))


def test_a_terminal_sees_that_it_is_going_on(server: Served, whimbrel: Whimbrel) -> None:
    """Progress is written over itself on stderr and cleared at the end; pipes get none."""
    server.on("GET", PATH, Reply(RUNNING), Reply(EXECUTION))

    errors = whimbrel("run", "core.local", "cmd=x", terminal=True).errors

    assert "running 0s" in errors
    assert errors.endswith("\r\033[K")


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("succeeded", 0),
        ("failed", 1),
        ("timeout", 0),
        ("canceled", 0),
        ("delayed", 0),
        ("paused", 0),
        ("pending", 0),
    ],
)
def test_only_a_failed_execution_exits_1(
    status: str, code: int, server: Served, whimbrel: Whimbrel
) -> None:
    """What hangs on a person or a time is not waited for."""
    server.on("GET", PATH, Reply({**EXECUTION, "status": status}))

    assert code == whimbrel("run", "core.local", "cmd=x").code


@pytest.mark.parametrize(
    "words", [["run", "core.local", "-a"], ["action", "execute", "core.local"]]
)
def test_starting_without_waiting_says_how_to_go_on(
    words: list[str], server: Served, whimbrel: Whimbrel
) -> None:
    """The id is shown in the commands that get the result."""
    outcome = whimbrel(*words, "cmd=x")

    assert outcome.code == 0
    assert f"whimbrel execution get {EXECUTION_ID}\n" in outcome.output
    assert f"whimbrel execution tail {EXECUTION_ID}\n" in outcome.output
    assert f"GET {PATH}" not in server.calls()


def test_delay_user_trace_and_environment_are_sent(server: Served, whimbrel: Whimbrel) -> None:
    """Each flag has its place in the request."""
    whimbrel(
        *("run", "core.local", "cmd=x", "--delay", "10", "-u", "bob", "-e", "env=A=1"),
        *("--trace-tag", "tag", "--trace-id", "id"),
        FOO="1",
    )

    body = sent(server)
    assert (body["delay"], body["user"]) == (10, "bob")
    assert body["context"] == {"trace_context": {"id_": "id", "trace_tag": "tag"}}
    assert (body["parameters"]["env"]["FOO"], body["parameters"]["env"]["A"]) == ("1", "1")
    assert "HOME" not in body["parameters"]["env"]


def test_a_parameter_can_be_read_from_a_file(
    server: Served, whimbrel: Whimbrel, tmp_path: Path
) -> None:
    """@name=path sends the file's content; a file that is missing is named."""
    (tmp_path / "f").write_text("text")

    whimbrel("run", "core.local", f"@cmd={tmp_path / 'f'}")
    missing = whimbrel("run", "core.local", f"@cmd={tmp_path / 'g'}")

    assert sent(server)["parameters"] == {"cmd": "text"}
    assert missing.code == 1
    assert str(tmp_path / "g") in missing.errors


def test_an_unknown_action_exits_1(server: Served, whimbrel: Whimbrel) -> None:
    """Nothing is started."""
    outcome = whimbrel("run", "core.nope", "cmd=x")

    assert (
        outcome.code,
        outcome.errors,
    ) == (1, 'ERROR: Resource with id or reference "core.nope" doesn\'t exist.\n')


def test_a_refused_start_exits_1(server: Served, whimbrel: Whimbrel) -> None:
    """The server's explanation is shown."""
    refusal = Reply({"faultstring": "'cmd' is a required property"}, 400)
    server.on("POST", "/api/v1/executions", refusal)

    outcome = whimbrel("run", "core.local")

    assert outcome.code == 1
    assert "MESSAGE: 'cmd' is a required property" in outcome.errors


def test_help_of_an_action_lists_its_parameters(server: Served, whimbrel: Whimbrel) -> None:
    """Required ones come first; fixed ones cannot be given and are not shown."""
    outcome = whimbrel("run", "core.local", "-h")

    assert outcome.output == (
        "\n"
        "Runs a command.\n"
        "\n"
        "Required Parameters:\n"
        "    cmd\n"
        "        Command.\n"
        "        Type: string\n"
        "\n"
        "Optional Parameters:\n"
        "    env\n"
        "        Type: object\n"
        "\n"
        "    kind\n"
        "        Type: string\n"
        "        Enum: a, b\n"
        "\n"
        "    timeout\n"
        "        Seconds.\n"
        "        Type: integer\n"
        "        Default: 60\n"
        "\n"
    )


def test_help_without_an_action_is_that_of_the_command(whimbrel: Whimbrel) -> None:
    """`run -h` explains run itself, and asks nobody."""
    assert "usage: whimbrel run" in whimbrel("run", "-h").output


def test_help_of_an_unknown_action_exits_0(whimbrel: Whimbrel) -> None:
    """It says that there is none."""
    outcome = whimbrel("run", "core.nope", "-h")

    assert outcome.code == 0
    assert 'Action "core.nope" is not found' in outcome.output


def test_run_can_show_output_while_it_comes(server: Served, whimbrel: Whimbrel) -> None:
    """--tail shows the output, then the result."""
    server.on("POST", "/api/v1/executions", Reply({**EXECUTION}, 201))
    server.on("GET", f"{PATH}/output", Reply(text="out\n"))

    output = whimbrel("run", "core.local", "cmd=x", "--tail").output

    assert output.startswith(f'Tailing execution "{EXECUTION_ID}"\nout\n')
    assert "has completed (status=succeeded).\n\nid: " in output


def test_re_run_sends_changes_and_tasks(server: Served, whimbrel: Whimbrel) -> None:
    """Tasks start anew unless --no-reset names them."""
    server.on("POST", f"{PATH}/re_run", Reply(REQUESTED, 201))

    outcome = whimbrel(
        *("execution", "re-run", EXECUTION_ID, "cmd=y", "--tasks", "a", "b", "--no-reset", "b")
    )

    assert outcome.code == 0
    assert (sent(server)) == {
        "parameters": {"cmd": "y"},
        "tasks": ["a", "b"],
        "reset": ["a"],
        "delay": 0,
    }


def test_re_run_of_an_unknown_execution_exits_1(whimbrel: Whimbrel) -> None:
    """The id is named."""
    outcome = whimbrel("execution", "re-run", "nope")

    assert (
        outcome.code,
        outcome.errors,
    ) == (1, 'ERROR: Action execution with id "nope" cannot be found.\n')
