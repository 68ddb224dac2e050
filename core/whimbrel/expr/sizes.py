"""How large values are, and would become: asked before the memory is spent."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from jinja2.utils import Namespace

from whimbrel.expr.limits import Limits, exceeded

# Not their abstract classes: asking for those is ten times slower.
CONTAINERS: tuple[type, ...] = (list, tuple, dict, type({}.values()), type({}.items()), Namespace)
"""The types whose text grows with what they hold."""

_COUNTED: tuple[type, ...] = (str, *CONTAINERS)
_NUMBER = re.compile(r"\d+")
_NESTED_SPEC = re.compile(r"\{[^{}]*\{")
# More digits than any limit has; int() of thousands would itself be slow.
_DIGITS = 18


def measure(value: Any, nodes_max: int) -> tuple[int, int]:
    """Return how many values `value` holds, however shared, and the least length of its text.

    Counting stops soon after `nodes_max`, so that shared and cyclic structures end.
    """
    nodes = size = 0
    pending = [value]
    while pending and nodes <= nodes_max:
        value = pending.pop()
        if isinstance(value, str):
            size += len(value)
            continue
        if isinstance(value, Namespace):
            value = object.__getattribute__(value, "_Namespace__attrs")
        if isinstance(value, dict):
            pending += [name for name in value if isinstance(name, str)]
            value = value.values()
        nodes += len(value)
        pending += [item for item in value if isinstance(item, _COUNTED)]
    return nodes, nodes + size


def check(limits: Limits, size: int) -> None:
    """Raise `limit_exceeded` when `size` is over `value_size`."""
    if size > limits.value_size:
        raise exceeded("the size of a template's value", size, limits.value_size)


def text_size(limits: Limits, value: object) -> int:
    """Return the least length of the text of `value`."""
    if isinstance(value, str):
        return len(value)
    return measure(value, limits.value_size)[1] if isinstance(value, CONTAINERS) else 1


def check_operation(limits: Limits, operator: str, left: Any, right: Any) -> None:
    """Check the result of `left operator right`, for the operators + * ** %."""
    if operator == "+":
        if isinstance(left, str | list | tuple) and isinstance(right, str | list | tuple):
            check(limits, text_size(limits, left) + text_size(limits, right))
    elif operator == "*":
        check(limits, _product_size(limits, left, right))
    elif operator == "**":
        if isinstance(left, int) and isinstance(right, int) and right > 0:
            check(limits, left.bit_length() * right)
    elif isinstance(left, str):
        check_percent_format(limits, left, right)


def _product_size(limits: Limits, left: Any, right: Any) -> int:
    if isinstance(left, int) and isinstance(right, int):
        return left.bit_length() + right.bit_length()
    if isinstance(left, int):
        left, right = right, left
    if isinstance(right, int) and isinstance(left, str | bytes | list | tuple):
        return text_size(limits, left) * max(right, 0)
    return 0


def check_percent_format(limits: Limits, text: str, values: Any) -> None:
    """Check the widths, precisions and values of a `%` format."""
    _check_numbers(limits, text)
    if "*" in text:
        _check_integers(limits, values if isinstance(values, tuple) else (values,))
    check(limits, len(text) + text.count("%") * text_size(limits, values))


def check_method(limits: Limits, owner: Any, name: str, args: Any, kwargs: Any) -> tuple[Any, ...]:
    """Check a call of a method of text or of a list; return the arguments to call it with."""
    if isinstance(owner, list):
        if name == "extend" and args:
            args = (list(args[0]), *args[1:])
            check(limits, len(owner) + len(args[0]))
    elif name in ("center", "ljust", "rjust", "zfill"):
        _check_integers(limits, (*args, *kwargs.values()))
    elif name == "expandtabs":
        tab = next(iter((*args, *kwargs.values())), 8)
        check(limits, len(owner) + owner.count("\t") * abs(tab))
    elif name == "replace" and len(args) > 1:
        _check_replace(limits, owner, args[0], args[1])
    elif name == "join" and args:
        args = (list(args[0]), *args[1:])
        _check_join(limits, args[0], owner)
    elif name == "translate" and args:
        _check_translate(limits, owner, args[0])
    elif name in ("format", "format_map"):
        _check_format(limits, owner, (*args, *kwargs.values()))
    return tuple(args)


def _check_format(limits: Limits, text: str, values: tuple[Any, ...]) -> None:
    _check_numbers(limits, text)
    if _NESTED_SPEC.search(text):
        _check_integers(limits, values)
    check(limits, len(text) + text.count("{") * text_size(limits, values))


def _check_numbers(limits: Limits, text: str) -> None:
    for number in _NUMBER.finditer(text):
        check(limits, int(number[0][:_DIGITS]))


def _check_integers(limits: Limits, values: Iterable[object]) -> None:
    for value in values:
        if isinstance(value, int):
            check(limits, value)
        elif isinstance(value, Mapping):
            _check_integers(limits, value.values())


def _check_replace(limits: Limits, text: object, old: Any, new: Any, *_: Any, **__: Any) -> None:
    if isinstance(old, str) and isinstance(new, str):
        text = str(text)
        check(limits, len(text) + text.count(old) * len(new))


def _check_join(
    limits: Limits, parts: Any, d: object = "", attribute: object = None, **_: Any
) -> None:
    # A generator has no length yet, but what feeds it is no longer than the longest range.
    count = len(parts) if hasattr(parts, "__len__") else limits.range_size
    check(limits, count * len(str(d)) + text_size(limits, parts))


def _check_translate(limits: Limits, text: str, table: Any) -> None:
    values = table.values() if isinstance(table, Mapping) else ()
    longest = max((len(value) for value in values if isinstance(value, str)), default=1)
    check(limits, len(text) * longest)


def _check_counts(limits: Limits, _: object, *args: object, **kwargs: object) -> None:
    _check_integers(limits, (*args, *kwargs.values()))


def _check_batch(
    limits: Limits, _: object, count: object = 1, fill_with: object = None, **__: Any
) -> None:
    if isinstance(count, int):
        check(limits, count * text_size(limits, fill_with))


def _check_indent(limits: Limits, text: object, *args: object, **kwargs: object) -> None:
    for width in (*args, *kwargs.values()):
        size = len(width) if isinstance(width, str) else width
        if isinstance(size, int):
            check(limits, (str(text).count("\n") + 1) * size)


def _check_texts(limits: Limits, text: object, *args: object, **kwargs: object) -> None:
    longest = max((len(a) for a in (*args, *kwargs.values()) if isinstance(a, str)), default=0)
    check(limits, len(str(text)) * (longest or 1))


def _check_format_filter(limits: Limits, text: object, *args: Any, **kwargs: Any) -> None:
    check_percent_format(limits, str(text), args or tuple(kwargs.values()))


def _check_regex_replace(
    limits: Limits, value: object, pattern: str = "", replacement: str = "", *_: Any, **__: Any
) -> None:
    if isinstance(replacement, str) and len(replacement) > 1:
        text = str(value)
        matches = sum(1 for _ in re.finditer(pattern, text))
        check(limits, len(text) + matches * len(replacement))


FILTER_CHECKS: dict[str, Callable[..., None]] = {
    "batch": _check_batch,
    "center": _check_counts,
    "format": _check_format_filter,
    "indent": _check_indent,
    "join": _check_join,
    "regex_replace": _check_regex_replace,
    "replace": _check_replace,
    "slice": _check_batch,
    "tojson": _check_counts,
    "urlize": _check_texts,
    "wordwrap": _check_texts,
}
"""What filters that can blow up a value are asked first: `check(limits, value, *arguments)`."""

SHALLOW_FILTERS = frozenset(
    {"abs", "attr", "batch", "count", "d", "default", "dictsort", "first", "groupby", "items"}
    | {"last", "length", "list", "map", "random", "reject", "rejectattr", "reverse", "round"}
    | {"select", "selectattr", "slice", "sum", "use_none"}
)
"""Filters that touch the items of a value and not what those hold; all others may print it."""
