"""Triggers that rules have made, and events that are to happen again."""

from whimbrel.cli import resources
from whimbrel.cli.api import segment
from whimbrel.cli.failures import Refused, Silent
from whimbrel.cli.shell import Invocation


def specs(invocation: Invocation) -> int:
    """List the triggers of a kind."""
    kind = invocation.text("ref_or_id")
    columns = resources.resource_of(invocation).columns
    return resources.list_with(invocation, columns, {"type": kind} if kind else None)


def re_emit(invocation: Invocation) -> int:
    """Let an event happen again."""
    identifier = invocation.text("id")
    path = f"/triggerinstances/{segment(identifier)}/re_emit"
    try:
        answer = invocation.api.send("POST", path).document()
    except Refused as error:
        if error.status != 404:
            raise
        resources.missing(invocation, identifier)
        raise Silent(1) from error
    invocation.shell.say(str(answer["message"]))
    return 0


__all__ = ["re_emit", "specs"]
