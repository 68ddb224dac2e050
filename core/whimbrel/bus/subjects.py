"""The names on the bus.

`whimbrel.event.<trigger ref>` is where outside programs publish; everything else is announced by the
broker: `whimbrel.execution.failed.core.local`. The dots of a ref separate tokens, so that
`whimbrel.execution.failed.core.>` is whatever failed in pack `core`.
"""

import re
from functools import lru_cache
from typing import Final

EVENTS: Final = "whimbrel.event"
REFUSED: Final = "whimbrel.refused"

ANNOUNCED_KINDS: Final = (
    "action",
    "alias",
    "execution",
    "inquiry",
    "key",
    "pack",
    "plugin",
    "policy",
    "rule",
    "runner",
    "sensor",
    "trigger",
    "workflow",
)
"""What the broker announces, as `whimbrel.<kind>.>`; none of it overlaps `whimbrel.event.>`."""

ANNOUNCED: Final = (*(f"whimbrel.{kind}.>" for kind in ANNOUNCED_KINDS), REFUSED)

TOKENS_CACHE_LIMIT: Final = 4096
"""Names whose tokens are remembered: refs and states come again and again."""

SUBJECT_LIMIT: Final = 1024
"""Characters of a subject that the broker announces on."""

_ANNOUNCED: Final = re.compile(
    rf"whimbrel\.(?:{'|'.join(ANNOUNCED_KINDS)})(?:\.[^.*> \t\r\n\0]+)+|whimbrel\.refused"
)
_PLAIN: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_~:/@+=")


@lru_cache(TOKENS_CACHE_LIMIT)
def tokens(name: str) -> str:
    """Return a name as tokens of a subject, its dots kept between them.

    What a token may not hold is percent-encoded, byte by byte of its UTF-8 form, and an empty token is
    a lone `%`: two different names give two different results.
    """
    return ".".join(_token(part) for part in name.split("."))


def event(trigger_ref: str) -> str:
    """Return where an event of this trigger or trigger type is published."""
    return f"{EVENTS}.{tokens(trigger_ref)}"


def announced(kind: str, *names: str) -> str:
    """Return where something is announced; `kind` is one of `ANNOUNCED_KINDS`."""
    return ".".join(("whimbrel", kind, *map(tokens, names)))


def is_announced(subject: str) -> bool:
    """Say whether the bus takes announcements on `subject`."""
    return len(subject) <= SUBJECT_LIMIT and _ANNOUNCED.fullmatch(subject) is not None


def _token(part: str) -> str:
    if not part:
        return "%"
    return "".join(chr(byte) if byte in _PLAIN else f"%{byte:02X}" for byte in part.encode())
