"""Parameters of executions: templates, casts, defaults, checks."""

from typing import Any

import pytest
from whimbrel.broker.documents import DocumentError
from whimbrel.broker.parameters import (
    ParameterError,
    Resolved,
    Resolver,
    cast,
    datastore_user,
    merged_schemas,
    resolve_final,
    resolve_live,
)
from whimbrel.broker.schema import SchemaViolation
from whimbrel.expr import NONE_MARKER, Templates
from whimbrel.model import Action, RunnerType

RUNNER: dict[str, dict[str, Any]] = {
    "cmd": {"type": "string", "required": True},
    "sudo": {"type": "boolean", "default": False, "immutable": True},
    "timeout": {"type": "integer", "default": 60},
}
CONTEXTS = {"trigger": {"n": 5, "text": 'a "quoted"\nline'}, "config_context": {"url": "http://h"}}


def live(given: dict[str, Any], action: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Resolve the parameters of a request."""
    return resolve_live(Templates(), more.get("runner", {}), action, given, CONTEXTS)


def resolver() -> Resolver:
    """Return a resolver whose templates see a configuration."""
    return Resolver(Templates(), lambda context: {"config_context": {"user": context["user"]}})


def action(parameters: dict[str, Any]) -> Action:
    """Return an action of the runner above."""
    return Action(id="a", ref="p.a", pack="p", name="a", runner_type="shell", parameters=parameters)


RUNNER_TYPE = RunnerType(id="r", uid="runner_type:shell", name="shell", runner_parameters=RUNNER)


def test_templates_are_resolved_in_the_order_of_their_needs() -> None:
    """A template may use a parameter that comes later and is a template itself."""
    given = {"a": "{{ b }}!", "b": "{{ c }}{{ c }}", "c": "x"}
    assert live(given, {"a": {}, "b": {}, "c": {}}) == {"a": "xx!", "b": "xx", "c": "x"}


def test_resolved_text_is_cast_to_its_type() -> None:
    """Text from a template becomes what the parameter declares."""
    declared = {
        "i": {"type": "integer"},
        "b": {"type": "boolean"},
        "l": {"type": "array"},
        "o": {"type": "object"},
    }
    given = {"i": "{{ trigger.n }}", "b": "true", "l": "[1, 2]", "o": "{'a': None}"}
    assert live(given, declared) == {"i": 5, "b": True, "l": [1, 2], "o": {"a": None}}


def test_exact_reference_inside_a_list_keeps_the_type() -> None:
    """Within lists and objects `{{name}}` keeps the value's type and any other form is text."""
    given = {"l": ["{{n}}", "{{ n }}", {"{{n}}": "x{{n}}"}], "n": 5}
    assert live(given, {"l": {}, "n": {}})["l"] == [5, "5", {"5": "x5"}]


def test_values_with_quotes_and_lines_are_safe_inside_lists() -> None:
    """A value from outside cannot break the list or object that it is put into."""
    assert live({"o": {"k": "{{ trigger.text }}"}}, {"o": {}}) == {"o": {"k": 'a "quoted"\nline'}}


def test_text_that_is_no_template_stays() -> None:
    """Broken syntax is text, and so is what a resolved template brings along."""
    given = {"a": "{{ b", "b": "{{ '{{ c }}' }}"}
    assert live(given, {"a": {}, "b": {}}) == {"a": "{{ b", "b": "{{ c }}"}


@pytest.mark.parametrize(
    ("given", "category"),
    [
        ({"a": "{{ nowhere }}"}, "missing_dependency"),
        ({"a": "{{ nowhere | default('x') }}"}, "missing_dependency"),
        ({"a": "{{ a }}"}, "cyclic_dependency"),
        ({"a": "{{ b }}", "b": "{{ a }}"}, "cyclic_dependency"),
        ({"a": "{{ trigger.nothing }}"}, "param_render_failed"),
        ({"a": "{{ 1 / 0 }}"}, "param_render_failed"),
        ({"i": "five"}, "cast_failed"),
        ({"s": 5}, "cast_failed"),
    ],
)
def test_what_cannot_be_resolved_is_refused(given: dict[str, Any], category: str) -> None:
    """Each way to fail has its category."""
    declared = {"a": {}, "b": {}, "i": {"type": "integer"}, "s": {"type": "string"}}
    with pytest.raises(ParameterError) as caught:
        live(given, declared)
    assert caught.value.category == category


def test_live_has_template_defaults_and_no_other() -> None:
    """A default that is a template is resolved at once; others are applied when it runs."""
    declared = {
        "url": {"type": "string", "default": "{{ config_context.url }}"},
        "n": {"type": "integer", "default": 3},
        "fixed": {"type": "string", "default": "{{ n }}", "immutable": True},
    }
    assert live({}, declared) == {"url": "http://h"}


def test_final_gives_every_declared_name_a_value() -> None:
    """What runs gets every parameter; what both declare goes to the runner with the action's default."""
    declared: dict[str, dict[str, Any]] = {"timeout": {"default": 0}, "who": {"type": "string"}}
    resolved = resolve_final(Templates(), RUNNER, declared, {"cmd": "{{ x }}", "extra": 1}, {})
    assert resolved == Resolved(
        {"cmd": "{{ x }}", "sudo": False, "timeout": 0},
        {"who": None},
    )


def test_mark_of_no_value_becomes_null() -> None:
    """What `use_none` leaves behind is null in text, lists and objects, and no number."""
    for kind in ("string", "array", "object", "boolean"):
        assert cast(NONE_MARKER, {"type": kind}) is None
    with pytest.raises(ParameterError):
        cast(NONE_MARKER, {"type": "integer"})


def test_chat_user_owns_the_datastore_scope() -> None:
    """`st2kv.user` is the chat user's where there is one; the system user stands in for nobody."""
    assert datastore_user({"user": "bob", "api_user": "ann"}, "stanley") == "ann"
    assert datastore_user({"user": "bob", "api_user": None}, "stanley") == "stanley"
    assert datastore_user({}, "stanley") == "stanley"


def test_action_may_not_redefine_its_runner() -> None:
    """An action overrides a runner's default, and its type only by repeating it."""
    merged = merged_schemas(RUNNER, {"timeout": {"default": 5, "type": "integer"}}, ref="p.a")
    assert merged["timeout"] == {"type": "integer", "default": 5}
    with pytest.raises(DocumentError) as caught:
        merged_schemas(RUNNER, {"timeout": {"type": "string"}}, ref="p.a")
    assert caught.value.category == "runner_attribute_override_forbidden"


def test_request_is_checked_against_action_and_runner() -> None:
    """Missing, unknown and ill-typed parameters are refused with the schema's words."""
    greet = action({"who": {"type": "string", "enum": ["a", "b"]}})
    refused: dict[str, dict[str, Any]] = {
        "'cmd' is a required property": {},
        "Additional properties are not allowed ('x' was unexpected)": {"cmd": "c", "x": 1},
        "'z' is not one of ['a', 'b']": {"cmd": "c", "who": "z"},
    }
    for message, given in refused.items():
        with pytest.raises(SchemaViolation) as caught:
            resolver().live(greet, RUNNER_TYPE, given, {"user": "joe"})
        assert str(caught.value) == message


def test_immutable_parameter_cannot_be_given() -> None:
    """Not even its own value may be given for an immutable parameter."""
    with pytest.raises(ParameterError) as caught:
        resolver().live(action({}), RUNNER_TYPE, {"cmd": "c", "sudo": False}, {"user": "joe"})
    assert caught.value.category == "immutable_override"


def test_resolver_follows_a_changed_action() -> None:
    """A new version of an action is checked by its own schema."""
    one = resolver()
    context = {"user": "joe"}
    with pytest.raises(SchemaViolation):
        one.live(action({}), RUNNER_TYPE, {"cmd": "c", "who": "x"}, context)
    changed = action({"who": {"type": "string"}})
    given = {"cmd": "{{ action_context.user }}", "who": "{{ config_context.user }}"}
    assert one.live(changed, RUNNER_TYPE, given, context) == {"cmd": "joe", "who": "joe"}


def test_names_of_an_event_are_seen_by_templates() -> None:
    """What a rule adds to the names is there, and given parameters win over it."""
    given = {"cmd": "{{ trigger.x }}"}
    names = {"trigger": {"x": "y"}}
    context = {"user": "joe"}
    assert resolver().live(action({}), RUNNER_TYPE, given, context, names) == {"cmd": "y"}
    own = action({"trigger": {"type": "object"}})
    given_too = {**given, "trigger": {"x": "mine"}}
    resolved = resolver().live(own, RUNNER_TYPE, given_too, context, names)
    assert resolved["cmd"] == "mine"
