"""JSONPath, compiled once: plain paths to fast closures, all others by jsonpath-rw."""

import re
from typing import Any, Protocol

from whimbrel.expr.cache import Cache

CACHED_PATHS = 1_024

_STEP = re.compile(
    r"""(?P<dot>\.)?(?:
        (?P<name>[a-zA-Z_@][a-zA-Z0-9_@-]*)
      | '(?P<single>[^'\\]+)' | "(?P<double>[^"\\]+)"
      | \[(?:(?P<index>[0-9]+)|'(?P<item1>[^'\\]+)'|"(?P<item2>[^"\\]+)")\]
    )""",
    re.VERBOSE,
)
# Words that the full grammar reads as operators, and the field that means "all of them".
_RESERVED = frozenset({"where", "wherenot", "*"})
_MISSING = object()


class MalformedPathError(ValueError):
    """The text is not a JSONPath expression."""


class Path(Protocol):
    """A compiled expression."""

    def first(self, value: object) -> Any:
        """Return the first selected value, None when there is none.

        Raises the `TypeError` or `LookupError` of an index into what cannot be indexed.
        """
        ...

    def find(self, value: object) -> list[Any]:
        """Return everything that is selected, in document order; errors as in `first`."""
        ...


class PlainPath:
    """Names and indexes one after another; selects one value or none."""

    __slots__ = ("names", "steps")

    def __init__(self, steps: tuple[str | int, ...]) -> None:
        self.steps = steps
        self.names = all(isinstance(step, str) for step in steps)
        """Whether there is no index, so that no lookup can fail."""

    def first(self, value: object) -> Any:
        """Return the selected value, None when there is none."""
        return self._select(value, None)

    def find(self, value: object) -> list[Any]:
        """Return a list of the selected value, empty when there is none."""
        found = self._select(value, _MISSING)
        return [] if found is _MISSING else [found]

    def _select(self, value: Any, missing: object) -> Any:
        for step in self.steps:
            if isinstance(step, int):
                # The length is asked first: that decides which error a wrong type gives.
                if len(value) <= step:
                    return missing
                value = value[step]
                continue
            try:
                value = value[step]
            except (TypeError, KeyError, AttributeError):
                return missing
        return value


class FullPath:
    """Any expression that jsonpath-rw knows."""

    __slots__ = ("_expression",)

    def __init__(self, text: str) -> None:
        try:
            # Imported by the first path that needs it: plain ones, nearly all, do not.
            import jsonpath_rw

            self._expression = jsonpath_rw.parse(text)
        # The parser raises bare Exception, and AttributeError at an unexpected end.
        except Exception as error:
            raise MalformedPathError(f"{text!r} is not a JSONPath expression: {error}") from error

    def first(self, value: object) -> Any:
        """Return the first selected value, None when there is none."""
        found = self._expression.find(value)
        return found[0].value if found else None

    def find(self, value: object) -> list[Any]:
        """Return everything that is selected."""
        return [datum.value for datum in self._expression.find(value)]


def plain_steps(text: str) -> tuple[str | int, ...] | None:
    """Return the steps of a plain path, None when `text` needs the full grammar."""
    steps: list[str | int] = []
    position = 0
    while position < len(text):
        match = _STEP.match(text, position)
        if match is None or _misplaced(match, first=not steps):
            return None
        steps.append(_step(match))
        position = match.end()
    if not steps or _RESERVED.intersection(steps):
        return None
    return tuple(steps)


def _misplaced(match: "re.Match[str]", *, first: bool) -> bool:
    bracketed = match[0].endswith("]")
    return bool(match["dot"]) == (first or bracketed) or (first and bracketed)


def _step(match: "re.Match[str]") -> str | int:
    if match["index"] is not None:
        return int(match["index"])
    return match["name"] or match["single"] or match["double"] or match["item1"] or match["item2"]


class JsonPaths:
    """Compiled expressions by text; the least recently used leave first."""

    def __init__(self) -> None:
        self._compiled = Cache[str, Path](CACHED_PATHS)

    def compile(self, text: str) -> Path:
        """Return the compiled expression; raise `MalformedPathError`."""
        return self._compiled.get(text, compile_path)


def compile_path(text: str) -> Path:
    """Return the compiled expression; raise `MalformedPathError`. Plain paths are cheap to compile."""
    steps = plain_steps(text.strip(" \t"))
    return FullPath(text) if steps is None else PlainPath(steps)
