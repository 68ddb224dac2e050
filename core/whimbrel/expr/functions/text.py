"""Functions for paths, durations and absent values."""

import posixpath

from whimbrel.expr.functions.spec import Example, FunctionSpec

NONE_MARKER = "%*****__%NONE%__*****%"
"""What `use_none` prints; a parameter of exactly this text becomes null when it is cast."""

_DAY_SECONDS = 86_400
_YEAR_SECONDS = 365 * _DAY_SECONDS
_UNITS = (("y", _YEAR_SECONDS), ("d", _DAY_SECONDS), ("h", 3_600), ("m", 60), ("s", 1))


def basename(value: object) -> str:
    """Return what follows the last slash."""
    return posixpath.basename(_path(value))


def dirname(value: object) -> str:
    """Return what precedes the last slash."""
    return posixpath.dirname(_path(value))


def _path(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a path must be text, not {type(value).__name__}")
    return value


def use_none(value: object) -> object:
    """Return `value`, or the marker that becomes null once it reaches a parameter."""
    return NONE_MARKER if value is None else value


def to_human_time_from_seconds(value: object) -> str:
    """Return seconds in the units y (365 days), d, h, m, s; parts of one second in μs."""
    # An assertion in form only: StackStorm reports this misuse under that name.
    if not isinstance(value, int | float):
        raise AssertionError(f"seconds must be a number, not {type(value).__name__}")
    if value < 0:
        return "-" + to_human_time_from_seconds(-value)
    if 0 < value < 1:
        return f"{round(value * 1_000_000)}μs"
    rest = round(value)
    parts: list[str] = []
    for unit, seconds in _UNITS:
        count, rest = divmod(rest, seconds)
        if count or parts or seconds == 1:
            parts.append(f"{count}{unit}")
    return "".join(parts)


TEXT = (
    FunctionSpec(
        name="basename",
        summary="The last part of a path with slashes.",
        call=basename,
        examples=(
            Example("{{ '/opt/packs/core.yaml' | basename }}", "core.yaml"),
            Example("{{ 5 | basename }}", fails="type_error"),
        ),
    ),
    FunctionSpec(
        name="dirname",
        summary="A path with slashes without its last part.",
        call=dirname,
        examples=(Example("{{ '/opt/packs/core.yaml' | dirname }}", "/opt/packs"),),
    ),
    FunctionSpec(
        name="use_none",
        summary="Let none reach a parameter as null, where it would otherwise print as text.",
        call=use_none,
        examples=(
            Example("{{ none | use_none }}", NONE_MARKER),
            Example("{{ 0 | use_none }}", "0"),
        ),
    ),
    FunctionSpec(
        name="to_human_time_from_seconds",
        summary="Print seconds as years of 365 days, days, hours, minutes and seconds.",
        call=to_human_time_from_seconds,
        examples=(
            Example("{{ 3661 | to_human_time_from_seconds }}", "1h1m1s"),
            Example("{{ 31622400 | to_human_time_from_seconds }}", "1y1d0h0m0s"),
            Example("{{ 0.5 | to_human_time_from_seconds }}", "500000μs"),
            Example("{{ -60 | to_human_time_from_seconds }}", "-1m0s"),
            Example("{{ '60' | to_human_time_from_seconds }}", fails="assertion"),
        ),
    ),
)
