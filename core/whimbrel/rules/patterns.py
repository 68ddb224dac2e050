"""The patterns of criteria: literals, and templates that keep the type of what they name."""

import re
from collections.abc import Mapping
from typing import Any, Protocol

from whimbrel.expr import Compiled, ExpressionError, Templates, decode_json, is_template, plain

# As StackStorm sees it: from the first `{{` of a line to its last `}}` is one expression.
_EXPRESSION = re.compile(r"([{]{2})(.*)([}]{2})")


class Pattern(Protocol):
    """A pattern that has been read."""

    def value(self, names: Mapping[str, Any]) -> Any:
        """Return what to compare with; raise `ExpressionError`."""
        ...


class Literal:
    """A pattern that is what it says."""

    __slots__ = ("_value",)

    def __init__(self, value: Any) -> None:
        self._value = value

    def value(self, names: Mapping[str, Any]) -> Any:
        """Return the pattern."""
        return self._value


class Templated:
    """A text with expressions. `{{ trigger.count }}` alone gives a number when that is one.

    It is compiled at its first use: most rules of a large set are never asked.
    """

    __slots__ = ("_compiled", "_templates", "_text", "_typed")

    def __init__(self, templates: Templates, text: str) -> None:
        self._templates = templates
        self._text = text
        self._typed: Compiled | None = None
        self._compiled: Compiled | None = None

    def value(self, names: Mapping[str, Any]) -> Any:
        """Return the rendered pattern, typed when its text is JSON once it is filled in."""
        names = {"__context": names, **names}
        if _EXPRESSION.search(self._text):
            try:
                return decode_json(self._as_json().render(names))
            except ExpressionError as error:
                # Mixed text is no JSON, and what went wrong otherwise will do so again.
                if error.category not in ("invalid_json", "value_error"):
                    raise
        return self._as_text().render(names)

    def _as_json(self) -> Compiled:
        if self._typed is None:
            text = _EXPRESSION.sub(r"\1\2 | to_complex\3", self._text)
            self._typed = self._templates.compile(text)
        return self._typed

    def _as_text(self) -> Compiled:
        if self._compiled is None:
            self._compiled = self._templates.compile(self._text)
        return self._compiled


def read_pattern(templates: Templates, pattern: Any) -> Pattern:
    """Return the pattern of a criterion. Lists and objects are literal, texts inside included."""
    if not isinstance(pattern, str):
        return Literal(pattern)
    return Templated(templates, pattern) if is_template(pattern) else Literal(plain(pattern))
