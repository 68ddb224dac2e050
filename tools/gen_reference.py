"""Write docs/reference/ from what describes itself: options, commands, endpoints, functions, operators."""

import json
from collections.abc import Iterator
from pathlib import Path

from whimbrel.app import config
from whimbrel.cli import reference as cli_reference
from whimbrel.expr import FUNCTIONS, Example
from whimbrel.gateway import reference as rest_reference
from whimbrel.rules import CONDITIONS, OPERATORS

FOLDER = Path(__file__).parents[1] / "docs" / "reference"

EXPRESSIONS = """\
# Functions of expressions

Jinja expressions stand between `{{` and `}}` in rule criteria, rule actions and parameter defaults. Besides
what Jinja itself has, these filters are there; each is named as in StackStorm. A filter gets what stands
before the bar as its first argument. Datastore items are read as `{{ st2kv.system.NAME }}` and
`{{ st2kv.user.NAME }}`.
"""

OPERATORS_PAGE = """\
# Operators of criteria

A rule's `criteria` map a key of the payload, as `trigger.body.name`, to a `type`, which is one of these
operators in any case of letters, and a `pattern`. All criteria have to hold. With a `null` pattern an
operator says no, unless the last column says that it decides itself. An operator that cannot be applied
fails the rule for this event, and the enforcement says why.

| `type` | Holds when | `null` pattern |
|---|---|---|
"""

SEARCH = """
## search

Looks into a list: the key names a list, and `pattern` holds criteria for each of its items under keys that
begin with `item`, as `item.name`. `condition` says how many have to hold:

| `condition` | Holds when |
|---|---|
"""

MEANINGS = {
    "any": "one item meets all criteria",
    "all": "every item meets all criteria",
    "any2any": "one item meets one criterion",
    "all2any": "every item meets one criterion",
}


def expressions() -> str:
    """Return the page of the functions, by name."""
    parts = [EXPRESSIONS]
    for function in sorted(FUNCTIONS, key=lambda spec: spec.name):
        parts.append(f"\n## {function.name}\n\n{function.summary}\n\n")
        parts.append("| Expression | Gives |\n|---|---|\n")
        parts.extend(_example_row(example) for example in function.examples)
    return "".join(parts)


def _example_row(example: Example) -> str:
    gives = f"an error: {example.fails}" if example.fails else _code(example.prints)
    context = f", given {_code(json.dumps(example.context))}" if example.context else ""
    return f"| {_code(example.expression)}{context} | {gives} |\n"


def _code(text: str) -> str:
    """Return text as code in a table's cell; line breaks and bars would end the cell."""
    if not text:
        return "the empty text"
    shown = text.replace("\n", "\\n").replace("|", "\\|")
    fence = "``" if "`" in shown else "`"
    space = " " if fence == "``" or shown != shown.strip() else ""
    return f"{fence}{space}{shown}{space}{fence}"


def operators() -> str:
    """Return the page of the operators, in their own order."""
    return "".join([OPERATORS_PAGE, *_operator_rows(), SEARCH, *_conditions()])


def _operator_rows() -> Iterator[str]:
    for operator in OPERATORS:
        names = ", ".join(f"`{name}`" for name in operator.names)
        null = "decides" if operator.null_pattern else ""
        yield f"| {names} | {operator.summary} | {null} |\n"


def _conditions() -> Iterator[str]:
    for name in CONDITIONS:
        yield f"| `{name}` | {MEANINGS[name]} |\n"


def main() -> None:
    """Replace the pages."""
    pages = {
        "configuration.md": config.render_reference(),
        "cli.md": cli_reference.render(),
        "rest.md": rest_reference.render(),
        "expressions.md": expressions(),
        "operators.md": operators(),
    }
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in pages.items():
        (FOLDER / name).write_text(text)


if __name__ == "__main__":
    main()
