"""Functions that read and write JSON and YAML."""

import json
from collections.abc import Hashable
from typing import Any, Never

import yaml
from jinja2 import Undefined

from whimbrel.expr.datastore import named_item
from whimbrel.expr.errors import ExpressionError
from whimbrel.expr.functions.spec import Example, FunctionSpec
from whimbrel.expr.json_text import decode
from whimbrel.expr.limits import exceeded
from whimbrel.nesting import too_deep

INDENT_MAX = 64
NESTING_MAX = 200


def not_encodable(value: object) -> Never:
    """Refuse a value inside JSON; an undefined name is reported as such, not as a type."""
    if isinstance(value, Undefined):
        str(value)
    raise TypeError(f"a value of type {type(value).__name__} cannot be written as JSON")


def from_json_string(value: object) -> Any:
    """Return the value of JSON text; other values are printed first."""
    return decode(str(value))


def to_json_string(
    value: object,
    indent: int | str | None = None,
    sort_keys: bool = False,
    separators: tuple[str, str] = (",", ": "),
) -> str:
    """Return `value` as JSON text, in one line unless `indent` is given."""
    _check_indent(indent)
    return json.dumps(
        value, indent=indent, sort_keys=sort_keys, separators=separators, default=not_encodable
    )


def to_complex(value: object) -> str:
    """Return `value` as JSON text that the receiver decodes again, so that its type survives."""
    if named_item(value):
        # Rule patterns pass through here: there an item stands for its text.
        value = str(value)
    return json.dumps(value, default=not_encodable)


def json_escape(value: object) -> str:
    """Return text as it stands between the quotes of a JSON string; other values as JSON."""
    encoded = json.dumps(value, default=not_encodable)
    return encoded[1:-1] if isinstance(value, str) else encoded


class _Loader(yaml.CSafeLoader):
    """The safe loader, refusing a mapping that names a key twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            if key is None or key_node.tag.endswith(":merge"):
                continue
            if (key_node.tag, key) in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"found the key {key!r} twice", key_node.start_mark
                )
            seen.add((key_node.tag, key))
        return super().construct_mapping(node, deep=deep)


def from_yaml_string(value: object) -> Any:
    """Return the value of YAML text; other values are printed first."""
    text = str(value)
    try:
        _check_nesting(text)
        # A subclass of the safe loader, which builds plain values only.
        return yaml.load(text, Loader=_Loader)  # noqa: S506
    except yaml.YAMLError as error:
        raise ExpressionError(str(error), category="invalid_yaml") from error


def _check_nesting(text: str) -> None:
    """Refuse what would exhaust the stack of the parser's C code."""
    if too_deep(text, most=NESTING_MAX) is not None:
        raise exceeded("nesting of YAML", NESTING_MAX + 1, NESTING_MAX)


def to_yaml_string(value: object, indent: int | None = None, allow_unicode: bool = True) -> str:
    """Return `value` as YAML in block style, keys sorted."""
    _check_indent(indent)
    try:
        text: str = yaml.dump(
            value,
            Dumper=yaml.CSafeDumper,
            indent=indent,
            allow_unicode=allow_unicode,
            default_flow_style=False,
        )
    except yaml.YAMLError as error:
        raise ExpressionError(str(error), category="invalid_yaml") from error
    return text


def _check_indent(indent: int | str | None) -> None:
    width = len(indent) if isinstance(indent, str) else indent or 0
    if width > INDENT_MAX:
        raise exceeded("indentation", width, INDENT_MAX)


FORMATS = (
    FunctionSpec(
        name="from_json_string",
        summary="Parse JSON text into a value.",
        call=from_json_string,
        examples=(
            Example("""{{ ('{"a": [1, 2]}' | from_json_string).a[1] }}""", "2"),
            Example("{{ 'nope' | from_json_string }}", fails="invalid_json"),
        ),
    ),
    FunctionSpec(
        name="from_yaml_string",
        summary="Parse YAML text into a value; a repeated key is refused.",
        call=from_yaml_string,
        examples=(
            Example("{{ ('a: yes' | from_yaml_string).a }}", "True"),
            Example("{{ 'a: b: c' | from_yaml_string }}", fails="invalid_yaml"),
            Example("{{ 'a: 1\\na: 2' | from_yaml_string }}", fails="invalid_yaml"),
        ),
    ),
    FunctionSpec(
        name="to_json_string",
        summary="Write a value as JSON: `to_json_string(indent, sort_keys, separators)`.",
        call=to_json_string,
        examples=(
            Example("{{ {'b': 1, 'a': [1, 2]} | to_json_string }}", '{"b": 1,"a": [1,2]}'),
            Example("{{ {'b': 1, 'a': 2} | to_json_string(sort_keys=true) }}", '{"a": 2,"b": 1}'),
            Example("{{ [1] | to_json_string(indent=1000) }}", fails="limit_exceeded"),
        ),
    ),
    FunctionSpec(
        name="to_yaml_string",
        summary="Write a value as YAML in block style: `to_yaml_string(indent, allow_unicode)`.",
        call=to_yaml_string,
        examples=(Example("{{ {'b': [1], 'a': none} | to_yaml_string }}", "a: null\nb:\n- 1\n"),),
    ),
    FunctionSpec(
        name="to_complex",
        summary="Write a value as JSON so that the parameter or pattern it fills keeps its type.",
        call=to_complex,
        examples=(Example("{{ (1, 'x') | to_complex }}", '[1, "x"]'),),
    ),
    FunctionSpec(
        name="json_escape",
        summary="Escape text so that it can stand between the quotes of a JSON string.",
        call=json_escape,
        examples=(
            Example("{{ v | json_escape }}", 'say \\"hi\\"', context={"v": 'say "hi"'}),
            Example("{{ [1] | json_escape }}", "[1]"),
        ),
    ),
)
