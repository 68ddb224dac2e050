"""Templates: what is rendered, what stays, what is refused."""

from typing import Any

import pytest
from whimbrel.expr import ExpressionError, Limits, Templates, is_template, plain


def category(templates: Templates, text: str, context: dict[str, Any] | None = None) -> str:
    """Return the category of the error that rendering `text` ends in."""
    with pytest.raises(ExpressionError) as caught:
        templates.render(text, context or {})
    return caught.value.category


def test_undefined_names_are_errors() -> None:
    """A missing name or member fails with its own category instead of printing nothing."""
    templates = Templates()
    assert category(templates, "{{ nope }}") == "template_undefined"
    assert category(templates, "{{ d.nope }}", {"d": {}}) == "template_undefined"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ ''.__class__ }}", "template_security"),
        ("{{ lipsum.__globals__ }}", "template_security"),
        ("{{ '{0.__class__}'.format(1) }}", "template_security"),
        ("{% include 'x' %}", "template_no_loader"),
        ("{{ x", "template_syntax"),
        ("{{ 1 | nope }}", "template_unknown_filter_or_test"),
        ("{{ 1 / 0 }}", "division_by_zero"),
        ("{{ [1][3] + 1 }}", "template_undefined"),
        ("{{ 'a' + 1 }}", "type_error"),
    ],
)
def test_errors_have_a_category(text: str, expected: str) -> None:
    """Programs can tell kinds of failures apart without reading messages."""
    assert category(Templates(), text) == expected


def test_templates_change_only_their_own_copy() -> None:
    """A template may update the values it was given and see that, and the caller does not."""
    templates = Templates()
    context = {"d": {"a": [1]}, "l": [2]}
    text = "{{ d.a.append(5) }}{{ l.clear() }}{% set _ = d.update({'b': 1}) %}{{ d }}{{ l }}"
    for _ in range(2):
        assert templates.render(text, context) == "NoneNone{'a': [1, 5], 'b': 1}[]"
    assert context == {"d": {"a": [1]}, "l": [2]}


def test_a_text_without_marks_is_not_compiled() -> None:
    """Plain text costs no template, and loses what Jinja would take from it."""
    templates = Templates()
    assert templates.render("a { b }\r\nc\n\n", {}) == "a { b }\nc\n"
    assert plain("x\n") == "x"
    assert not is_template("a { b }")
    assert is_template("{# c #}")


def test_values_keep_their_type_unless_rendering_changes_them() -> None:
    """In a mapping only texts are rendered; lists and objects are rendered inside."""
    mapping = {"n": 1, "t": "{{ x }}", "l": ["{{ x }}", 2, {"{{ x }}": None}], "big": 2**70}
    rendered = Templates().render_mapping(mapping, {"x": "v"})
    assert rendered == {"n": 1, "t": "v", "l": ["v", 2, {"v": None}], "big": 2**70}


def test_nothing_is_rendered_without_a_context() -> None:
    """An empty or absent context leaves the texts as they are."""
    templates = Templates()
    assert templates.render_mapping({"a": "{{ x }}"}, {}) == {"a": "{{ x }}"}
    assert templates.render_value("{{ x }}", None) == "{{ x }}"


def test_a_value_cannot_break_out_of_the_list_it_is_rendered_in() -> None:
    """Quotes, backslashes and line breaks in a value stay text inside lists and objects."""
    value = 'x", "admin": "yes\\\n'
    templates = Templates()
    rendered = templates.render_value({"a": ["{{ v }}", "{{ v | json_escape }}"]}, {"v": value})
    assert rendered == {"a": [value, value]}


def test_line_breaks_inside_lists_are_kept() -> None:
    """The last line break is dropped from a text of its own, not from one inside a list."""
    templates = Templates()
    assert templates.render_value("{{ v }}\n", {"v": 1}) == "1"
    assert templates.render_value(["{{ v }}\n", "x\n"], {"v": 1}) == ["1\n", "x\n"]


def test_the_whole_context_has_a_name() -> None:
    """`__context` is the context, unless the context has a value of that name."""
    templates = Templates()
    assert templates.render_value("{{ __context.a }}", {"a": 1}) == "1"
    own = {"a": 1, "__context": {"a": 2}}
    assert templates.render_value("{{ __context.a }}", own) == "2"


def test_undefined_names_can_be_allowed() -> None:
    """With `allow_undefined` a missing name prints nothing, and only reaching into it fails."""
    templates = Templates()
    mapping = {"a": "x{{ nope }}y"}
    assert templates.render_mapping(mapping, {"b": 1}, allow_undefined=True) == {"a": "xy"}
    with pytest.raises(ExpressionError):
        templates.render_value("{{ nope.x }}", {"b": 1}, allow_undefined=True)


def test_numbers_beyond_64_bits_cannot_stand_inside_lists() -> None:
    """A number that JSON readers would spoil is refused where it would be sent on as JSON."""
    with pytest.raises(ExpressionError) as caught:
        Templates().render_value([2**64], {"x": 1})
    assert caught.value.category == "type_error"


def test_names_are_what_a_template_takes_from_its_context() -> None:
    """Names that the template sets itself, and Jinja's own, are not among them."""
    text = "{% for i in items %}{{ i.x + offset }}{% endfor %}{% set q = range(3) %}{{ q }}"
    assert Templates().names(text) == {"items", "offset"}
    assert Templates().names("plain { text") == frozenset()


def test_compiled_templates_are_kept_up_to_a_bound() -> None:
    """A text is compiled once, until others have pushed it out."""
    templates = Templates(Limits(cached_templates=2))
    first = templates.compile("{{ a }}")
    templates.compile("{{ b }}")
    assert templates.compile("{{ a }}") is first
    templates.compile("{{ c }}")
    templates.compile("{{ d }}")
    assert templates.compile("{{ a }}") is not first
