"""The operators of criteria, each described once."""

import fnmatch
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any

import msgspec

from whimbrel.errors import InvalidInput


class OperatorError(InvalidInput):
    """An operator cannot be applied; `category` is a fixed word for programs."""

    def __init__(self, message: str, *, category: str) -> None:
        super().__init__(message)
        self.category = category


class OperatorSpec(msgspec.Struct, frozen=True, kw_only=True):
    """An operator: `call(value, pattern, now)`, where `value` is None for a missing key.

    With a null pattern the answer is no, unless `null_pattern` lets the operator decide.
    `total` operators never raise.
    """

    names: tuple[str, ...]
    summary: str
    call: Callable[[Any, Any, datetime], bool]
    null_pattern: bool = False
    total: bool = False


SEARCH = "search"
CONDITIONS = ("any", "all", "any2any", "all2any")


def _lower(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"ignoring case needs text, not {type(value).__name__}")
    return value.lower()


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"the value must be text, not {type(value).__name__}")
    return value


def _matches_wildcard(value: Any, pattern: Any, _: datetime) -> bool:
    return fnmatch.fnmatchcase(_text(value), pattern)


def _seconds_since(value: object, now: datetime) -> float:
    """Return the seconds from a date in nearly any notation to `now`; no zone means UTC."""
    moment = _date(str(value), now)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (now - moment).total_seconds()


def _date(text: str, now: datetime) -> datetime:
    # Imported by the first rule that compares times: most brokers never do, and it is half a MiB.
    from dateutil import parser

    # Parts that the text leaves out are today's.
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    try:
        return parser.parse(text, default=midnight, tzinfos=_zone)
    except (ValueError, OverflowError) as error:
        try:
            # Knows some dates that the lenient one does not: 24:00, week dates, ordinal dates.
            return parser.isoparse(text)
        except ValueError:
            raise OperatorError(str(error), category="invalid_date") from error


def _zone(_: str | None, offset_seconds: int | None) -> tzinfo | None:
    # Names without a known offset count as UTC; the machine's own zone must play no part.
    return None if offset_seconds is None else timezone(timedelta(seconds=offset_seconds))


def _older_than(value: Any, pattern: Any, now: datetime) -> bool:
    seconds = float(pattern)
    return _seconds_since(value, now) > seconds


def _younger_than(value: Any, pattern: Any, now: datetime) -> bool:
    seconds = float(pattern)
    return _seconds_since(value, now) < seconds


OPERATORS: tuple[OperatorSpec, ...] = (
    OperatorSpec(
        names=("equals", "eq"),
        summary="The value equals the pattern, types included: 1 is not '1'.",
        call=lambda value, pattern, _: bool(value == pattern),
        total=True,
    ),
    OperatorSpec(
        names=("nequals", "neq"),
        summary="The value differs from the pattern.",
        call=lambda value, pattern, _: bool(value != pattern),
        null_pattern=True,
        total=True,
    ),
    OperatorSpec(
        names=("iequals", "ieq"),
        summary="Both are the same text, case aside.",
        call=lambda value, pattern, _: _lower(value) == _lower(pattern),
    ),
    OperatorSpec(
        names=("contains",),
        summary="The value, text or a list, contains the pattern.",
        call=lambda value, pattern, _: pattern in value,
    ),
    OperatorSpec(
        names=("icontains",),
        summary="The text contains the pattern, case aside.",
        call=lambda value, pattern, _: _lower(pattern) in _lower(value),
    ),
    OperatorSpec(
        names=("ncontains",),
        summary="The value, text or a list, does not contain the pattern.",
        call=lambda value, pattern, _: pattern not in value,
    ),
    OperatorSpec(
        names=("incontains",),
        summary="The text does not contain the pattern, case aside.",
        call=lambda value, pattern, _: _lower(pattern) not in _lower(value),
    ),
    OperatorSpec(
        names=("startswith",),
        summary="The text starts with the pattern.",
        call=lambda value, pattern, _: _text(value).startswith(pattern),
    ),
    OperatorSpec(
        names=("istartswith",),
        summary="The text starts with the pattern, case aside.",
        call=lambda value, pattern, _: _lower(value).startswith(_lower(pattern)),
    ),
    OperatorSpec(
        names=("endswith",),
        summary="The text ends with the pattern.",
        call=lambda value, pattern, _: _text(value).endswith(pattern),
    ),
    OperatorSpec(
        names=("iendswith",),
        summary="The text ends with the pattern, case aside.",
        call=lambda value, pattern, _: _lower(value).endswith(_lower(pattern)),
    ),
    OperatorSpec(
        names=("lessthan", "lt"),
        summary="The value is less than the pattern; nothing is cast.",
        call=lambda value, pattern, _: bool(value < pattern),
    ),
    OperatorSpec(
        names=("greaterthan", "gt"),
        summary="The value is greater than the pattern; nothing is cast.",
        call=lambda value, pattern, _: bool(value > pattern),
    ),
    OperatorSpec(
        names=("matchwildcard",),
        summary="The whole text matches the pattern with *, ? and [...].",
        call=_matches_wildcard,
    ),
    OperatorSpec(
        names=("matchregex",),
        summary="The text begins with a match; a dot matches line breaks too.",
        call=lambda value, pattern, _: re.compile(pattern, re.DOTALL).match(value) is not None,
    ),
    OperatorSpec(
        names=("regex",),
        summary="A match stands anywhere in the text.",
        call=lambda value, pattern, _: re.compile(pattern).search(value) is not None,
    ),
    OperatorSpec(
        names=("iregex",),
        summary="A match stands anywhere in the text, case aside.",
        call=lambda value, pattern, _: re.compile(pattern, re.IGNORECASE).search(value) is not None,
    ),
    OperatorSpec(
        names=("timediff_lt", "td_lt"),
        summary="The date lies less than the pattern's seconds back, or ahead of now.",
        call=_younger_than,
    ),
    OperatorSpec(
        names=("timediff_gt", "td_gt"),
        summary="The date lies more than the pattern's seconds back.",
        call=_older_than,
    ),
    OperatorSpec(
        names=("exists",),
        summary="The key is there and not null; the pattern plays no part.",
        call=lambda value, *_: value is not None,
        null_pattern=True,
        total=True,
    ),
    OperatorSpec(
        names=("nexists",),
        summary="The key is missing or null; the pattern plays no part.",
        call=lambda value, *_: value is None,
        null_pattern=True,
        total=True,
    ),
    OperatorSpec(
        names=("inside", "in"),
        summary="The pattern, a list or text, contains the value.",
        call=lambda value, pattern, _: value in pattern,
    ),
    OperatorSpec(
        names=("ninside", "nin"),
        summary="The pattern, a list or text, does not contain the value.",
        call=lambda value, pattern, _: value not in pattern,
    ),
)
"""All operators but `search`, whose criteria lie inside its pattern."""

_BY_NAME = {name: spec for spec in OPERATORS for name in spec.names}
OPERATOR_NAMES = (*sorted(_BY_NAME), SEARCH)
"""What `type` of a criterion may be; case does not matter."""


def find_operator(name: str) -> OperatorSpec | None:
    """Return the operator of that name, None when there is none."""
    return _BY_NAME.get(name.lower())
