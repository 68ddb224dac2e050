"""Documents and YAML: what is taken, what is refused, and in which words."""

from pathlib import Path
from typing import Any

import pytest
from whimbrel import nesting
from whimbrel.broker import documents, yaml
from whimbrel.broker.schema import SchemaViolation
from whimbrel.errors import InvalidInput, LimitExceeded
from whimbrel.model import RunnerOffer

RUNNER: dict[str, dict[str, Any]] = {
    "cmd": {"type": "string"},
    "kwarg_op": {"type": "string", "default": "--", "immutable": True},
    "timeout": {"type": "integer", "default": 60},
}


def test_action_document_gets_its_defaults() -> None:
    """A short action document becomes a whole action."""
    cleaned = documents.checked("action", {"name": "a", "runner_type": "noop", "pack": None})
    action = documents.action_of(cleaned, object_id="1")
    assert (action.ref, action.uid, action.enabled) == ("default.a", "action:default:a", True)


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"surprise": 1}, ()),
        ({"name": 5}, ("name",)),
        ({"runner_type": None}, ("runner_type",)),
        ({"parameters": {"with-dash": {}}}, ("parameters",)),
        ({"parameters": {"p": {"type": "str"}}}, ("parameters", "p", "type")),
        ({"parameters": {"p": {"required": "yes"}}}, ("parameters", "p", "required")),
        ({"parameters": {"p": {"describes": "typo"}}}, ("parameters", "p")),
        (
            {"parameters": {"p": {"properties": {"q": {"unknown": 1}}}}},
            ("parameters", "p", "properties", "q"),
        ),
        ({"notify": {"on-complete": {"routes": "x"}}}, ("notify", "on-complete", "routes")),
        ({"tags": ["x"]}, ("tags", 0)),
    ],
)
def test_wrong_action_is_refused_at_its_place(
    change: dict[str, Any], path: tuple[str | int, ...]
) -> None:
    """Unknown keys and wrong types are refused where they stand, however deep."""
    with pytest.raises(SchemaViolation) as caught:
        documents.checked("action", {"name": "a", "runner_type": "r", **change})
    assert caught.value.path == path


def test_document_has_to_be_a_mapping() -> None:
    """A list is refused with what was expected."""
    with pytest.raises(InvalidInput, match="expected a mapping that describes the rule"):
        documents.checked("rule", [])


@pytest.mark.parametrize(
    ("parameters", "category"),
    [
        ({"a": {"position": 0}, "b": {"position": 0}}, "duplicate_position"),
        ({"a": {"position": 0}, "b": {"position": 2}}, "positions_not_contiguous"),
        ({"a": {"immutable": True}}, "immutable_without_default"),
        ({"kwarg_op": {"immutable": True, "default": "-"}}, "immutable_in_runner"),
        ({"cmd": {"secret": True}}, "runner_attribute_override_forbidden"),
    ],
)
def test_parameters_that_cannot_work_are_refused(parameters: dict[str, Any], category: str) -> None:
    """What makes no sense beside the runner is refused by category."""
    with pytest.raises(documents.DocumentError) as caught:
        documents.check_parameters(parameters, RUNNER, ref="p.a")
    assert caught.value.category == category


def test_parameters_that_work_are_taken() -> None:
    """Positions may start anywhere, and a runner's default lets an action make it immutable."""
    parameters: dict[str, dict[str, Any]] = {
        "x": {"position": 1},
        "y": {"position": 2},
        "timeout": {"immutable": True},
    }
    documents.check_parameters(parameters, RUNNER, ref="p.a")


@pytest.mark.parametrize(
    ("criteria", "category"),
    [
        ({"trigger.a": {"pattern": 1}}, "operator_missing"),
        ({"trigger.a": {"type": "EQ", "pattern": 1}}, "operator_unknown"),
        ({"trigger.a": {"type": "eq"}}, "pattern_missing"),
        ({"trigger.a": "eq"}, "operator_missing"),
        ([], "invalid_value"),
    ],
)
def test_criteria_that_cannot_be_asked_are_refused(criteria: Any, category: str) -> None:
    """Every criterion needs a known operator and a pattern, even where none is looked at."""
    with pytest.raises(documents.DocumentError) as caught:
        documents.check_criteria(criteria, ("eq", "exists"))
    assert caught.value.category == category


def test_rule_of_an_unknown_type_is_refused() -> None:
    """A rule is standard or a backstop."""
    with pytest.raises(documents.DocumentError, match="Allowed: standard, backstop"):
        documents.check_rule({"type": {"ref": "other"}, "criteria": {}}, ())


@pytest.mark.parametrize("version", ["1.2", "v1.0.0", "01.0.0", "1.0.0.0", 1.0])
def test_pack_version_has_three_numbers(version: Any) -> None:
    """A version that is not a semantic one is refused; registration first completes `1.2`."""
    metadata = {"name": "p", "description": "d", "author": "a", "version": version, "ref": "p"}
    with pytest.raises(documents.DocumentError) as caught:
        documents.checked_pack(metadata)
    assert caught.value.category == "invalid_pack_version"
    assert documents.normalized_pack_version("1.2") == "1.2.0"


def test_pack_ref_comes_from_the_best_source() -> None:
    """The ref is the given one, else the folder's name, else the pack's name."""
    assert documents.pack_ref({"name": "My Pack", "ref": "mine"}, directory="dir") == "mine"
    assert documents.pack_ref({"name": "abc"}, directory="dir") == "dir"
    assert documents.pack_ref({"name": "abc"}, directory="not-a-ref") == "abc"
    for metadata in ({"name": "My Pack"}, {"ref": "_global"}):
        with pytest.raises(documents.DocumentError):
            documents.pack_ref(metadata)


def test_email_needs_a_host_of_two_parts() -> None:
    """An address that nobody could write to is refused; none at all is fine."""
    documents.check_email(None)
    documents.check_email("info@example.com")
    for email in ("a@b.c", "nobody", "a b@example.com"):
        with pytest.raises(documents.DocumentError):
            documents.check_email(email)


def test_runner_type_is_made_of_an_offer() -> None:
    """A plugin's offer becomes a runner type in StackStorm's shape."""
    offer = RunnerOffer(name="shell", plugin="shell-plugin", aliases=("sh",), parameters=RUNNER)
    runner = documents.runner_type_of(offer, object_id="1", enabled=False)
    assert (runner.uid, runner.aliases, runner.enabled) == ("runner_type:shell", ["sh"], False)
    assert runner.runner_parameters == RUNNER


# -- YAML -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("a: 1\nb: 2\na: 3\n", "f.yaml:3:1: the key 'a' stands twice"),
        ("a:\n  - [\n", "f.yaml:3:1"),
        ("on: 1\n", "f.yaml:1:1: the key True is not text; quote it"),
        ("? [1]\n: 2\n", "f.yaml:1:3: a list or mapping cannot be a key"),
        ("a: !!python/object:os.system 1\n", "f.yaml:1:4: could not determine a constructor"),
        ("\x00", "f.yaml: "),
    ],
)
def test_bad_yaml_is_refused_with_its_place(text: str, refusal: str) -> None:
    """What cannot be read safely is refused with file, line and column."""
    with pytest.raises(InvalidInput) as caught:
        yaml.load(text, name="f.yaml")
    assert refusal in str(caught.value)


def test_merge_keys_and_dates_are_read_as_people_mean_them() -> None:
    """A merged key can be given anew, and a date stays the text that was written."""
    text = "base: &b {x: 1, y: 2}\nd:\n  <<: *b\n  y: 3\nwhen: 2026-01-31\n"
    assert yaml.load(text, name="f") == {
        "base": {"x": 1, "y": 2},
        "d": {"x": 1, "y": 3},
        "when": "2026-01-31",
    }


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [*a]\n",
        "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
        + "".join(
            f"{new}: &{new} [{', '.join(['*' + old] * 10)}]\n"
            for old, new in zip("abcde", "bcdef", strict=True)
        ),
    ],
)
def test_yaml_that_blows_up_is_refused(text: str) -> None:
    """Aliases that make a small document endless or huge hit a limit."""
    with pytest.raises(LimitExceeded):
        yaml.load(text, name="f.yaml")


@pytest.mark.parametrize("deep", ["[" * 50_000, "- " * 50_000, "? " * 50_000, '{"a": ' * 50_000])
def test_deep_yaml_is_refused(deep: str) -> None:
    """Nesting that would overflow the parser's stack hits a limit instead."""
    with pytest.raises(LimitExceeded, match="nesting of a YAML document is limited to 100"):
        yaml.load(deep, name="f.yaml")


def test_nesting_up_to_the_limit_is_read() -> None:
    """At the limit a document is read, one level more is refused."""
    limit = nesting.DEPTH_MAX
    assert yaml.load("[" * limit + "]" * limit, name="f.yaml")
    with pytest.raises(LimitExceeded):
        yaml.load("[" * (limit + 1) + "]" * (limit + 1), name="f.yaml")


def test_unreadable_file_is_refused(tmp_path: Path) -> None:
    """A file that is not there is refused by name."""
    with pytest.raises(InvalidInput, match="cannot be read"):
        yaml.load_file(tmp_path / "gone.yaml", name="gone.yaml")
