"""JSONPath: the fast form of plain paths agrees with the full one."""

from typing import Any

import jsonpath_rw
import pytest
from hypothesis import given
from hypothesis import strategies as st
from whimbrel.expr import MalformedPathError, PlainPath, compile_path

VALUE = {
    "a": {"b": [{"c": 1}, {"c": None}], "x-y": "dash", "é": 1, "": 0},
    "list": [[1, 2], "text"],
    "n": None,
    "where": 1,
}
STEPS = st.sampled_from(
    [".a", ".b", ".c", "['x-y']", '["b"]', "[0]", "[1]", "[7]", ".'é'", ".n", ".where", ".list"]
)


@pytest.mark.parametrize("text", ["a.b[1].c", "a['x-y']", "a.'x-y'", "list[0][1]", " a . b", "@x"])
def test_plain_paths_are_recognised(text: str) -> None:
    """Names, quoted names and indexes need no parser, outer blanks aside."""
    plain = isinstance(compile_path(text), PlainPath)
    assert plain == (" . " not in text)


@given(st.sampled_from(["a", "list", "n", "where", "'a'", "zz"]), st.lists(STEPS, max_size=4))
def test_plain_and_full_agree(root: str, steps: list[str]) -> None:
    """A plain path selects what jsonpath-rw selects, and fails where it fails."""
    text = root + "".join(steps)
    try:
        expected = [datum.value for datum in jsonpath_rw.parse(text).find(VALUE)]
    except Exception as error:  # noqa: BLE001 - the parser raises nothing narrower
        with pytest.raises(MalformedPathError if type(error) is Exception else type(error)):
            compile_path(text).find(VALUE)
        return
    path = compile_path(text)
    assert path.find(VALUE) == expected
    assert path.first(VALUE) == (expected[0] if expected else None)


@pytest.mark.parametrize("text", ["", "a.", "a[", "a.1", "a[?(@.b)]", "'a"])
def test_malformed_paths(text: str) -> None:
    """What is no expression is refused when it is compiled."""
    with pytest.raises(MalformedPathError):
        compile_path(text)


@pytest.mark.parametrize(
    ("text", "expected"), [("$..c", [1, None]), ("a.b[*].c", [1, None]), ("a.(zz|n)", [])]
)
def test_full_expressions(text: str, expected: list[Any]) -> None:
    """Everything else is jsonpath-rw's."""
    assert compile_path(text).find(VALUE) == expected
