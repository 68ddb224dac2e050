"""Schemas of StackStorm's dialect."""

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from whimbrel.broker.schema import InvalidSchema, Schema, SchemaViolation

KINDS = ("any", "array", "boolean", "integer", "null", "number", "object", "string")


def parameters(properties: dict[str, Any]) -> Schema:
    """Return the schema of parameters with these definitions."""
    return Schema({"type": "object", "properties": properties, "additionalProperties": False})


def violation(schema: Schema, value: Any) -> SchemaViolation:
    """Return what the schema says against a value."""
    with pytest.raises(SchemaViolation) as caught:
        schema.clean(value)
    return caught.value


def test_required_is_a_property_of_the_property() -> None:
    """An absent required property is refused with the words that clients know."""
    found = violation(parameters({"cmd": {"type": "string", "required": True}}), {})
    assert str(found) == "'cmd' is a required property"
    assert (found.keyword, found.path) == ("required", ("cmd",))


def test_unknown_property_is_refused() -> None:
    """A property that nobody declared is refused with the words that clients know."""
    found = violation(parameters({"cmd": {"type": "string"}}), {"bogus": 1})
    assert str(found) == "Additional properties are not allowed ('bogus' was unexpected)"


def test_default_stands_in_for_absent_and_null() -> None:
    """A default satisfies `required`, for an absent value and for null."""
    schema = parameters({"n": {"type": "integer", "required": True, "default": 3}})
    assert schema.clean({}) == {"n": 3}
    assert schema.clean({"n": None}) == {"n": 3}


def test_defaults_reach_into_objects_and_lists() -> None:
    """Defaults of nested objects and of list items are filled in."""
    inner = {"type": "object", "properties": {"b": {"type": "string", "default": "d"}}}
    schema = parameters({"o": inner, "l": {"type": "array", "items": inner}})
    cleaned = schema.clean({"o": {}, "l": [{}, {"b": None}, {"b": "x"}]})
    assert cleaned == {"o": {"b": "d"}, "l": [{"b": "d"}, {"b": "d"}, {"b": "x"}]}


def test_value_and_default_are_not_shared_with_the_result() -> None:
    """Changing the result changes neither the value that was checked nor the schema's default."""
    document = {"l": {"type": "array", "default": []}}
    given_value: dict[str, Any] = {}
    parameters(document).clean(given_value)["l"].append(1)
    assert given_value == {}
    assert document["l"]["default"] == []


def test_optional_property_may_be_null_and_required_may_not() -> None:
    """Null is allowed exactly where a property may be left out."""
    schema = parameters({"a": {"type": "string"}, "b": {"type": "string", "required": True}})
    assert schema.clean({"a": None, "b": "x"}) == {"a": None, "b": "x"}
    assert violation(schema, {"b": None}).path == ("b",)


def test_booleans_are_no_numbers() -> None:
    """True is neither an integer nor a number, and 1.0 is no integer."""
    schema = parameters({"i": {"type": "integer"}, "n": {"type": "number"}})
    for value in ({"i": True}, {"n": False}, {"i": 1.0}):
        assert violation(schema, value).keyword == "type"


def test_path_leads_to_the_place() -> None:
    """The path of a nested break names every step to it."""
    items = {"type": "object", "properties": {"b": {"type": "integer"}}}
    schema = parameters({"l": {"type": "array", "items": items}})
    assert violation(schema, {"l": [{"b": 1}, {"b": "x"}]}).path == ("l", 1, "b")


def test_unusable_schema_is_the_callers_fault() -> None:
    """A schema with an unknown type or a broken pattern is refused, not crashed on."""
    for spec in ({"type": "weird"}, {"type": "string", "pattern": "("}):
        with pytest.raises(InvalidSchema):
            parameters({"a": spec}).clean({"a": "x"})


def test_recursive_schema_is_recognised() -> None:
    """A schema that refers to itself checks every level."""
    node = {
        "type": "object",
        "properties": {"child": {"$ref": "#/definitions/node"}, "n": {"type": "integer"}},
        "additionalProperties": False,
    }
    schema = Schema({"definitions": {"node": node}, "properties": {"root": node}})
    schema.clean({"root": {"child": {"child": {"n": 1}}}})
    assert violation(schema, {"root": {"child": {"child": {"n": "x"}}}}).path[-1] == "n"


def test_good_values_do_not_import_the_library() -> None:
    """A start with good content does not pay for the schema library."""
    program = (
        "import sys; from whimbrel.broker import documents;"
        "documents.checked('action', {'name': 'a', 'runner_type': 'r',"
        " 'parameters': {'p': {'type': 'string', 'required': True, 'enum': ['x']}}});"
        "sys.exit('jsonschema' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


SCALARS = (
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(-2, 2) | st.text("ab", max_size=2)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=2)
    ),
    max_leaves=4,
)
SPECS = st.recursive(
    st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(KINDS),
            "required": st.booleans(),
            "default": SCALARS,
            "enum": st.lists(st.sampled_from(["a", "b", 1]), min_size=1, max_size=2, unique=True),
            "minimum": st.integers(-2, 2),
            "maxLength": st.integers(0, 2),
            "minItems": st.integers(0, 2),
            "pattern": st.sampled_from(["^a", "b$"]),
            "uniqueItems": st.booleans(),
        },
    ),
    lambda inner: st.fixed_dictionaries(
        {"type": st.sampled_from(["object", "array"])},
        optional={
            "properties": st.dictionaries(st.sampled_from("abc"), inner, max_size=2),
            "patternProperties": st.dictionaries(st.sampled_from(["^a", "b"]), inner, max_size=1),
            "additionalProperties": st.booleans() | inner,
            "items": inner,
            "anyOf": st.lists(inner, min_size=1, max_size=2),
            "dependencies": st.just({"a": ["b"]}),
            "required": st.booleans(),
        },
    ),
    max_leaves=5,
)


def verdict(check: Any, value: Any) -> Any:
    """Return what a check makes of a value, or what it says against it."""
    try:
        return check(value)
    except SchemaViolation as error:
        return (error.keyword, error.path, str(error))


@settings(max_examples=150, deadline=None)
@given(
    properties=st.dictionaries(st.sampled_from("abc"), SPECS, max_size=3),
    additional=st.booleans(),
    value=VALUES,
)
def test_both_ways_of_checking_agree(
    properties: dict[str, Any], additional: bool, value: Any
) -> None:
    """What is recognised without the library is what the library accepts, and nothing else."""
    schema = Schema(
        {"type": "object", "properties": properties, "additionalProperties": additional}
    )
    assert verdict(schema.clean, value) == verdict(schema.clean_thoroughly, value)
