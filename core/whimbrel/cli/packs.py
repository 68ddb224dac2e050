"""Packs: have their content read again."""

from typing import Any

from whimbrel.cli import render
from whimbrel.cli.failures import OperationFailed, Refused
from whimbrel.cli.shell import Invocation


def register(invocation: Invocation) -> int:
    """Have packs read from the disk again, and show how many there are of each kind."""
    body: dict[str, Any] = {}
    if invocation.texts("types"):
        body["types"] = invocation.texts("types")
    if invocation.texts("pack"):
        body["packs"] = invocation.texts("pack")
    try:
        counts = invocation.api.send("POST", "/packs/register", body).document()
    except Refused as error:
        raise OperationFailed(str(error)) from error
    render.show_one(invocation, counts, ("all",))
    return 0


__all__ = ["register"]
