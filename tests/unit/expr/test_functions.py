"""The functions of templates do what their own examples say."""

import pytest
from whimbrel.expr import FUNCTIONS, Example, ExpressionError, Templates

EXAMPLES = [(spec.name, example) for spec in FUNCTIONS for example in spec.examples]


@pytest.mark.parametrize(("name", "example"), EXAMPLES)
def test_example(name: str, example: Example) -> None:
    """An example prints what it says, or fails in the way it says."""
    templates = Templates()
    if example.fails:
        with pytest.raises(ExpressionError) as caught:
            templates.render(example.expression, example.context)
        assert caught.value.category == example.fails
    else:
        assert templates.render(example.expression, example.context) == example.prints


def test_all_functions_of_stackstorm_are_there() -> None:
    """The 25 filters that packs may use exist, each with a summary and an example."""
    names = {spec.name for spec in FUNCTIONS}
    versions = {"compare", "equal", "less_than", "match", "more_than", "strip_patch"}
    bumps = {f"version_bump_{part}" for part in ("major", "minor", "patch")}
    assert {name for name in names if name.startswith("version_")} == bumps | {
        f"version_{name}" for name in versions
    }
    assert names >= {"basename", "dirname", "use_none", "jsonpath_query", "decrypt_kv"}
    assert names >= {"to_complex", "json_escape", "to_human_time_from_seconds"}
    assert names >= {f"regex_{verb}" for verb in ("match", "replace", "search", "substring")}
    assert names >= {f"{way}_{form}_string" for way in ("from", "to") for form in ("json", "yaml")}
    assert len(names) == 25
    assert all(spec.summary and spec.examples for spec in FUNCTIONS)


@pytest.mark.parametrize("name", [spec.name for spec in FUNCTIONS])
def test_an_undefined_value_is_reported_as_undefined(name: str) -> None:
    """A function given an undefined name fails because of the name, not because of its type."""
    arguments = {"regex_replace": "('a', 'b')", "version_match": "('>1.0.0')"}
    takes_one = name.startswith(("regex_", "version_", "jsonpath_"))
    call = arguments.get(name, "('1.0.0')" if takes_one and "bump" not in name else "")
    call = "" if name == "version_strip_patch" else call
    with pytest.raises(ExpressionError) as caught:
        Templates().render(f"{{{{ missing | {name}{call} }}}}", {})
    assert caught.value.category == "template_undefined"


def test_yaml_that_nests_without_end_is_refused() -> None:
    """Deep YAML is refused before the parser's stack ends; wide YAML is fine."""
    templates = Templates()
    with pytest.raises(ExpressionError) as caught:
        templates.render("{{ text | from_yaml_string }}", {"text": "[" * 100_000})
    assert caught.value.category == "limit_exceeded"
    wide = "\n".join(f"- {{a: {number}}}" for number in range(1_000))
    rendered = templates.render("{{ text | from_yaml_string | length }}", {"text": wide})
    assert rendered == "1000"


def test_integers_beyond_64_bits_become_floats_in_json() -> None:
    """JSON text with a huge integer gives a float, exactly at the edge of 64 bits."""
    templates = Templates()
    text = "{{ (v | from_json_string) }}"
    assert templates.render(text, {"v": str(2**64 - 1)}) == str(2**64 - 1)
    assert templates.render(text, {"v": str(2**64)}) == str(float(2**64))
    assert templates.render(text, {"v": str(-(2**63) - 1)}) == str(float(-(2**63) - 1))
