"""`run` and its kin: start an action, wait for it, show what came of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from whimbrel.cli import executions, files, grammar, parameters
from whimbrel.cli.api import segment
from whimbrel.cli.failures import CommandFailed, Refused, Usage
from whimbrel.cli.shell import Invocation
from whimbrel.cli.tail import follow

# While an execution is in one of these, its end is near enough to wait for.
ON_THE_WAY = {"requested", "scheduled", "running", "canceling"}
POLL_SECONDS_FIRST = 0.05
POLL_SECONDS_MAX = 1.0
POLL_GROWTH = 1.5
SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


def run(invocation: Invocation) -> int:
    """Run an action and wait for it, unless `--async` says not to."""
    return _run(invocation, waits=not invocation.switch("async"))


def execute(invocation: Invocation) -> int:
    """Start an action and do not wait."""
    return _run(invocation, waits=False)


def re_run(invocation: Invocation) -> int:
    """Run an execution again, with other parameters where they are given."""
    identifier = invocation.text("id")
    try:
        earlier = invocation.api.get(f"/executions/{segment(identifier)}").document()
    except Refused as error:
        if error.status != 404:
            raise
        message = f'Action execution with id "{identifier}" cannot be found.'
        raise CommandFailed(message) from error
    tasks = invocation.texts("tasks")
    kept = set(invocation.texts("no_reset"))
    body = {
        "parameters": _parameters(invocation, str(earlier["action"]["ref"])),
        "tasks": tasks,
        "reset": [task for task in tasks if task not in kept],
        "delay": invocation.number("delay") or 0,
    }
    path = f"/executions/{segment(str(earlier['id']))}/re_run"
    started = invocation.api.send("POST", path, body).document()
    return _result(invocation, started, waits=not invocation.switch("async"))


def _run(invocation: Invocation, *, waits: bool) -> int:
    ref = invocation.text("ref_or_id")
    if invocation.switch("help"):
        return _help(invocation, ref)
    if not ref:
        raise Usage("name the action to run", help_text=_usage(invocation))
    body: dict[str, Any] = {
        "action": ref,
        "parameters": _parameters(invocation, ref),
        "user": invocation.text("user") or None,
    }
    if invocation.given("delay"):
        body["delay"] = invocation.number("delay")
    trace = {
        name: invocation.text(key)
        for name, key in (("id_", "trace_id"), ("trace_tag", "trace_tag"))
        if invocation.given(key)
    }
    if trace:
        body["context"] = {"trace_context": trace}
    started = invocation.api.send("POST", "/executions", body).document()
    return _result(invocation, started, waits=waits)


def _help(invocation: Invocation, ref: str) -> int:
    shell = invocation.shell
    if not ref:
        shell.output.write(grammar.parser_of(invocation.command).format_help())
        return 0
    try:
        action, runner = _action(invocation, ref)
    except CommandFailed:
        shell.say(f'Action "{ref}" is not found. `whimbrel action list` shows those there are.')
        return 0
    shell.say(parameters.help_text(action, runner))
    return 0


def _usage(invocation: Invocation) -> str:
    return grammar.parser_of(invocation.command).format_usage()


def _action(invocation: Invocation, ref: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return the action and its runner; raises CommandFailed when there is no such action."""
    try:
        action = invocation.api.get(f"/actions/{segment(ref)}").document()
    except Refused as error:
        if error.status != 404:
            raise
        message = f'Resource with id or reference "{ref}" doesn\'t exist.'
        raise CommandFailed(message) from error
    found = invocation.api.get("/runnertypes", {"name": action["runner_type"]}).document()
    return action, found[0] if found else {}


def _parameters(invocation: Invocation, ref: str) -> dict[str, Any]:
    action, runner = _action(invocation, ref)
    found = parameters.parse(
        invocation.texts("parameters"),
        parameters.schemas_of(action, runner),
        lambda path: files.content(Path(path).expanduser()).decode(errors="replace"),
        action=str(action.get("ref", "")),
        auto_dict=invocation.switch("auto_dict"),
    )
    if invocation.switch("inherit_env"):
        found["env"] = {
            **parameters.inherited(invocation.shell.environment),
            **(found.get("env") or {}),
        }
    return found


def _result(invocation: Invocation, started: Mapping[str, Any], *, waits: bool) -> int:
    """Show the execution; when it is waited for, the exit code tells whether it failed."""
    shell = invocation.shell
    identifier = str(started["id"])
    if not waits:
        if invocation.format:
            executions.show(invocation, started, with_log=False)
            return 0
        shell.say(f"To get the results, execute:\n {grammar.PROGRAM} execution get {identifier}")
        shell.say(
            f"\nTo view output in real-time, execute:\n"
            f" {grammar.PROGRAM} execution tail {identifier}"
        )
        return 0
    if invocation.switch("tail"):
        shell.say(f'Tailing execution "{identifier}"')
        follow(invocation, started)
        shell.say("")
    try:
        ended = _wait(invocation, started)
    except KeyboardInterrupt:
        shell.note(
            f"\n{identifier} goes on. Stop it with: {grammar.PROGRAM} execution cancel {identifier}"
        )
        raise
    executions.show(invocation, ended, with_log=False)
    return 1 if ended.get("status") == "failed" else 0


def _wait(invocation: Invocation, started: Mapping[str, Any]) -> Mapping[str, Any]:
    """Ask until the execution has ended or hangs on something else; soon at first, then less often."""
    shell = invocation.shell
    path = f"/executions/{segment(str(started['id']))}"
    begun = shell.now()
    pause_seconds = POLL_SECONDS_FIRST
    turns = 0
    shown = shell.errors.isatty()
    while True:
        found: Mapping[str, Any] = invocation.api.get(path).document()
        if found.get("status") not in ON_THE_WAY:
            break
        if shown:
            passed = int(shell.now() - begun)
            _spin(invocation, f"{SPINNER[turns % len(SPINNER)]} {found['status']} {passed}s")
        shell.pause(pause_seconds)
        pause_seconds = min(pause_seconds * POLL_GROWTH, POLL_SECONDS_MAX)
        turns += 1
    if shown:
        _spin(invocation, "")
    return found


def _spin(invocation: Invocation, text: str) -> None:
    """Write over the line where the progress stands."""
    invocation.shell.errors.write(f"\r\033[K{text}")
    invocation.shell.errors.flush()


__all__ = ["execute", "re_run", "run"]
