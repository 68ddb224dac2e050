"""The datastore: set a value, load many, delete by prefix."""

import json
from typing import Any

from whimbrel.cli import files, render
from whimbrel.cli.api import segment
from whimbrel.cli.failures import CommandFailed, Refused, Usage
from whimbrel.cli.shell import Invocation

SET_DETAILS = ("name", "value", "scope", "expire_timestamp")
LOAD_COLUMNS = ("name", "value", "secret", "scope", "user", "ttl")


def set_value(invocation: Invocation) -> int:
    """Store a value; without one, or with `-`, it is read from standard input, so it need not be typed."""
    name = invocation.text("name")
    body: dict[str, Any] = {
        "name": name,
        "scope": invocation.text("scope"),
        "user": invocation.text("user") or None,
        "value": _value(invocation),
    }
    if invocation.switch("encrypt"):
        body["secret"] = True
    if invocation.switch("encrypted"):
        body["encrypted"] = True
    if invocation.given("ttl"):
        body["ttl"] = invocation.number("ttl")
    answer = invocation.api.send("PUT", f"/keys/{segment(name)}", body)
    render.show_one(invocation, answer.document(), SET_DETAILS)
    return 0


def load(invocation: Invocation) -> int:
    """Store the values of a file. All are checked before the first is stored."""
    items = [
        _loaded(item, convert=invocation.switch("convert"))
        for item in files.mappings(invocation.text("file"))
    ]
    for item in items:
        invocation.api.send("PUT", f"/keys/{segment(item['name'])}", item)
    render.show_list(invocation, items, LOAD_COLUMNS)
    return 0


def delete_by_prefix(invocation: Invocation) -> int:
    """Delete all keys of the system scope whose names begin with the prefix."""
    prefix = invocation.text("prefix")
    if not prefix:
        raise Usage("an empty prefix would delete every key")
    found = invocation.api.get("/keys", {"prefix": prefix, "limit": -1}).document()
    names = [str(key["name"]) for key in found]
    for name in names:
        _delete(invocation, name)
    invocation.shell.say(f"Deleted {len(names)} keys")
    invocation.shell.say(f"Deleted key ids: {', '.join(names)}")
    return 0


def _value(invocation: Invocation) -> str:
    if invocation.given("value") and invocation.text("value") != "-":
        return invocation.text("value")
    shell = invocation.shell
    if not shell.input.isatty():
        return shell.input.read()
    import getpass

    return getpass.getpass(f"Value of {invocation.text('name')}: ")


def _delete(invocation: Invocation, name: str) -> None:
    """Delete a key; one that has gone in the meantime is what was wanted."""
    try:
        invocation.api.delete(f"/keys/{segment(name)}")
    except Refused as error:
        if error.status != 404:
            raise


def _loaded(item: dict[str, Any], *, convert: bool) -> dict[str, Any]:
    missing = [field for field in ("name", "value") if field not in item]
    if missing:
        raise CommandFailed(f"an item of the file has no {missing[0]}: {json.dumps(item)[:200]}")
    value = item["value"]
    if not isinstance(value, str):
        if not convert:
            raise CommandFailed(
                f"Item '{item['name']}' has a value that is not a string. "
                "Store such values as JSON with -c/--convert, or make them strings in the file"
            )
        value = json.dumps(value)
    return {"scope": "system", **item, "value": value}


__all__ = ["delete_by_prefix", "load", "set_value"]
