"""Hostile templates end early, with an error that names the limit."""

import pytest
from whimbrel.expr import ExpressionError, Limits, Templates

SMALL = Limits(
    template_chars=1_000,
    template_tags=20,
    expression_chars=400,
    steps=1_000,
    range_size=500,
    output_chars=10_000,
    value_size=5_000,
)
DOUBLING = "{{% set ns = namespace(s={start}) %}}{{% for i in range(60) %}}{step}{{% endfor %}}"


def doubling(step: str, start: str = "'x'") -> str:
    """Return a template that doubles `ns.s` sixty times."""
    return DOUBLING.format(start=start, step="{% set ns.s = " + step + " %}")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("x" * 1_001 + "{{ 1 }}", id="long-template"),
        pytest.param("{{ 1 }}" * 21, id="many-tags"),
        pytest.param("{{ " + "1+" * 300 + "1 }}", id="long-expression"),
        pytest.param("{{ " + "(" * 150 + ")" * 150 + " }}", id="deep-expression"),
        pytest.param("{% for a in range(400) %}{% for b in range(400) %}{% endfor %}{% endfor %}"),
        pytest.param(
            "{% for a in range(400) %}{% for b in range(400) if false %}{% endfor %}{% endfor %}"
        ),
        pytest.param("{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}", id="macro"),
        pytest.param("{% block a %}{{ self.a() }}{{ self.a() }}{% endblock %}", id="block"),
        pytest.param("{% for i in [1, 2] recursive %}{{ loop([1, 2]) }}{% endfor %}", id="loop"),
        pytest.param("{% for i in range(400) %}" + "y" * 100 + "{% endfor %}", id="literal-text"),
        pytest.param("{% set x %}{% for i in range(400) %}{{ 'y' * 99 }}{% endfor %}{% endset %}"),
        pytest.param("{% for i in range(400) %}{{ range(400) | list }}{% endfor %}", id="ranges"),
        pytest.param("{{ 'x' * 10**9 }}"),
        pytest.param("{{ [0] * 10**9 }}"),
        pytest.param("{{ 2 ** (10 ** 9) }}"),
        pytest.param("{{ '%1000000000d' % 1 }}"),
        pytest.param("{{ '%*d' % (10**9, 1) }}"),
        pytest.param("{{ '{:1000000000}'.format(1) }}"),
        pytest.param("{{ '{:{w}}'.format(1, w=10**9) }}"),
        pytest.param("{{ '{a:{w}}'.format_map({'a': 1, 'w': 10**9}) }}"),
        pytest.param("{{ 'a'.ljust(10**9) }}"),
        pytest.param("{{ '\t'.expandtabs(10**9) }}"),
        pytest.param("{{ 'ab'.replace('a', 'x' * 5000) }}"),
        pytest.param("{{ ('x' * 4000).join('abc') }}"),
        pytest.param("{{ ('a' * 4000).translate({97: 'xyz'}) }}"),
        pytest.param("{{ 'x' | center(10**9) }}"),
        pytest.param("{{ 'x' | indent(10**9, true) }}"),
        pytest.param("{{ [1] | batch(10**9, 'x') | list }}"),
        pytest.param("{{ [1] | slice(10**9) | list }}"),
        pytest.param("{{ [1] | tojson(indent=10**9) }}"),
        pytest.param("{{ 'a b c' | wordwrap(1, wrapstring='x' * 4000) }}"),
        pytest.param("{{ range(400) | join('x' * 4000) }}"),
        pytest.param("{{ 'aaa' | replace('a', 'x' * 4000) }}"),
        pytest.param("{{ 'aaa' | regex_replace('a', 'x' * 4000) }}"),
        pytest.param("{{ lipsum(n=10**7) }}"),
        pytest.param("{{ ('[' * 4000) | from_json_string }}", id="deep-json"),
        pytest.param(doubling("ns.s + ns.s"), id="double-plus"),
        pytest.param(doubling("ns.s ~ ns.s"), id="double-tilde"),
        pytest.param(doubling("'%s%s' % (ns.s, ns.s)"), id="double-percent"),
        pytest.param(doubling("'{0}{0}'.format(ns.s)"), id="double-format"),
        pytest.param(doubling("'%s%s' | format(ns.s, ns.s)"), id="double-format-filter"),
        pytest.param(doubling("[ns.s, ns.s] | join"), id="double-join"),
        pytest.param(doubling("ns.s | replace('x', 'xx')"), id="double-replace"),
        pytest.param(doubling("ns.s + ns.s", "[1]"), id="double-list"),
        pytest.param(doubling("[ns.s, ns.s]"), id="double-nesting"),
        pytest.param(doubling("{'a': ns.s, 'b': ns.s}"), id="double-object"),
        pytest.param(doubling("dict(a=ns.s, b=ns.s)"), id="double-call"),
        pytest.param(
            DOUBLING.format(start="[1]", step="{% set _ = ns.s.extend(ns.s) %}"), id="extend"
        ),
        pytest.param(
            "{% set ns = namespace(s=[1]) %}{% macro m() %}{% set ns.s = varargs %}{% endmacro %}"
            "{% for i in range(60) %}{{ m(ns.s, ns.s) }}{% endfor %}",
            id="double-varargs",
        ),
    ],
)
def test_hostile_template(text: str) -> None:
    """It fails at a limit, before it has spent much."""
    with pytest.raises(ExpressionError) as caught:
        Templates(SMALL).render(text, {})
    assert caught.value.category == "limit_exceeded"


@pytest.mark.parametrize(
    "text",
    [
        "x" * 993 + "{{ 1 }}",
        "{{ 1 }}" * 20,
        "{% for i in range(500) %}{% endfor %}",
        "{{ 'x' * 5000 }}",
        "{{ '%1000d' % 1 }}",
        "{{ range(500) | join(',') }}",
    ],
)
def test_a_template_at_a_limit_passes(text: str) -> None:
    """A limit is the largest value that is allowed."""
    Templates(SMALL).render(text, {})


def test_a_range_over_its_limit_overflows() -> None:
    """`range` keeps the limit and the error that Jinja's sandbox gives it."""
    with pytest.raises(ExpressionError) as caught:
        Templates(SMALL).render("{{ range(501) | list }}", {})
    assert caught.value.category == "overflow"


def test_each_rendering_has_its_own_budget() -> None:
    """What one rendering spends is not taken from the next."""
    templates = Templates(SMALL)
    for _ in range(5):
        templates.render("{% for i in range(500) %}{{ i }}{% endfor %}", {})


def test_expanded_aliases_cannot_be_printed() -> None:
    """YAML that shares one value a million times is counted as a million values."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    for level in range(1, 8):
        aliases = ", ".join([f"*a{level - 1}"] * 10)
        lines.append(f"a{level}: &a{level} [{aliases}]")
    for use in ("", "| string", "| to_json_string", "| pprint", "| upper"):
        with pytest.raises(ExpressionError) as caught:
            Templates().render(f"{{{{ t | from_yaml_string {use} }}}}", {"t": "\n".join(lines)})
        assert caught.value.category == "limit_exceeded"
