"""The output of an execution and its tasks, while it comes."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from whimbrel.cli import executions, render
from whimbrel.cli.api import Query, segment
from whimbrel.cli.failures import CommandFailed, Refused
from whimbrel.cli.shell import Invocation

UPDATED = "st2.execution__update"
OUTPUT = "st2.execution.output__create"
LAST = "last"


def tail(invocation: Invocation) -> int:
    """Show the output of an execution until it ends."""
    name = invocation.text("id") or LAST
    if name == LAST:
        latest = invocation.api.get("/executions", {"limit": 1}).document()
        if not latest:
            raise CommandFailed("no execution has been started yet")
        found = latest[0]
    else:
        try:
            found = invocation.api.get(f"/executions/{segment(name)}").document()
        except Refused as error:
            if error.status != 404:
                raise
            raise CommandFailed(f'Execution "{name}" is not found.') from error
    follow(invocation, found)
    return 0


def follow(invocation: Invocation, execution: Mapping[str, Any]) -> None:
    """Print output until the execution has ended; an ended one prints what it had."""
    identifier = str(execution["id"])
    if execution.get("status") in render.FINAL:
        _show_ended(invocation, execution)
        return
    query: Query = {
        "end_event": UPDATED,
        "end_execution_id": identifier,
        "events": f"{UPDATED},{OUTPUT}",
    }
    with invocation.api.events("/stream", query) as events:
        _Tail(invocation, identifier).show(events)


def _show_ended(invocation: Invocation, execution: Mapping[str, Any]) -> None:
    shell = invocation.shell
    identifier = str(execution["id"])
    path = f"/executions/{segment(identifier)}/output"
    kind = invocation.text("type")
    answer = invocation.api.get(path, {"output_type": kind} if kind else None)
    text = answer.body.decode("utf-8", "replace")
    shell.output.write(text)
    if text and not text.endswith("\n"):
        shell.say("")
    shell.say(f"\n{_completed(identifier, str(execution['status']))}")


def _completed(identifier: str, status: str) -> str:
    return f"Execution {identifier} has completed (status={status})."


class _Tail:
    """What has been told of an execution and its tasks so far."""

    def __init__(self, invocation: Invocation, identifier: str) -> None:
        self._shell = invocation.shell
        self._identifier = identifier
        self._path = f"/executions/{segment(identifier)}"
        self._kind = invocation.text("type")
        self._metadata = invocation.switch("include_metadata")
        self._family = {identifier}
        self._ended: set[str] = set()
        self._mid_line = False
        self._after_blank = True
        self._api = invocation.api

    def show(self, events: Iterator[tuple[str, str]]) -> None:
        """Print what the events tell until the execution has ended."""
        self._tell(f"Execution {self._identifier} has started.")
        # It may have ended between the question for it and the opening of the stream.
        status = self._status()
        if status in render.FINAL:
            self._write(self._api.get(f"{self._path}/output").body.decode("utf-8", "replace"))
            self._end(status)
            return
        for name, data in events:
            event = json.loads(data)
            if name == OUTPUT:
                self._output(event)
            elif name == UPDATED and self._update(event):
                return
        status = self._status()
        if status not in render.FINAL:
            raise CommandFailed(f"the stream ended, but {self._identifier} goes on; tail it again")
        self._end(status)

    def _status(self) -> str:
        return str(self._api.get(self._path).document().get("status"))

    def _output(self, event: Mapping[str, Any]) -> None:
        if event.get("execution_id") not in self._family:
            return
        kind = event.get("output_type")
        if self._kind and kind != self._kind:
            return
        text = str(event.get("data") or "")
        if self._metadata:
            text = f"[{event.get('timestamp')}][{kind}] {text}"
        self._write(text)

    def _write(self, text: str) -> None:
        if not text:
            return
        self._shell.output.write(text)
        self._shell.output.flush()
        self._mid_line = not text.endswith("\n")
        self._after_blank = False

    def _update(self, event: Mapping[str, Any]) -> bool:
        """Tell of an execution's start or end; True when it is the one that is followed and has ended."""
        identifier, status = str(event.get("id")), str(event.get("status"))
        if identifier == self._identifier:
            if status in render.FINAL:
                self._end(status)
                return True
            return False
        parent = event.get("parent") or render.lookup(event, "context.parent.execution_id")
        if parent not in self._family:
            return False
        task = executions.task_name(event)
        if identifier not in self._family:
            self._family.add(identifier)
            self._tell(f"Child execution (task={task}) {identifier} has started.")
        if status in render.FINAL and identifier not in self._ended:
            self._ended.add(identifier)
            self._tell(
                f"Child execution (task={task}) {identifier} has finished (status={status})."
            )
        return False

    def _end(self, status: str) -> None:
        self._tell(_completed(self._identifier, status), last=True)

    def _tell(self, text: str, *, last: bool = False) -> None:
        """Print a line of our own between blank lines, so that it stands apart from the output."""
        if self._mid_line:
            self._shell.say("")
        if not self._after_blank:
            self._shell.say("")
        self._shell.say(text if last else f"{text}\n")
        self._mid_line, self._after_blank = False, True
        self._shell.output.flush()


__all__ = ["follow", "tail"]
