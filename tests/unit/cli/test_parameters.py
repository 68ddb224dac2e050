"""The parameters of `run`."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from whimbrel.cli import parameters
from whimbrel.cli.failures import Usage

SCHEMAS: dict[str, dict[str, Any]] = {
    "s": {"type": "string"},
    "i": {"type": "integer"},
    "n": {"type": "number"},
    "b": {"type": "boolean"},
    "z": {"type": "null"},
    "a": {"type": "array"},
    "ai": {"type": "array", "items": {"type": "integer"}},
    "o": {"type": "object"},
    "u": {"type": ["integer", "string"]},
}
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


def parse(*words: str, **options: Any) -> dict[str, Any]:
    """Parse words with the schemas of this page; files hold their own names."""
    return parameters.parse(words, SCHEMAS, lambda path: f"<{path}>", **options)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["s=1"], {"s": "1"}),
        (["s=a=b"], {"s": "a=b"}),
        (["s="], {"s": ""}),
        (["i=-3"], {"i": -3}),
        (["n=3"], {"n": 3}),
        (["n=2.5"], {"n": 2.5}),
        (["b=True"], {"b": True}),
        (["b=false"], {"b": False}),
        (["z=None"], {"z": None}),
        (["a=x, y,z"], {"a": ["x", "y", "z"]}),
        (["a="], {"a": []}),
        (['a=["x", 1]'], {"a": ["x", 1]}),
        (["a=1", "a=2,3"], {"a": ["1", "2", "3"]}),
        (["ai=1, 2"], {"ai": [1, 2]}),
        (["o=a=1,b=2"], {"o": {"a": "1", "b": "2"}}),
        (['o={"a": 1}'], {"o": {"a": 1}}),
        (["u=5"], {"u": 5}),
        (["u=five"], {"u": "five"}),
        (["i={{ st2kv.system.n }}"], {"i": "{{ st2kv.system.n }}"}),
        (["unknown=1"], {"unknown": "1"}),
        (["i=1", "echo", "a=b", "-c"], {"i": 1, "cmd": "echo a=b -c"}),
        (["@s=file.txt"], {"s": "<file.txt>"}),
    ],
)
def test_words_become_typed_values(words: list[str], expected: dict[str, Any]) -> None:
    """A word's value has the type that the action declares."""
    assert expected == parse(*words)


@pytest.mark.parametrize("word", ["i=x", "b=maybe", "z=1", "a=[1", "ai=1,x", "o=abc", "o=[1]"])
def test_a_value_of_another_form_is_refused_with_the_parameter_named(word: str) -> None:
    """The refusal names the parameter, what it must be and the value."""
    name, _, text = word.partition("=")

    with pytest.raises(Usage) as refusal:
        parse(word)

    assert f"parameter {name} must be {SCHEMAS[name]['type']}" in str(refusal.value)
    assert repr(text) in str(refusal.value)


@given(st.lists(JSON, max_size=4))
def test_json_arrays_arrive_whole(value: list[Any]) -> None:
    """An array written as JSON keeps its values and their types."""
    assert {"a": value} == parse(f"a={json.dumps(value)}")


@given(st.dictionaries(TEXT, JSON, max_size=4))
def test_json_objects_arrive_whole(value: dict[str, Any]) -> None:
    """An object written as JSON keeps its values and their types."""
    assert {"o": value} == parse(f"o={json.dumps(value)}")


@given(TEXT.filter(lambda text: "=" not in text), st.lists(TEXT))
def test_the_first_word_without_an_equals_sign_begins_the_command(
    first: str, others: list[str]
) -> None:
    """It and all words after it are `cmd`, joined by spaces."""
    assert {"i": 1, "cmd": " ".join([first, *others])} == parse("i=1", first, *others)


def test_auto_dict_makes_one_object_of_pairs() -> None:
    """With --auto-dict, a list whose items all have a colon is a list of one object."""
    assert parse("a=x:1,y:2", auto_dict=True) == {"a": [{"x": "1", "y": "2"}]}
    assert parse("a=x:1,y", auto_dict=True) == {"a": ["x:1", "y"]}


def test_a_file_for_an_http_request_is_sent_as_its_body() -> None:
    """core.http takes a file's name and content, and posts them."""
    expected = {"file_name": "b.txt", "file_content": "<a/b.txt>", "method": "POST"}

    assert expected == parse("@body=a/b.txt", action="core.http")


def test_the_type_of_the_runner_wins_over_that_of_the_action() -> None:
    """Where both declare a type, the runner's counts; the rest is the action's."""
    merged = parameters.schemas_of(
        {"parameters": {"p": {"type": "string", "default": 1}}},
        {"runner_parameters": {"p": {"type": "integer", "default": 2}, "q": {"type": "string"}}},
    )

    assert merged == {"p": {"type": "integer", "default": 1}, "q": {"type": "string"}}


def test_the_inherited_environment_leaves_out_what_belongs_to_the_session() -> None:
    """PATH, HOME and their like are of this machine alone."""
    assert parameters.inherited({"FOO": "1", "PATH": "/bin", "HOME": "/h"}) == {"FOO": "1"}
