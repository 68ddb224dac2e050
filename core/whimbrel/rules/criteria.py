"""Criteria, compiled: where the value is, what it is compared with, and how."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from whimbrel.expr import MalformedPathError, Path, Templates, compile_path
from whimbrel.rules.operators import (
    CONDITIONS,
    OPERATOR_NAMES,
    SEARCH,
    OperatorError,
    OperatorSpec,
    find_operator,
)
from whimbrel.rules.patterns import Literal, Pattern, read_pattern
from whimbrel.rules.reasons import Reason, Stage, reason_of

Names = Mapping[str, Any]
"""The roots of keys and the names of templates: `trigger` or `item`, `st2kv`, `system`."""


class Outcome(msgspec.Struct, frozen=True):
    """What came of one criterion, for people: the value found and the pattern it was held against."""

    key: str
    operator: str
    holds: bool
    value: Any = None
    pattern: Any = None


Apply = Callable[[Any, Any, Names, datetime, list[Reason]], bool]


class Criterion:
    """One criterion, compiled. Without a `type` it never holds."""

    __slots__ = ("_apply", "_path", "_pattern", "key", "operator")

    def __init__(self, templates: Templates, key: str, document: Mapping[str, Any]) -> None:
        self.key = key
        self.operator: str | None = document.get("type")
        self._pattern = read_pattern(templates, document.get("pattern"))
        self._path: Path | None = None
        self._apply = self._application(templates, document)

    def _application(self, templates: Templates, document: Mapping[str, Any]) -> Apply | None:
        if not isinstance(self.operator, str):
            return None
        if self.operator.lower() == SEARCH:
            return Search(templates, self._pattern, document.get("condition"))
        spec = find_operator(self.operator)
        return None if spec is None else _applied(spec)

    @property
    def spec(self) -> OperatorSpec | None:
        """The operator; None for `search` and for one that does not exist."""
        return find_operator(self.operator) if isinstance(self.operator, str) else None

    @property
    def is_literal(self) -> bool:
        """Whether the pattern is the same for every event."""
        return isinstance(self._pattern, Literal)

    @property
    def literal(self) -> Any:
        """The pattern where it is the same for every event, None otherwise."""
        return self._pattern.value({}) if isinstance(self._pattern, Literal) else None

    def path(self) -> Path:
        """Return the compiled key; raise `MalformedPathError`."""
        if self._path is None:
            # What follows a `#` only makes keys differ.
            self._path = compile_path(self.key.partition("#")[0])
        return self._path

    def check(self, names: Names, now: datetime, reasons: list[Reason]) -> Outcome:
        """Return whether the criterion holds; why it could not be told is added to `reasons`.

        Raises `OperatorError` for an operator that does not exist.
        """
        if self.operator is None:
            return Outcome(self.key, "", False)
        holds, stage, pattern, value = False, Stage.RENDER_PATTERN, None, None
        try:
            pattern = self._pattern.value(names)
            stage = Stage.LOOKUP_KEY
            value = self.path().first(names)
            if self._apply is not None:
                stage = Stage.OPERATOR
                holds = self._apply(value, pattern, names, now, reasons)
        # Templates, paths and operators meet data of strangers: whatever they raise is recorded,
        # and the rule does not match.
        except Exception as error:  # noqa: BLE001
            reasons.append(_reason(stage, self.key, error))
        else:
            if self._apply is None:
                raise unknown_operator(self.operator)
        return Outcome(self.key, str(self.operator), holds, value, pattern)


def _applied(spec: OperatorSpec) -> Apply:
    call, null_pattern = spec.call, spec.null_pattern

    def apply(value: Any, pattern: Any, _: Names, now: datetime, __: list[Reason]) -> bool:
        if pattern is None and not null_pattern:
            return False
        return call(value, pattern, now)

    return apply


def unknown_operator(name: object) -> OperatorError:
    """Return the error that names what is allowed."""
    allowed = ", ".join(OPERATOR_NAMES)
    return OperatorError(
        f"there is no operator {name!r}; allowed: {allowed}", category="invalid_operator"
    )


def _reason(stage: Stage, key: str, error: Exception) -> Reason:
    if isinstance(error, MalformedPathError):
        return Reason(stage=stage, key=key, category="invalid_key_expression", message=str(error))
    return reason_of(stage, key, error)


class Search:
    """The operator whose pattern is a set of criteria on `item`, for each item of the value."""

    __slots__ = ("_children", "_condition", "_templates")

    def __init__(self, templates: Templates, pattern: Pattern, condition: object) -> None:
        self._templates = templates
        self._condition = condition
        literal = pattern.value({}) if isinstance(pattern, Literal) else None
        self._children = self._read(literal) if isinstance(literal, dict) else None

    def _read(self, pattern: Any) -> list[Criterion]:
        if not isinstance(pattern, dict):
            kind = type(pattern).__name__
            raise TypeError(f"the pattern of search must be an object of criteria, not {kind}")
        return [Criterion(self._templates, key, child) for key, child in pattern.items()]

    def __call__(
        self, value: Any, pattern: Any, names: Names, now: datetime, reasons: list[Reason]
    ) -> bool:
        """Say whether the items meet the criteria as `condition` asks."""
        if self._condition not in CONDITIONS:
            allowed = ", ".join(CONDITIONS)
            message = f"there is no condition {self._condition!r}; allowed: {allowed}"
            raise OperatorError(message, category="invalid_condition")
        items = [value] if isinstance(value, dict) else list(value)
        if not items:
            return self._condition in ("all", "all2any")
        children = self._read(pattern) if self._children is None else self._children
        rows = [
            # Every child is asked, so that every failure is on record.
            [child.check(_names_of(names, item), now, reasons).holds for child in children]
            for item in items
        ]
        over_items = any if self._condition in ("any", "any2any") else all
        over_children = all if self._condition in ("any", "all") else any
        return over_items(over_children(row) for row in rows)


def _names_of(names: Names, item: Any) -> Names:
    return {"item": item, "system": names["system"], "st2kv": names["st2kv"]}
