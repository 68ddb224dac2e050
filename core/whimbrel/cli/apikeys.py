"""API keys: make one, take over those of another system."""

import json
from typing import Any

from whimbrel.cli import files, render
from whimbrel.cli.api import segment
from whimbrel.cli.failures import CommandFailed, OperationFailed, Refused, Usage
from whimbrel.cli.shell import Invocation

DETAILS = ("id", "all")
COLUMNS = ("id", "user", "metadata", "enabled")


def create(invocation: Invocation) -> int:
    """Make a key and show it, this once."""
    body: dict[str, Any] = {}
    if invocation.given("user"):
        body["user"] = invocation.text("user")
    if invocation.given("metadata"):
        body["metadata"] = _metadata(invocation.text("metadata"))
    try:
        made = invocation.api.send("POST", "/apikeys", body).document()
    except Refused as error:
        raise OperationFailed(str(error)) from error
    if invocation.switch("only_key"):
        invocation.shell.say(str(made["key"]))
    else:
        render.show_one(invocation, made, DETAILS)
    return 0


def load(invocation: Invocation) -> int:
    """Take over keys by their hashes: those that are there are replaced, the others made."""
    items = files.mappings(invocation.text("file"))
    for item in items:
        missing = [field for field in ("user", "key_hash") if not item.get(field)]
        if missing:
            raise CommandFailed(f"an item of the file has no {missing[0]}")
    made = [_stored(invocation, {"enabled": False, **item}) for item in items]
    render.show_list(invocation, made, COLUMNS)
    return 0


def _stored(invocation: Invocation, item: dict[str, Any]) -> dict[str, Any]:
    document: dict[str, Any]
    if item.get("id"):
        try:
            path = f"/apikeys/{segment(str(item['id']))}"
            document = invocation.api.send("PUT", path, item).document()
            return document
        except Refused as error:
            if error.status != 404:
                raise
    document = invocation.api.send("POST", "/apikeys", item).document()
    return document


def _metadata(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise Usage(f"metadata must be a JSON object, got {text!r}") from error
    if not isinstance(value, dict):
        raise Usage(f"metadata must be a JSON object, got {text!r}")
    return value


__all__ = ["create", "load"]
