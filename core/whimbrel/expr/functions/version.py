"""Functions for semantic versions (semver.org, 2.0)."""

import operator
import re
from collections.abc import Callable

import msgspec

from whimbrel.expr.functions.spec import Example, FunctionSpec

_NUMBER = r"(?:0|[1-9][0-9]*)"
_LABEL = r"(?:0|[1-9][0-9]*|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*)"
_VERSION = re.compile(
    rf"(?P<major>{_NUMBER})\.(?P<minor>{_NUMBER})\.(?P<patch>{_NUMBER})"
    rf"(?:-(?P<prerelease>{_LABEL}(?:\.{_LABEL})*))?"
    r"(?:\+(?P<build>[0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?"
)
_COMPARISONS: dict[str, Callable[[int, int], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}


class Version(msgspec.Struct, frozen=True):
    """A version without its build label, which plays no part in comparisons."""

    major: int
    minor: int
    patch: int
    prerelease: tuple[str, ...] = ()

    @property
    def precedence(self) -> tuple[object, ...]:
        """What orders versions: numbers first, then no prerelease above any."""
        labels = tuple(
            (0, int(label), "") if label.isdigit() else (1, 0, label) for label in self.prerelease
        )
        return (self.major, self.minor, self.patch, not self.prerelease, labels)


def parse_version(value: object) -> Version:
    """Return the version in `value`; raise `TypeError` for no text, `ValueError` for no version."""
    if not isinstance(value, str):
        raise TypeError(f"a version must be text, not {type(value).__name__}")
    match = _VERSION.fullmatch(value)
    if match is None:
        raise ValueError(f"{value!r} is not a version of the form 1.2.3, 1.2.3-rc.1 or 1.2.3+build")
    labels = match["prerelease"]
    return Version(
        int(match["major"]),
        int(match["minor"]),
        int(match["patch"]),
        tuple(labels.split(".")) if labels else (),
    )


def version_compare(value: object, other: object) -> int:
    """Return -1, 0 or 1 as `value` is lower than, equal to or higher than `other`."""
    left, right = parse_version(value).precedence, parse_version(other).precedence
    return (left > right) - (left < right)


def version_more_than(value: object, other: object) -> bool:
    """Say whether `value` is the higher version."""
    return version_compare(value, other) > 0


def version_less_than(value: object, other: object) -> bool:
    """Say whether `value` is the lower version."""
    return version_compare(value, other) < 0


def version_equal(value: object, other: object) -> bool:
    """Say whether both versions have the same precedence."""
    return version_compare(value, other) == 0


def version_match(value: object, condition: str) -> bool:
    """Say whether `value` meets a condition like `>=1.2.3`; a bare version means equality."""
    for symbol, compare in _COMPARISONS.items():
        if condition.startswith(symbol):
            return compare(version_compare(value, condition[len(symbol) :]), 0)
    if condition[:1].isdigit():
        return version_equal(value, condition)
    allowed = " ".join(_COMPARISONS)
    raise ValueError(f"a version condition starts with one of {allowed}, got {condition!r}")


def version_bump_major(value: object) -> str:
    """Return the next major version."""
    return f"{parse_version(value).major + 1}.0.0"


def version_bump_minor(value: object) -> str:
    """Return the next minor version."""
    version = parse_version(value)
    return f"{version.major}.{version.minor + 1}.0"


def version_bump_patch(value: object) -> str:
    """Return the next patch version."""
    version = parse_version(value)
    return f"{version.major}.{version.minor}.{version.patch + 1}"


def version_strip_patch(value: object) -> str:
    """Return major and minor only."""
    version = parse_version(value)
    return f"{version.major}.{version.minor}"


VERSIONS = (
    FunctionSpec(
        name="version_compare",
        summary="Compare two versions: -1, 0 or 1.",
        call=version_compare,
        examples=(
            Example("{{ '1.10.0' | version_compare('1.9.9') }}", "1"),
            Example("{{ '1.0.0-rc.1' | version_compare('1.0.0') }}", "-1"),
            Example("{{ '1.2' | version_compare('1.2.0') }}", fails="value_error"),
        ),
    ),
    FunctionSpec(
        name="version_more_than",
        summary="Whether a version is higher than another.",
        call=version_more_than,
        examples=(Example("{{ '1.1.0' | version_more_than('1.0.9') }}", "True"),),
    ),
    FunctionSpec(
        name="version_less_than",
        summary="Whether a version is lower than another.",
        call=version_less_than,
        examples=(Example("{{ '1.1.0' | version_less_than('1.0.9') }}", "False"),),
    ),
    FunctionSpec(
        name="version_equal",
        summary="Whether two versions are of the same precedence; build labels do not count.",
        call=version_equal,
        examples=(Example("{{ '1.0.0+a' | version_equal('1.0.0+b') }}", "True"),),
    ),
    FunctionSpec(
        name="version_match",
        summary="Whether a version meets a condition with >=, <=, ==, !=, > or <.",
        call=version_match,
        examples=(
            Example("{{ '1.2.3' | version_match('>=1.0.0') }}", "True"),
            Example("{{ '1.2.3' | version_match('~1.0.0') }}", fails="value_error"),
        ),
    ),
    FunctionSpec(
        name="version_bump_major",
        summary="The next major version.",
        call=version_bump_major,
        examples=(Example("{{ '1.2.3-rc.1' | version_bump_major }}", "2.0.0"),),
    ),
    FunctionSpec(
        name="version_bump_minor",
        summary="The next minor version.",
        call=version_bump_minor,
        examples=(Example("{{ '1.2.3' | version_bump_minor }}", "1.3.0"),),
    ),
    FunctionSpec(
        name="version_bump_patch",
        summary="The next patch version.",
        call=version_bump_patch,
        examples=(Example("{{ '1.2.3' | version_bump_patch }}", "1.2.4"),),
    ),
    FunctionSpec(
        name="version_strip_patch",
        summary="Major and minor only.",
        call=version_strip_patch,
        examples=(Example("{{ '1.2.3' | version_strip_patch }}", "1.2"),),
    ),
)
