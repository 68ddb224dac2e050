"""How the broker is doing, as it says itself."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from whimbrel.cli import render
from whimbrel.cli.failures import CommandFailed, Refused
from whimbrel.cli.shell import Invocation

PLUGIN_COLUMNS = ("name", "kind", "version", "state", "restarts", "active_runs", "message")
UNITS = (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10))


def status(invocation: Invocation) -> int:
    """Show the broker's status; 1 when it is not ready."""
    found = _status(invocation)
    if invocation.format:
        render.show_one(invocation, found, ("all",))
    else:
        _show(invocation, found)
    return 0 if found.get("ready", True) else 1


def plugins(invocation: Invocation) -> int:
    """List the broker's plugins."""
    found = _status(invocation).get("plugins") or []
    known = [name for name in PLUGIN_COLUMNS if any(name in plugin for plugin in found)]
    render.show_list(invocation, found, known or ("name",))
    return 0


def _status(invocation: Invocation) -> Mapping[str, Any]:
    try:
        found = invocation.api.get("/status").document()
    except Refused as error:
        if error.status != 404:
            raise
        raise CommandFailed(
            f"{invocation.target.api_url} does not tell its status; it is no Whimbrel broker"
        ) from error
    if not isinstance(found, dict):
        raise CommandFailed(f"the status must be an object, got {type(found).__name__}")
    return found


def _show(invocation: Invocation, found: Mapping[str, Any]) -> None:
    """Print single values as a table, and each list of objects as a table of its own."""
    shell = invocation.shell
    rows = [["url", invocation.target.api_url], *([name, text] for name, text in _flat(found))]
    render.write_table(shell, ("Property", "Value"), rows)
    for name, value in found.items():
        if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            shell.say(f"\n{name}:")
            _show_objects(invocation, value)


def _show_objects(invocation: Invocation, items: Sequence[Mapping[str, Any]]) -> None:
    header = list(dict.fromkeys(name for item in items for name in item))
    rows = [[_worded(name, item.get(name)) for name in header] for item in items]
    render.write_table(invocation.shell, header, rows)


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, item in value.items():
        if isinstance(item, Mapping):
            yield from _flat(item, f"{prefix}{name}.")
        elif isinstance(item, list):
            if not all(isinstance(part, dict) for part in item):
                yield prefix + name, ", ".join(map(str, item))
        else:
            yield prefix + name, _worded(name, item)


def _worded(name: str, value: object) -> str:
    """Return the value as people say it: bytes in larger units, seconds in hours and days."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)) and name.endswith("_bytes"):
        return bytes_text(value)
    if isinstance(value, (int, float)) and name.endswith("_seconds"):
        return _seconds_text(value)
    return str(value)


def bytes_text(count: float) -> str:
    """Return a number of bytes in the largest unit that leaves a whole part."""
    for unit, size in UNITS:
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count:.0f} B"


def _seconds_text(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.3g}s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = ((days, "d"), (hours, "h"), (minutes, "m"), (rest, "s"))
    return " ".join(f"{count}{unit}" for count, unit in parts if count)


__all__ = ["bytes_text", "plugins", "status"]
