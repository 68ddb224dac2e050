"""The depth of YAML texts, judged without following them down."""

from typing import Any

import pytest
from whimbrel.nesting import DEPTH_MAX, is_too_deep, too_deep


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "{a: " * 100_000,
        "- " * 100_000,
        "? " * 100_000,
        "".join(f"{' ' * n}a:\n" for n in range(2_000)) + " " * 2_000 + "b",
        "a: 1\nb: {c: " + "[" * 100_000,
    ],
    ids=["lists", "mappings", "sequences", "keys", "block", "inside"],
)
@pytest.mark.parametrize("kind", ["text", "utf-8", "utf-16"])
def test_hostile_texts_are_told(text: str, kind: str) -> None:
    """However deep and in whatever form, the line is told and the process lives."""
    line = too_deep(text if kind == "text" else text.encode(kind))
    assert line is not None
    assert 1 <= line <= DEPTH_MAX + 1


def test_the_limit_is_exact() -> None:
    """As many levels as the limit pass; one more is told, with its line."""
    at_limit = "\n" + "[" * DEPTH_MAX + "]" * DEPTH_MAX
    over = "\n" + "[" * (DEPTH_MAX + 1) + "]" * (DEPTH_MAX + 1)

    assert too_deep(at_limit) is None
    assert 2 == too_deep(over)
    assert too_deep(over, most=DEPTH_MAX + 1) is None


@pytest.mark.parametrize(
    "text",
    ["", "a: b", "- x\n" * 1000, "a: [1, 2]\n" * 200, "]" * 500, "a: b: c" * 200, b"\xff" * 9],
)
def test_what_is_flat_or_broken_is_left_to_the_parser(text: str | bytes) -> None:
    """Many marks are no depth, and mistakes are for the parser to tell."""
    assert too_deep(text) is None


def test_mistakes_behind_many_marks_are_left_to_the_parser() -> None:
    """Control characters and broken UTF-8 among many marks are no depth either."""
    assert too_deep("-\n" * 200 + "\x00") is None
    assert too_deep(b"-\n" * 200 + b"\xff") is None


def nested(depth: int, kind: type) -> Any:
    """Return lists or mappings inside of each other."""
    value: Any = 0
    for _ in range(depth):
        value = {"a": value} if kind is dict else [value]
    return value


@pytest.mark.parametrize("kind", [list, dict])
def test_values_have_the_same_limit(kind: type) -> None:
    """A value of the limit passes, one deeper does not, and one without end costs no more."""
    assert not is_too_deep(nested(DEPTH_MAX, kind))
    assert is_too_deep(nested(DEPTH_MAX + 1, kind))
    assert is_too_deep(nested(50_000, kind))
    assert is_too_deep([1, {"a": nested(2, kind)}], most=2)


@pytest.mark.parametrize("value", [0, "text", None, [], {}, [[]], [1, {"a": []}]])
def test_flat_values_pass(value: Any) -> None:
    """What hardly nests is never too deep."""
    assert not is_too_deep(value)
