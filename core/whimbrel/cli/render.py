"""How answers are shown: tables and text for people, JSON and YAML for programs."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Any

from whimbrel.cli import table
from whimbrel.cli.failures import Usage
from whimbrel.cli.shell import Invocation, Shell

MASK = "********"
MASKED_PARAMETERS = {"password", "private_key"}
MOMENTS = {
    "start_timestamp",
    "end_timestamp",
    "expire_timestamp",
    "occurrence_time",
    "enforced_at",
}
FINAL = {"succeeded", "failed", "timeout", "canceled", "abandoned"}
BLUE, GREEN, YELLOW, RED = "\033[94m", "\033[92m", "\033[93m", "\033[91m"
END = "\033[0m"
STATUS_COLOURS = {
    "succeeded": GREEN,
    "failed": RED,
    "timeout": RED,
    "abandoned": RED,
    "canceled": RED,
}
NOTHING = "No matching items found"

Document = Mapping[str, Any]


def show_list(
    invocation: Invocation, documents: Sequence[Document], columns: Sequence[str]
) -> None:
    """Print documents in the asked format; `-a` replaces the columns."""
    shell = invocation.shell
    attributes = tuple(invocation.texts("attr")) or tuple(columns)
    if invocation.format:
        _structured(invocation, [select(document, attributes) for document in documents])
        return
    if not documents:
        shell.say(NOTHING)
        return
    if "all" in attributes:
        attributes = tuple(_names(documents))
    rows = [[_cell(document, name, invocation) for name in attributes] for document in documents]
    write_table(shell, attributes, rows, _widths(invocation))


def show_one(invocation: Invocation, document: Document, details: Sequence[str]) -> None:
    """Print one document in the asked format; `-a` replaces the details."""
    attributes = tuple(invocation.texts("attr")) or tuple(details)
    if invocation.format:
        _structured(invocation, select(document, attributes))
        return
    names = _expanded(document, attributes)
    rows = [[name, _cell(document, name, invocation)] for name in names]
    write_table(invocation.shell, ("Property", "Value"), rows, _widths(invocation))


def show_text(invocation: Invocation, document: Document, attributes: Sequence[str]) -> None:
    """Print one document as `name: value` lines, inner values as indented YAML."""
    shell = invocation.shell
    for name in _expanded(document, tuple(attributes)):
        label = f"{BLUE}{name}{END}" if shell.colours else name
        value = lookup(document, name)
        if isinstance(value, (dict, list)) and value:
            from whimbrel.cli import yamltext

            shell.say(f"{label}: ")
            for line in yamltext.dump(_masked(name, value), indent=2).splitlines():
                shell.say(f"  {line}" if line else "")
        else:
            shell.say(f"{label}: {_painted(name, _cell(document, name, invocation), shell)}")


def show_json(shell: Shell, value: object) -> None:
    """Print JSON as scripts expect it: indented by 4, keys sorted."""
    shell.say(json.dumps(value, indent=4, sort_keys=True, ensure_ascii=False))


def show_more(shell: Shell, shown: int, total: int | None, plural: str) -> None:
    """Tell on standard error that there are more than are shown."""
    if total is None or not 0 < shown < total:
        return
    which = f"first {shown} {plural} are" if shown > 1 else f"one {plural.removesuffix('s')} is"
    shell.output.flush()
    for line in table.note(f"Note: Only {which} displayed. Use -n/--last flag for more results."):
        shell.note(line)


def write_table(
    shell: Shell,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    columns: Sequence[int] = (),
) -> None:
    """Print a table that fits the terminal."""
    paint = (lambda name, text: _painted(name, text, shell)) if shell.colours else None
    for line in table.lines(header, rows, width=shell.width, columns=columns, paint=paint):
        shell.say(line)


# ------------------------------------------------------------------ attributes
def lookup(document: Document, dotted: str) -> Any:
    """Return the value at a dotted path, or None. A key that has dots itself is found as well."""
    if dotted in document:
        return document[dotted]
    value: Any = document
    for name in dotted.split("."):
        if not isinstance(value, Mapping) or name not in value:
            return None
        value = value[name]
    return value


def select(document: Document, attributes: Sequence[str]) -> dict[str, Any]:
    """Return the chosen attributes, nested as in the document; what is None or absent is left out."""
    if "all" in attributes:
        return {name: value for name, value in document.items() if value is not None}
    chosen: dict[str, Any] = {}
    for dotted in attributes:
        value = lookup(document, dotted)
        if value is None:
            continue
        *outer, last = [dotted] if dotted in document else dotted.split(".")
        place = chosen
        for name in outer:
            inner = place.get(name)
            # A broader attribute may have put the document's own mapping here; it is not ours to change.
            place[name] = dict(inner) if isinstance(inner, Mapping) else {}
            place = place[name]
        place[last] = value
    return chosen


def _expanded(document: Document, attributes: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names with `all` at the end replaced by the others, sorted."""
    if "all" not in attributes:
        return attributes
    first = tuple(name for name in attributes if name != "all" and name in document)
    return first + tuple(sorted(set(document) - set(first)))


def _names(documents: Iterable[Document]) -> list[str]:
    names = sorted({name for document in documents for name in document})
    return sorted(names, key=lambda name: (name not in {"id", "ref", "name"}, name))


# ------------------------------------------------------------------ values
def moment(text: str, timezone: str) -> str:
    """Return an ISO 8601 moment as `Sun, 22 Nov 2026 05:42:21 UTC` in the named timezone."""
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        return text
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=UTC)
    return instant.astimezone(_zone(timezone)).strftime("%a, %d %b %Y %H:%M:%S %Z")


def elapsed(document: Document, now: float) -> str:
    """Return the status with the seconds it took or has been taking: `succeeded (2s elapsed)`."""
    status = str(document.get("status") or "")
    start = document.get("start_timestamp")
    if not start:
        return status
    begun = datetime.fromisoformat(start).timestamp()
    end = document.get("end_timestamp")
    if end:
        until = datetime.fromisoformat(end).timestamp()
    elif status in FINAL:
        return status
    else:
        until = now
    return f"{status} ({max(0, int(until - begun))}s elapsed)"


def _cell(document: Document, name: str, invocation: Invocation) -> str:
    value = _masked(name, lookup(document, name))
    if value is None or value in ("", [], {}):
        return "None" if name == "result" and value is None else ""
    match value:
        case str() if name in MOMENTS:
            return moment(value, invocation.target.timezone)
        case str() if name == "status" and "start_timestamp" in document:
            return elapsed(document, invocation.shell.now())
        case dict() | list():
            return json.dumps(value, indent=4, ensure_ascii=False)
        case _:
            return str(value)


def _masked(name: str, value: Any) -> Any:
    if name != "parameters" or not isinstance(value, Mapping):
        return value
    return {
        key: MASK if key in MASKED_PARAMETERS and isinstance(item, str) else item
        for key, item in value.items()
    }


def _painted(name: str, text: str, shell: Shell) -> str:
    if not shell.colours:
        return text
    if name == "Property":
        return f"{BLUE}{text}{END}"
    word, space, rest = text.partition(" ")
    if name != "status" or not word:
        return text
    return f"{STATUS_COLOURS.get(word, YELLOW)}{word}{END}{space}{rest}"


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    import zoneinfo

    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError) as error:
        raise Usage(f"the timezone {name!r} is not known; take a name as Europe/Berlin") from error


def _structured(invocation: Invocation, value: object) -> None:
    if invocation.format == "json":
        show_json(invocation.shell, value)
        return
    from whimbrel.cli import yamltext

    invocation.shell.say(yamltext.dump(value).rstrip("\n"))


def _widths(invocation: Invocation) -> list[int]:
    widths: list[int] = invocation.values.get("width") or []
    return widths


__all__ = [
    "FINAL",
    "Document",
    "elapsed",
    "lookup",
    "moment",
    "select",
    "show_json",
    "show_list",
    "show_more",
    "show_one",
    "show_text",
    "write_table",
]
